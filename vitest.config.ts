import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/support/global-setup.ts'],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // Processes and not threads: tests send signals and count what a process leaves behind.
    pool: 'forks',
    maxWorkers: 2,
    reporters: ['default'],
  },
});
