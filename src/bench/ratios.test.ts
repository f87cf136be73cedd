import { describe, expect, it } from 'vitest'
import { baselines, geometricMean, meanRatios, ratios, summary } from './ratios.ts'
import { target } from './testing/results.ts'
import type { Workload } from './workloads.ts'

const native = target('native', [{ sieve: 1, sort: 2 }])
const tenon = target('tenon', [{ boot: 6, awk: 9, sieve: 8, sort: 4 }], { sieve: 4e9 })
const qemu = target('qemu', [{ boot: 2, awk: 3, sieve: 4, sort: 4 }])
const bases = [qemu, native]
const workload = (name: string, suite: Workload['suite']): Workload => ({ name, suite, title: name, script: '', answer: '' })

describe('baselines', () => {
  it('are QEMU and the host, of what has run', () => {
    expect(baselines([native, tenon, qemu])).toEqual(bases)
    expect(baselines([native, tenon, target('qemu', [])])).toEqual([native])
    expect(baselines([tenon, target('qemu-i386', [{ boot: 1 }])]).map(({ name }) => name)).toEqual(['qemu-i386'])
  })
})

describe('ratios', () => {
  it('are to each baseline that has the workload', () => {
    expect(ratios(tenon, bases, 'sieve')).toEqual({ qemu: 2, native: 8 })
    expect(ratios(tenon, bases, 'awk')).toEqual({ qemu: 3 })
    expect(ratios(qemu, bases, 'sieve')).toEqual({ qemu: 1, native: 4 })
    expect(ratios(native, bases, 'sieve')).toEqual({})
    expect(ratios(tenon, bases, 'chase')).toEqual({})
  })
})

describe('meanRatios', () => {
  it('are geometric', () => {
    expect(geometricMean([2, 8])).toBeCloseTo(4)
    const means = meanRatios(tenon, bases, [{ name: 'sieve' }, { name: 'sort' }])
    expect(means.qemu).toBeCloseTo(Math.sqrt(2))
    expect(means.native).toBeCloseTo(4)
  })

  it('leave out a baseline that lacks a workload', () => {
    expect(Object.keys(meanRatios(tenon, bases, [{ name: 'sieve' }, { name: 'awk' }]))).toEqual(['qemu'])
    expect(meanRatios(tenon, bases, [])).toEqual({})
  })
})

describe('summary', () => {
  it('has medians, ratios and means', () => {
    expect(summary(tenon, bases, [workload('awk', 'shell'), workload('sieve', 'loops')])).toMatchObject({
      name: 'tenon',
      medians: { boot: { seconds: 6 }, sieve: { seconds: 8, instructions: 4e9, mips: 500 } },
      ratios: { boot: { qemu: 3 }, sieve: { qemu: 2, native: 8 } },
      geometricMeans: { shell: { qemu: expect.closeTo(3) as number }, loops: { qemu: expect.closeTo(2) as number, native: expect.closeTo(8) as number } },
    })
  })
})
