import { describe, expect, it } from 'vitest'
import { backgroundData, backgroundState, CODE, DATA, descriptorOf, Local, segmentBase } from './environment.ts'
import { decodeVectors, encodeVectors } from './format.ts'
import { selector, setSelector, Word } from './state.ts'
import type { CodeSize } from './state.ts'
import { codeOffset, dataAfter, dataBefore } from './vector.ts'
import type { Vector } from './vector.ts'

const header = { processor: { vendor: 'GenuineExample', family: 6, model: 1 }, seed: 7 }

function vector(row: string, seed: number, mode: CodeSize, changes: Partial<Vector> = {}): Vector {
  const initial = backgroundState(seed, mode)
  initial[0] = 0x1234n
  const expected = initial.slice()
  expected[Word.RIP] += 2n
  const base = { row, seed, mode, code: Uint8Array.of(0x66, 0x90), initial, expected, exception: undefined }
  return { ...base, patches: [], writes: [{ offset: 5, bytes: Uint8Array.of(1, 2) }], ...changes }
}

const vectors: readonly Vector[] = [
  vector('90 b0', 7, 64),
  vector('90 b0', 9, 32, { exception: { vector: 13, errorCode: 0x44, address: 0n }, writes: [] }),
  vector('00 Eb,Gb', 300, 16, { exception: { vector: 14, errorCode: 7, address: 0x20002000n }, patches: [{ offset: 0x1ffe, bytes: Uint8Array.of(9, 8) }] }),
]

describe('vector files', () => {
  it('read back what was written', () => {
    expect(decodeVectors(encodeVectors(header, vectors))).toEqual({ header, vectors })
  })

  it('cost a few bytes when nothing happens', () => {
    const idle = [vector('90 b0', 7, 64, { writes: [] }), vector('90 b0', 8, 64, { writes: [] })]
    const [one, two] = [idle.slice(0, 1), idle].map((list) => encodeVectors(header, list).length)
    expect(two - one).toBe(2 + 1 + 3 + (13 + 9) + 1 + 13 + 1)
  })

  it('are refused when they are cut short or of another format', () => {
    const bytes = encodeVectors(header, vectors)
    expect(() => decodeVectors(bytes.subarray(0, bytes.length - 1))).toThrow(RangeError)
    expect(() => decodeVectors(Uint8Array.of(1, 2, 3, 4, 5))).toThrow(/does not begin with TNV2/)
  })
})

describe('the environment', () => {
  it('gives a seed the same state always', () => {
    const state = backgroundState(12345, 64)
    expect(state[0].toString(16)).toBe('129e6487086066a0')
    expect(state[Word.XMM + 31].toString(16)).toBe('84b938a0753ab05e')
    expect(Array.from(backgroundData().subarray(0, 8))).toEqual([0, 88, 0, 9, 0, 221, 190, 23])
  })

  it('leaves the registers that a mode has not got at zero', () => {
    const state = backgroundState(1, 32)
    expect(Array.from(state.subarray(8, 16))).toEqual(Array.from({ length: 8 }, () => 0n))
    expect(state.subarray(0, 8).every((value) => value >> 32n === 0n)).toBe(true)
  })

  it('keeps selectors apart', () => {
    const state = backgroundState(1, 64)
    setSelector(state, 2, 0x1234)
    setSelector(state, 5, 0x5678)
    expect([0, 1, 2, 3, 4, 5].map((segment) => selector(state, segment))).toEqual([0, 0x33, 0x1234, 0, 0, 0x5678])
  })

  it('finds the bases of segments', () => {
    expect(segmentBase(backgroundState(1, 16), 16, 1)).toBe(BigInt(CODE))
    expect(segmentBase(backgroundState(1, 32), 32, 4)).toBe(BigInt(DATA))
    const state = backgroundState(1, 64)
    state[Word.GS_BASE] = 0x7f0000000000n
    expect(segmentBase(state, 64, 5)).toBe(0x7f0000000000n)
    expect(segmentBase(state, 64, 3)).toBe(0n)
    expect(descriptorOf(Local.NOT_PRESENT) >> 47n & 1n).toBe(0n)
    expect(descriptorOf(Local.NOT_PRESENT + 8)).toBe(0n)
  })

  it('lays patches and writes over the data', () => {
    const [, , faulting] = vectors
    expect(dataBefore(faulting)[0x1fff]).toBe(8)
    expect(Array.from(dataAfter(faulting).subarray(4, 8))).toEqual([backgroundData()[4], 1, 2, backgroundData()[7]])
    expect(codeOffset(faulting)).toBe(codeOffset(vectors[0]))
  })
})
