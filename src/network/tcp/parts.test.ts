import { describe, expect, it } from 'vitest'
import { Random } from '../../base/testing/random.ts'
import { ALLOWANCE_MINIMUM, BUFFER_SIZE_MAXIMUM, BufferPool } from './buffer-pool.ts'
import { ByteRing } from './byte-ring.ts'
import { DeadlineHeap } from './deadline-heap.ts'
import type { Sleeper } from './deadline-heap.ts'
import { KeyedHash } from './keyed-hash.ts'
import { RoundTrip } from './round-trip.ts'
import { Control, Segment, writeHeader, writeSack, writeTimestamps } from './segment.ts'
import { RANGES_MAXIMUM, SequenceRanges } from './sequence-ranges.ts'

describe('SequenceRanges', () => {
  it('is a set of numbers, also where they wrap', () => {
    const random = new Random(3)
    for (let round = 0; round < 60; round++) {
      const base = round % 2 === 0 ? 0x7fffffc0 : 0xffffffc0
      const model = new Set<number>()
      const ranges = new SequenceRanges()
      for (let step = 0; step < 12; step++) {
        const start = random.below(100)
        const end = start + 1 + random.below(20)
        expect(ranges.add((base + start) | 0, (base + end) | 0)).toBe(true)
        for (let number = start; number < end; number++) model.add(number)
        if (random.below(4) === 0) {
          const limit = random.below(60)
          ranges.removeBefore((base + limit) | 0)
          for (let number = 0; number < limit; number++) model.delete(number)
        }
        const listed = Array.from({ length: 130 }, (_, number) => number).filter(number => ranges.indexOf((base + number) | 0) >= 0)
        expect(new Set(listed)).toEqual(model)
        expect(ranges.bytes).toBe(model.size)
        expect(ranges.bytesBetween((base + 30) | 0, (base + 60) | 0)).toBe([...model].filter(number => number >= 30 && number < 60).length)
        const present = [...model].filter(number => number >= 40).sort((one, other) => one - other)[0] ?? 100
        expect(ranges.firstPresent((base + 40) | 0, (base + 100) | 0)).toBe((base + Math.min(present, 100)) | 0)
      }
    }
  })

  it('is bounded', () => {
    const ranges = new SequenceRanges()
    for (let index = 0; index < RANGES_MAXIMUM; index++) expect(ranges.add(10 * index, 10 * index + 1)).toBe(true)
    expect(ranges.add(5, 6)).toBe(false)
    expect(ranges.add(0, 1000)).toBe(true)
    expect([ranges.length, ranges.bytes]).toEqual([1, 1000])
  })
})

describe('ByteRing', () => {
  it('is a queue with holes behind it, whatever its buffer does', () => {
    const random = new Random(5)
    const pool = new BufferPool(1 << 20)
    const ring = new ByteRing(pool)
    let model = Buffer.alloc(0)
    for (let step = 0; step < 2000; step++) {
      const bytes = random.bytes(1 + random.below(random.below(8) === 0 ? 9000 : 200))
      const hole = random.below(100)
      if (random.below(3) > 0 && ring.place(model.length + hole, bytes, 0, bytes.length)) {
        const filler = random.bytes(hole)
        ring.place(model.length, filler, 0, hole)
        ring.extend(hole + bytes.length)
        model = Buffer.concat([model, filler, bytes])
      } else {
        const count = random.below(model.length + 1)
        expect(Buffer.from(ring.peek()).equals(model.subarray(0, ring.peek().length))).toBe(true)
        const copy = new Uint8Array(count)
        if (count > 0) ring.copyTo(model.length - count, count, copy, 0)
        expect(Buffer.from(copy).equals(model.subarray(model.length - count))).toBe(true)
        ring.consume(count)
        model = model.subarray(count)
      }
      expect(ring.length).toBe(model.length)
    }
    ring.clear()
    expect(pool.used).toBe(0)
  })
})

describe('BufferPool', () => {
  it('gives less to each the more is in use, and never nothing', () => {
    const pool = new BufferPool(4 << 20)
    expect(pool.allowance).toBeLessThan(BUFFER_SIZE_MAXIMUM)
    const buffers: Uint8Array[] = []
    for (let buffer = pool.take(300_000); buffer !== null; buffer = pool.take(300_000)) buffers.push(buffer)
    expect([buffers.length, pool.allowance]).toEqual([8, ALLOWANCE_MINIMUM])
    expect(pool.take(1000)?.length).toBe(2048)
    expect(pool.take(1 << 21, true)).toBeNull()
    expect(pool.take(65536, true)?.length).toBe(65536)
    for (const buffer of buffers) pool.give(buffer)
    expect(buffers).toContain(pool.take(300_000))
  })
})

describe('KeyedHash', () => {
  it('is HalfSipHash-2-4', () => {
    const hashes = [0, 1, 2, 3].map(words => {
      const hash = new KeyedHash(0x03020100, 0x07060504)
      hash.start()
      for (let word = 0; word < words; word++) hash.add(0x03020100 + word * 0x04040404)
      return (hash.finish() >>> 0).toString(16).padStart(8, '0')
    })
    // The authors' test vectors for 0, 4, 8 and 12 bytes, little-endian.
    expect(hashes).toEqual(['5b9f35a9', '89466e2a', '8f84b8d0', '2f87f057'])
  })
})

describe('DeadlineHeap', () => {
  it('wakes in order, whatever was changed', () => {
    const random = new Random(9)
    const heap = new DeadlineHeap<Sleeper>()
    const sleepers = Array.from({ length: 50 }, () => ({ wakesAt: Infinity, heapIndex: -1 }))
    for (let step = 0; step < 600; step++) {
      const sleeper = random.pick(sleepers)
      const action = random.below(4)
      if (action < 2) heap.wakeBy(sleeper, random.below(1000))
      else if (action === 2) heap.remove(sleeper)
      const earliest = Math.min(...sleepers.map(each => each.wakesAt))
      expect(heap.next).toBe(earliest)
      if (action === 3) expect(heap.pop()?.heapIndex ?? -1).toBe(-1)
    }
  })
})

describe('RoundTrip', () => {
  it('follows RFC 6298', () => {
    const roundTrip = new RoundTrip()
    expect(roundTrip.timeout).toBe(1000)
    roundTrip.measured(100)
    expect(roundTrip.timeout).toBe(300) // R + 4 * R / 2
    roundTrip.measured(180)
    expect(roundTrip.timeout).toBe(340) // 110 + 4 * 57.5
    for (let doubling = 0; doubling < 20; doubling++) roundTrip.double()
    expect(roundTrip.timeout).toBe(60_000)
    for (let sample = 0; sample < 100; sample++) roundTrip.measured(0)
    expect(roundTrip.timeout).toBe(200)
  })
})

describe('Segment', () => {
  it('reads what it writes', () => {
    const bytes = new Uint8Array(80)
    writeHeader(bytes, 4, 1234, 80, -2, 0x7fffffff, 20 + 12 + 20, Control.ACK, 4096)
    writeSack(bytes, writeTimestamps(bytes, 24, 7, -8), Int32Array.of(1, 2, -4, -3), 2)
    const segment = new Segment()
    expect(segment.parse(bytes, 4, 60)).toBe(true)
    expect(segment).toMatchObject({ sourcePort: 1234, destinationPort: 80, sequence: -2, acknowledgment: 0x7fffffff, window: 4096,
      hasTimestamps: true, timestamp: 7, timestampEcho: -8, sackCount: 2, payloadStart: 56, payloadLength: 8 })
    expect([...segment.sackBlocks.subarray(0, 4)]).toEqual([1, 2, -4, -3])
  })

  it('reads anything without harm', () => {
    const random = new Random(11)
    const segment = new Segment()
    let wrong = 0
    for (let round = 0; round < 20_000; round++) {
      const bytes = random.bytes(random.below(80))
      if (bytes.length > 12 && random.below(2) === 0) bytes[12] = 0x50 + random.below(11) * 16
      if (!segment.parse(bytes, 0, bytes.length)) continue
      if (segment.payloadStart + segment.payloadLength !== bytes.length || segment.sackCount > 4 || segment.windowScale > 14) wrong++
    }
    expect(wrong).toBe(0)
  })
})
