/** What the comparison of hot programs rests on: assembling, shrinking and recording them. */
import { describe, expect, it } from 'vitest'
import { CODE, CODE_SIZE } from '../../vectors/environment.ts'
import { assemble, HANDLER } from './assemble.ts'
import type { Item } from './assemble.ts'
import { hotProgram, randomDraft } from './generate.ts'
import { digest, EVENT_WORDS } from './outcome.ts'
import { decodeRecording, encodeRecording } from './recording.ts'
import { shrink } from './shrink.ts'

const NOP: Item = { bytes: [0x90] }
const END: Item = { bytes: [], label: HANDLER }
const JUMP: Item = { bytes: [0xe9, 0, 0, 0, 0], short: [0xeb], references: [{ at: 1, kind: 'relative', to: { label: 1 } }] }
const state = new BigUint64Array(72)
const bytesOf = (items: readonly Item[], offset = 0): number[] => [...assemble([...items, END], offset, state)!.code]

describe('assemble', () => {
  it('makes near branches short and leaves others long', () => {
    expect(bytesOf([JUMP, NOP, { ...NOP, label: 1 }])).toEqual([0xeb, 1, 0x90, 0x90])
    const far = Array.from({ length: 200 }, () => NOP)
    expect(bytesOf([JUMP, ...far, { ...NOP, label: 1 }]).slice(0, 6)).toEqual([0xe9, 200, 0, 0, 0, 0x90])
    expect(bytesOf([{ ...NOP, label: 1 }, ...far, JUMP]).slice(-5)).toEqual([0xe9, 0x32, 0xff, 0xff, 0xff])
  })

  it('fills in addresses', () => {
    const load: Item = { bytes: [0xb9, 0, 0, 0, 0], references: [{ at: 1, kind: 'absolute', to: { label: 1 }, add: 3 }] }
    expect(bytesOf([load, { ...NOP, label: 1 }], 0x10)).toEqual([0xb9, 0x18, 0, 0, CODE >> 24, 0x90])
  })

  it('notes where instructions are, but not in data', () => {
    const { lengths } = assemble([{ bytes: [0x48, 0x89, 0xc8, 0x90] }, { bytes: [0x90], isData: true }, END], 2, state)!
    expect([...lengths.subarray(0, 8)]).toEqual([0, 0, 3, 0, 0, 1, 0, 0])
  })

  it('refuses what does not fit', () => {
    expect(assemble([NOP, END], CODE_SIZE, state)).toBeUndefined()
  })
})

describe('shrink', () => {
  it('keeps what it takes to fail, and labels', () => {
    const items = Array.from({ length: 50 }, (_, n): Item => ({ bytes: [n], ...n % 10 === 0 ? { label: n } : {} }))
    const has = (list: readonly Item[], byte: number): boolean => list.some(({ bytes }) => bytes[0] === byte)
    const small = shrink({ items, offset: 0, state }, (draft) => has(draft.items, 17) && has(draft.items, 40))
    expect(small.items).toEqual([
      { bytes: [], label: 0 }, { bytes: [], label: 10 }, { bytes: [17] }, { bytes: [], label: 20 }, { bytes: [], label: 30 }, { bytes: [40], label: 40 },
    ])
  })
})

describe('recording', () => {
  it('gives back what was written', () => {
    const program = hotProgram(randomDraft(5))!
    const event = { vector: 14, errorCode: 6, address: 0x2000_2000n, words: new BigUint64Array(EVENT_WORDS).fill(7n), xmmDigest: 1, memoryDigest: 2 }
    const written = [{ seed: 5, program, events: [event, { ...event, vector: 6, address: 0n }] }]
    expect(decodeRecording(encodeRecording(written))).toEqual(written)
  })

  it('has digests that depend on every word and its place', () => {
    const digests = [[1, 2, 3], [1, 3, 2], [1, 2, 4], [0, 2, 3]].map((words) => digest(Uint32Array.from(words)))
    expect(new Set(digests).size).toBe(4)
  })
})
