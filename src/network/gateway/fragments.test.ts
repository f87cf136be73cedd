import { describe, expect, it } from 'vitest'
import { Random } from '../../base/testing/random.ts'
import { FakeClock } from '../testing/fake-clock.ts'
import { parseIpv4Packet } from '../packet/ipv4.ts'
import { newPacket } from '../packet/packet.ts'
import { Ager } from './ager.ts'
import { Counters } from './counters.ts'
import { Fragments } from './fragments.ts'

interface Piece {
  readonly start: number
  readonly end: number
}

/** A payload's pieces, cut anywhere that is allowed. */
function cut(random: Random, length: number): Piece[] {
  const pieces: Piece[] = []
  for (let start = 0; start < length;) {
    const end = Math.min(length, start + 8 * (1 + random.below(40)))
    pieces.push({ start, end })
    start = end
  }
  return pieces
}

function shuffle<Item>(random: Random, items: Item[]): Item[] {
  for (let left = items.length; left > 1; left--) items.push(items.splice(random.below(left), 1)[0])
  return items
}

describe('reassembly', () => {
  it('gives back what was cut up, whatever the order and however often pieces come', () => {
    const random = new Random(31)
    const counters = new Counters()
    const fragments = new Fragments(new Ager(new FakeClock()), counters, () => {})
    for (let round = 0; round < 200; round++) {
      const payload = random.bytes(16 + random.below(4000))
      const pieces = cut(random, payload.length)
      const last = shuffle(random, pieces).pop()!
      // Repetitions of what has come, then the one that was missing.
      const order = [...pieces, ...pieces.filter(() => random.below(4) === 0), last]
      const results = order.map(({ start, end }) => fragments.add({
        ...newPacket(), bytes: Uint8Array.of(10, 0, 5, 7, 10, 0, 5, 1, ...payload.subarray(start, end)), source: 0, destination: 4,
        protocol: 17, payload: 8, payloadLength: end - start, identification: round, fragmentOffset: start,
        moreFragments: end < payload.length,
      }))
      expect(results.slice(0, -1).every(result => result === null)).toBe(true)
      const whole = newPacket()
      const bytes = results.at(-1)!
      expect(parseIpv4Packet(bytes, 0, bytes.length, whole)).toBe('good')
      expect(whole.payloadLength).toBe(payload.length)
      expect(Buffer.compare(bytes.subarray(whole.payload), payload)).toBe(0)
    }
    expect(counters.drops.fragments).toBe(0)
  })
})
