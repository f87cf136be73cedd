import { expect, test } from 'vitest'
import { Random } from '../base/testing/random.ts'
import { byteLength, fillZeroes, gather, gatherInto, isZero, scatter, sliceBuffers, zeroBuffers } from './buffers.ts'

function split(random: Random, bytes: Uint8Array): Uint8Array[] {
  const buffers: Uint8Array[] = []
  for (let at = 0; at < bytes.length;) {
    const part = bytes.subarray(at, at + random.below(20))
    buffers.push(part)
    at += part.length
  }
  return buffers
}

test('parts of scattered buffers are the parts of their bytes, and views', () => {
  const random = new Random(1)
  for (let round = 0; round < 300; round++) {
    const bytes = random.bytes(1 + random.below(100))
    const buffers = split(random, bytes)
    const start = random.below(bytes.length + 1)
    const length = random.below(bytes.length - start + 1)
    const slice = sliceBuffers(buffers, start, length)
    expect(byteLength(slice)).toBe(length)
    expect([...gather(slice)]).toEqual([...bytes.subarray(start, start + length)])
    expect(slice.every(part => part.buffer === bytes.buffer)).toBe(true)
  }
})

test('bytes are gathered and scattered in order', () => {
  const random = new Random(2)
  const bytes = random.bytes(500)
  const into = new Uint8Array(500)
  scatter(split(random, into), bytes)
  expect([...into]).toEqual([...bytes])
  const gathered = new Uint8Array(500)
  gatherInto(gathered, split(random, bytes))
  expect([...gathered]).toEqual([...bytes])
  fillZeroes(split(random, into))
  expect(isZero(into)).toBe(true)
})

test('a single byte is seen at any place and alignment', () => {
  const memory = new Uint8Array(64)
  for (let start = 0; start < 8; start++) {
    for (let length = 0; length < 40; length++) {
      const bytes = memory.subarray(start, start + length)
      memory.fill(0xff)
      bytes.fill(0)
      expect(isZero(bytes)).toBe(true)
      for (let at = 0; at < length; at++) {
        bytes[at] = 1
        expect(isZero(bytes)).toBe(false)
        bytes[at] = 0
      }
    }
  }
})

test('lists of zeros have their length', () => {
  for (const length of [0, 1, 65536, 65537, 1_000_000]) {
    const list = zeroBuffers(length)
    expect(byteLength(list)).toBe(length)
    expect(list.every(isZero)).toBe(true)
  }
})
