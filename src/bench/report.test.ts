import { describe, expect, it } from 'vitest'
import type { Run } from './measure.ts'
import { figures, formatReport, median } from './report.ts'
import type { TargetResult } from './report.ts'

const target = (name: string, boots: number[], instructions?: number): TargetResult => ({
  name, version: '1', architecture: 'amd64', failures: [],
  runs: boots.map((boot): Run => ({ seconds: { boot, loop: boot * 2 }, instructions: instructions === undefined ? {} : { boot: instructions } })),
})

describe('median', () => {
  it('is the middle value, or the mean of the middle two', () => {
    expect(median([9, 1, 10])).toBe(9)
    expect(median([4, 1, 2, 100])).toBe(3)
    expect(median([])).toBeUndefined()
  })
})

describe('figures', () => {
  it('has MIPS where instructions are counted', () => {
    expect(figures(target('a', [2, 2, 8], 500e6), 'boot')).toEqual({ seconds: 2, instructions: 500e6, mips: 250 })
    expect(figures(target('a', [2]), 'boot')).toEqual({ seconds: 2 })
  })

  it('is nothing without runs', () => {
    expect(figures(target('a', []), 'boot')).toBeUndefined()
  })
})

describe('formatReport', () => {
  const workloads = [{ name: 'loop', title: 'shell loop' }]

  it('compares with the baseline', () => {
    const text = formatReport([target('tenon', [6], 3e9), target('qemu', [2])], workloads, 'qemu')
    expect(text.split('\n').slice(0, 3)).toEqual([
      '                                tenon    qemu',
      'to user space  6.00 s (3.00) 500 MIPS  2.00 s',
      'shell loop             12.00 s (3.00)  4.00 s',
    ])
  })

  it('does without a baseline, and without runs', () => {
    const text = formatReport([target('tenon', [6]), target('v86', [])], workloads, undefined)
    expect(text.split('\n')).toEqual(['                 tenon  v86', 'to user space   6.00 s    -', 'shell loop     12.00 s    -'])
  })
})
