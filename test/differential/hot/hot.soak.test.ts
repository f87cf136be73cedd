/** All recorded programs in every way, single steps included, and many others. The environment's TENON_HOT_SEEDS asks for more. */
import { describe, expect, it } from 'vitest'
import { allWays } from './all-ways.ts'
import { firstDisagreement } from './failure.ts'
import { firstDifference, loadRecording } from './recorded.ts'

const TIMEOUT = 1_800_000
const FRESH = Number(process.env.TENON_HOT_SEEDS ?? 300)
const FIRST = 2_000_000

const recording = loadRecording()
const ways = allWays()
const [reference, ...others] = ways.filter(({ name }) => name !== 'stepping')

describe('all recorded programs', () => {
  it.each(ways)('run as on the processor: $name', (way) => { expect(firstDifference(recording, way)).toBe('') }, TIMEOUT)
})

describe('many programs', () => {
  it.each(others)('run alike: $name', (way) => { expect(firstDisagreement(FIRST, FIRST + FRESH, reference, way)).toBe('') }, TIMEOUT)
})
