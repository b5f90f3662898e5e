import { defineConfig } from 'vitest/config';

// Not inherited by the projects: each would start a server of its own.
const globalSetup = ['test/harness/global-postgres.ts'];

export default defineConfig({
  test: {
    globalSetup,
    pool: 'forks',
    // One more than the two cores that all is measured on: much of this is waiting.
    maxWorkers: 3,
    projects: [
      {
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
        // Whole systems of real processes, which mostly wait: two files at a time, so that they do not starve each other.
        test: {
          name: 'flow',
          include: ['test/flow/**/*.test.ts'],
          maxWorkers: 2,
          testTimeout: 180_000,
          hookTimeout: 180_000,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
