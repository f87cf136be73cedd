import { expect, test } from 'vitest'
import { SharedStatistics, STATISTICS_SIZE } from '../host/machine/statistics.ts'
import { statisticsTable } from './statistics.ts'

const FIGURES = {
  busyMilliseconds: 2000, instructions: 1_000_000_000, translated: 900_000_000, regionsMade: 12, regionInstructions: 3400, regionsLive: 10,
  regionsRemoved: 2, regionEntries: 9_000_000, regionMisses: 7, pageChecks: 8, emitMilliseconds: 120, compileMilliseconds: 480,
  tlbMisses: 5, jumpMisses: 6, decoded: 4000, invalidations: 1,
}

test('figures come through shared memory as they are', () => {
  const memory = new SharedArrayBuffer(STATISTICS_SIZE + 8)
  new SharedStatistics(memory, 8).write(FIGURES)
  expect(new SharedStatistics(memory, 8).read()).toEqual(FIGURES)
})

test('a table says where time went', () => {
  const text = statisticsTable(FIGURES).join('\n')
  expect(text).toMatch(/^instructions +1,000,000,000 \(500 MIPS\)$/m)
  expect(text).toMatch(/^ +translated +900,000,000 \(90\.0 %\)$/m)
  expect(text).toMatch(/^ +entered +9,000,000 times, for 100 instructions$/m)
  expect(text).toMatch(/^compiling thread +0\.60 s \(emitting 0\.12 s, V8 0\.48 s\)$/m)
})

test('a guest that was only interpreted, or did not run, divides nothing by zero', () => {
  const nothing = Object.fromEntries(Object.keys(FIGURES).map((name) => [name, 0])) as unknown as typeof FIGURES
  expect(statisticsTable(nothing).join('\n')).not.toMatch(/NaN|Infinity/)
})
