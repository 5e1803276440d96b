import { defineConfig } from 'vitest/config';

/**
 * For stryker.protocol.config.json: no server is started. The simulation is imported by the test itself, so that the
 * changed source is the one that runs.
 */
export default defineConfig({
  test: {
    testTimeout: 60_000,
    include: [
      'test/coordinator/protocol.test.ts',
      'test/simulation/mutation-slice.ts',
      'test/decision-log/group-commit.test.ts',
      'test/decision-log/rows.test.ts',
    ],
  },
});
