/**
 * Random programs give the same state and memory whatever way their instructions run: alone with no flags left lazy, from traces with
 * outlined handlers, inline or fused ones, and in slices of any length.
 */
import { describe, expect, it } from 'vitest'
import { FUSED_ENGINE_FITS, fusedEngine, outlinedEngine, inlineEngine } from '../vectors/interpreter/engines.ts'
import { Random } from '../vectors/random.ts'
import { listing, randomProgram } from './program.ts'
import { compareResults, SlicedRunner, SteppingRunner } from './runners.ts'

const PROGRAMS = 2000
const CHUNK = 500
const TIMEOUT = 120_000

const outlined = outlinedEngine()
const random = new Random(1)
const reference = new SteppingRunner('one at a time', outlined)
const runners = [
  new SlicedRunner('outlined handlers', outlined, 1000),
  new SlicedRunner('inline handlers', inlineEngine(), 3),
  ...FUSED_ENGINE_FITS ? [new SlicedRunner('fused pairs', fusedEngine((limit) => random.below(limit)), 1000)] : [],
  new SlicedRunner('translated', outlined, 1000, 1),
]

/** What differs in the first program of a range that runs differently; '' if all agree. */
function firstDisagreement(first: number, end: number): string {
  for (let seed = first; seed < end; seed++) {
    const program = randomProgram(new Random(seed), seed)
    const expected = reference.run(program)
    const wrong = runners.flatMap((runner) => compareResults(expected, runner.run(program)).map((line) => `${runner.name}: ${line}`))
    if (wrong.length > 0) return `seed ${seed}, ${program.mode}-bit\n${wrong.slice(0, 10).join('\n')}\n${listing(program)}`
  }
  return ''
}

describe('engines agree on random programs', () => {
  it.each(Array.from({ length: PROGRAMS / CHUNK }, (_, n) => n * CHUNK))('from seed %d', (first) => {
    expect(firstDisagreement(first, first + CHUNK)).toBe('')
  }, TIMEOUT)

  it('which are translated, where that is asked for', () => {
    expect(runners.map((runner) => runner.regions > PROGRAMS)).toEqual(runners.map((runner) => runner.name === 'translated'))
  })

  it('which run a good deal of them before the end', () => {
    expect(Math.min(...runners.map((runner) => runner.retired))).toBeGreaterThan(PROGRAMS * 15)
  })
})
