import { expect, test } from 'vitest'
import { ByteRing } from './byte-ring.ts'

const CAPACITY = 16

function pair(): { writer: ByteRing, reader: ByteRing } {
  const memory = new SharedArrayBuffer(4 + ByteRing.byteLength(CAPACITY))
  return { writer: new ByteRing(memory, 4, CAPACITY), reader: new ByteRing(memory, 4, CAPACITY) }
}

test('bytes come out as they went in, across the end of the memory and whichever way', () => {
  const { writer, reader } = pair()
  const got: number[] = []
  let next = 0
  for (let round = 0; round < 200; round++) {
    const piece = Uint8Array.from({ length: round % 23 }, (_, index) => next + index)
    next += writer.write(piece)
    if (writer.push(next)) next++
    if (round % 3 === 0) got.push(reader.shift())
    got.push(...reader.read(round % 7))
  }
  got.push(...reader.read(CAPACITY))
  expect(next).toBeGreaterThan(500)
  expect(got).toEqual(Array.from({ length: next }, (_, index) => index & 0xff))
})

test('a full ring refuses, and an empty one has nothing', () => {
  const { writer, reader } = pair()
  expect([reader.shift(), reader.read(5).length, reader.used]).toEqual([-1, 0, 0])
  expect(writer.write(new Uint8Array(CAPACITY + 4).fill(7))).toBe(CAPACITY)
  expect([writer.push(1), writer.write(Uint8Array.of(1)), reader.used]).toEqual([false, 0, CAPACITY])
  expect([reader.shift(), writer.push(9), writer.push(9)]).toEqual([7, true, false])
})

test('the counters may pass 2^32', () => {
  const memory = new SharedArrayBuffer(ByteRing.byteLength(CAPACITY))
  new Int32Array(memory, 0, 2).fill(-3)
  const ring = new ByteRing(memory, 0, CAPACITY)
  expect(ring.write(Uint8Array.from({ length: CAPACITY }, (_, index) => index))).toBe(CAPACITY)
  expect([ring.used, ring.push(0)]).toEqual([CAPACITY, false])
  expect([ring.shift(), ...ring.read(CAPACITY)]).toEqual(Array.from({ length: CAPACITY }, (_, index) => index))
  expect(ring.used).toBe(0)
})
