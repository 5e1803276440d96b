import { defineConfig } from 'vitest/config';

/** For stryker.config.json: the tests of the files that it changes, and no others. */
export default defineConfig({
  test: {
    globalSetup: ['test/support/global-setup.ts'],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    include: ['test/participant/gid.test.ts', 'test/recovery/decision-table.test.ts'],
  },
});
