import { describe, expect, it } from 'vitest'
import type { TargetResult } from './figures.ts'
import { formatReport } from './report.ts'
import { target } from './testing/results.ts'

const SHELL = [{ name: 'awk', title: 'awk', suite: 'shell' as const }, { name: 'gzip', title: 'gzip', suite: 'shell' as const }]
const LOOPS = [{ name: 'sieve', title: 'sieve', suite: 'loops' as const }]

const RAM = 256 * 1024 ** 2

describe('formatReport', () => {
  it('has a table for each suite, with ratios, their means and instructions', () => {
    const results = [
      target('native', [{ sieve: 1 }]),
      target('tenon', [{ boot: 6, awk: 8, gzip: 2, sieve: 8 }], { boot: 3e9, sieve: 4e9 }),
      target('qemu', [{ boot: 2, awk: 2, gzip: 2, sieve: 4 }]),
    ]
    expect(formatReport(results, [...SHELL, ...LOOPS], RAM).split('\n')).toEqual([
      '                                 tenon    qemu  instructions',
      'to user space   6.00 s (3.00) 500 MIPS  2.00 s       3,000 M',
      'awk                      8.00 s (4.00)  2.00 s             -',
      'gzip                     2.00 s (1.00)  2.00 s             -',
      'geometric mean                  (2.00)       -',
      '',
      '                native                         tenon                 qemu  instructions',
      'sieve           1.00 s  8.00 s (2.00, 8.00) 500 MIPS  4.00 s (1.00, 4.00)       4,000 M',
      'geometric mean       -                  (2.00, 8.00)         (1.00, 4.00)',
      '',
      'Medians of seconds. In brackets the ratio to qemu, then to native. MIPS and instructions where the target counts them.',
    ])
  })

  it('does without a baseline, and without runs', () => {
    const text = formatReport([target('tenon', [{ boot: 6 }]), target('v86', [])], [], RAM)
    expect(text.split('\n').slice(0, 2)).toEqual(['                tenon', 'to user space  6.00 s'])
    expect(formatReport([target('v86', [])], [], RAM).split('\n').slice(0, 2)).toEqual(['               v86', 'to user space    -'])
  })

  it('has rates, and what a transfer costs the host', () => {
    const rows = [
      { name: 'to-host', title: 'to host', suite: 'network' as const, amount: { unit: 'bytes' as const, count: 5e8 } },
      { name: 'http', title: 'http', suite: 'network' as const, amount: { unit: 'operations' as const, count: 10_000 } },
    ]
    const costing = (name: string, seconds: number): TargetResult => {
      const [run] = target(name, [{ 'to-host': seconds, 'http': 2 * seconds }], { 'to-host': 4e9 }).runs
      return { ...target(name, []), runs: [{ ...run, cpuSeconds: { 'to-host': 3 * seconds, 'http': 1 } }] }
    }
    expect(formatReport([costing('tenon', 1), costing('qemu', 2)], rows, RAM).split('\n').slice(0, -2)).toEqual([
      '                                          tenon             qemu  instructions',
      'to host                  500 MB/s 1.00 s (0.50)  250 MB/s 2.00 s       4,000 M',
      'http                      5,000/s 2.00 s (0.50)   2,500/s 4.00 s             -',
      'geometric mean                           (0.50)                -',
      'processor s/GB: to host                    6.00            12.00',
    ])
  })

  it('has the largest resident set where the host tells it', () => {
    const [run] = target('tenon', [{ 'boot': 1, 'fill-memory': 1 }]).runs
    const results = [{ ...target('tenon', []), runs: [{ ...run, peakMemoryBytes: 300 * 1024 ** 2 }] }]
    expect(formatReport(results, [], RAM).split('\n').slice(2, 4)).toEqual(['peak memory             300 MiB', 'beyond the guest\'s RAM   44 MiB'])
  })
})
