/** Programs that run hot give the same faults, states and memory as on the processor that they were recorded on, and in every way here. */
import { describe, expect, it } from 'vitest'
import { allWays } from './all-ways.ts'
import { firstDisagreement } from './failure.ts'
import { compareOutcomes, DEFINED_FLAGS, EventWord, MAXIMUM_EVENTS } from './outcome.ts'
import { firstDifference, loadRecording } from './recorded.ts'

const TIMEOUT = 120_000
/** How many of the recorded programs run here, and how many others; hot.soak.test.ts runs all. */
const RECORDED = 100
const FRESH = 60

const recording = loadRecording()
const [reference, ...others] = allWays().filter(({ name }) => name !== 'stepping')

describe('recorded programs', () => {
  it.each([reference, ...others])('run as on the processor: $name', (way) => {
    expect(firstDifference(recording.slice(0, RECORDED), way)).toBe('')
  }, TIMEOUT)

  it('have faults of every kind, and end by themselves', () => {
    const vectors = new Set(recording.flatMap(({ events }) => events.map(({ vector }) => vector)))
    expect([...vectors]).toEqual(expect.arrayContaining([0, 6, 13, 14, 17]))
    expect(recording.filter(({ events }) => events.length < MAXIMUM_EVENTS).length).toBeGreaterThan(recording.length * 0.9)
  })

  it('show a wrong state', () => {
    const { program, events } = recording[0]
    const changed = events.map((event) => ({ ...event, words: event.words.slice() }))
    changed.at(-1)!.words[EventWord.RFLAGS] ^= 1n
    expect(compareOutcomes(changed, reference.run(program), DEFINED_FLAGS).join()).toMatch(/RFLAGS/)
  })
})

describe('other programs', () => {
  it.each(others)(`run alike: $name and ${reference.name}`, (way) => {
    expect(firstDisagreement(1_000_000, 1_000_000 + FRESH, reference, way)).toBe('')
  }, TIMEOUT)

  it('are hot enough to be translated', () => {
    for (const way of others.filter(({ name }) => name.startsWith('translated'))) expect(way.regions, way.name).toBeGreaterThan(RECORDED)
  })
})
