/** The message of a test that found a difference: shrunk and disassembled. */
import { hotProgram, randomDraft } from './generate.ts'
import type { Draft } from './generate.ts'
import { hotListing } from './listing.ts'
import { ALL_FLAGS, compareOutcomes } from './outcome.ts'
import { shrink } from './shrink.ts'
import type { Way } from './ways.ts'

/** What differs between two ways to run a program, a line each. */
export function disagreement(draft: Draft, expected: Way, actual: Way): string[] {
  const program = hotProgram(draft)
  return program === undefined ? [] : compareOutcomes(expected.run(program), actual.run(program), ALL_FLAGS)
}

/** Of a range of seeds, the first that the second way runs differently; '' if there is none. */
export function firstDisagreement(first: number, end: number, expected: Way, actual: Way): string {
  for (let seed = first; seed < end; seed++) {
    if (disagreement(randomDraft(seed), expected, actual).length > 0) return describeDisagreement(seed, expected, actual)
  }
  return ''
}

function describeDisagreement(seed: number, expected: Way, actual: Way): string {
  const small = shrink(randomDraft(seed), (draft) => disagreement(draft, expected, actual).length > 0)
  const lines = disagreement(small, expected, actual)
  return [`seed ${seed}: ${actual.name} differs from ${expected.name}`, ...lines.slice(0, 12), hotListing(hotProgram(small)!)].join('\n')
}
