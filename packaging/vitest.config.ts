import { defineConfig } from 'vitest/config';

/** Tests that need a Docker engine and an image that boots systemd: scripts/packaging.sh. */
export default defineConfig({
  test: {
    include: ['packaging/test/**/*.test.ts'],
    globalSetup: ['test/support/global-setup.ts'],
    testTimeout: 90_000,
    hookTimeout: 240_000,
    pool: 'forks',
    // Each boots a small machine.
    fileParallelism: false,
  },
});
