import { availableParallelism } from 'node:os'
import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    setupFiles: ['test/setup/yield.ts'],
    include: ['src/**/*.test.ts', 'test/**/*.test.ts', 'tools/**/*.test.ts', 'scripts/**/*.test.mjs'],
    // A test of the quick part takes milliseconds; this is for a busy machine. Slow tests set their own.
    testTimeout: 30_000,
    hookTimeout: 30_000,
    // Tests build machines of hundreds of megabytes: a process each gives the memory back.
    pool: 'forks',
    // One less than there are processors, its default, is one alone on the smallest machines; tests wait for much.
    maxWorkers: Math.max(2, availableParallelism() - 1),
  },
})
