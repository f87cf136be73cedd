import { describe, expect, it } from 'vitest'
import { figures, median, peakMemory } from './figures.ts'
import type { Run } from './measure.ts'
import { target } from './testing/results.ts'

describe('median', () => {
  it('is the middle value, or the mean of the middle two', () => {
    expect(median([9, 1, 10])).toBe(9)
    expect(median([4, 1, 2, 100])).toBe(3)
    expect(median([])).toBeUndefined()
  })
})

describe('figures', () => {
  it('has MIPS where instructions are counted', () => {
    const runs = [{ boot: 2 }, { boot: 2 }, { boot: 8 }]
    expect(figures(target('a', runs, { boot: 500e6 }), 'boot')).toEqual({ seconds: 2, instructions: 500e6, mips: 250 })
    expect(figures(target('a', [{ boot: 2 }]), 'boot')).toEqual({ seconds: 2 })
  })

  it('is nothing without runs', () => {
    expect(figures(target('a', []), 'boot')).toBeUndefined()
  })
})

describe('peakMemory', () => {
  it('is of the runs that filled the guest\'s memory', () => {
    const run = (seconds: Run['seconds'], peakMemoryBytes: number): Run => ({ seconds, instructions: {}, peakMemoryBytes })
    const runs = [run({ 'boot': 1, 'fill-memory': 1 }, 300), run({ boot: 1 }, 100)]
    expect(peakMemory({ runs })).toBe(300)
    expect(peakMemory({ runs: [runs[1]] })).toBeUndefined()
  })
})
