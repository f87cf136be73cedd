import { Command } from 'commander'
import { describe, expect, it } from 'vitest'
import { chosenWorkloads, readOptions } from './options.ts'

/** What is chosen by a command line; throws what commander says. */
function read(...args: string[]): { options: ReturnType<typeof readOptions>, names: string[] } {
  const options = readOptions(args, new Command().exitOverride().configureOutput({ writeErr: () => undefined }))
  return { options, names: chosenWorkloads(options).map(({ name }) => name) }
}

describe('readOptions', () => {
  it('measures everything when nothing is said', () => {
    const { options, names } = read()
    expect(options).toMatchObject({ suites: [], runs: 3, engine: 'auto', quick: false })
    expect(names).toEqual(expect.arrayContaining(['awk', 'gzip', 'sieve', 'big-code']))
    expect(new Set(names).size).toBe(names.length)
  })

  it('takes a suite', () => {
    expect(read('loops').names).not.toContain('awk')
    expect(read('loops').names).toContain('sieve')
    expect(read('shell').names).not.toContain('sieve')
    expect(read('shell', 'loops').names).toEqual(read().names)
  })

  it('takes single workloads and targets', () => {
    const { options, names } = read('--only', 'sieve,awk', '--targets', 'tenon,qemu', '--runs', '1', '--engine', 'interpret')
    expect(names).toEqual(['awk', 'sieve'])
    expect(options).toMatchObject({ targets: ['tenon', 'qemu'], runs: 1, engine: 'interpret' })
    expect(read('--only', 'boot').names).toEqual([])
  })

  it('takes the suites that are not measured when nothing is said', () => {
    expect(read('network').names).toEqual(expect.arrayContaining(['to-host-1', 'from-host-8', 'to-guest-1', 'http', 'http-connections']))
    expect(read('disk', '--disk-format', 'qcow2').names).toEqual(expect.arrayContaining(['write-1', 'randread-32']))
    expect(read('--only', 'to-guest-8').names).toEqual(['to-guest-8'])
  })

  it('makes every workload smaller, with another answer', () => {
    const full = chosenWorkloads({ suites: [], quick: false })
    const quick = chosenWorkloads({ suites: [], quick: true })
    expect(quick.map(({ name }) => name)).toEqual(full.map(({ name }) => name))
    expect(quick.filter(({ answer }, index) => answer === full[index].answer)).toEqual([])
  })

  it.each([['suites'], ['--only', 'tenon'], ['--targets', 'sieve'], ['--runs', '0'], ['--engine', 'fast']])('refuses %s %s', (...args) => {
    expect(() => read(...args)).toThrow(/invalid|none of|whole number/i)
  })
})
