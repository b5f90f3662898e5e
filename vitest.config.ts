import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    // One PostgreSQL a run, in a temporary folder.
    globalSetup: ['test/harness/global-postgres.ts'],
    pool: 'forks',
    maxWorkers: 2,
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['test/**/*.test.{ts,tsx}'],
          exclude: ['test/flow/**'],
          testTimeout: 30_000,
          hookTimeout: 60_000,
          sequence: { groupOrder: 0 },
        },
      },
      {
        // Whole systems of real processes: one file at a time, so that they do not starve each other.
        extends: true,
        test: {
          name: 'flow',
          include: ['test/flow/**/*.test.ts'],
          fileParallelism: false,
          testTimeout: 180_000,
          hookTimeout: 180_000,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
