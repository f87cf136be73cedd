import { describe, expect, it } from 'vitest'
import { Random } from '../../base/testing/random.ts'
import { Bench, craft, GUEST, packetOf, SERVER } from './testing/bench.ts'
import type { Crafted, TestStream } from './testing/bench.ts'
import { Control } from './segment.ts'

const { ACK, FIN, RST, SYN } = Control
const ISN = 5000

/** A number near what matters: the start, the peer's numbers, the window's edge, half the space away. */
function near(random: Random, base: number): number {
  const jumps = [0, 0, 0, 1, -1, 3, 100, 1460, 65535, -65536, 1 << 20, 0x7fffffff, -0x80000000]
  return (base + random.pick(jumps) + random.below(3)) | 0
}

function hostileSegment(random: Random, sent: { sequence: number, next: number }, port: number): Crafted {
  const control = random.pick([ACK, ACK, ACK, ACK | FIN, SYN, SYN | ACK, RST, RST | ACK, random.below(64)])
  const edges = Array.from({ length: 2 * (1 + random.below(3)) }, () => near(random, sent.sequence))
  return {
    control, sourcePort: port, sequence: near(random, sent.next), acknowledgment: near(random, sent.sequence),
    window: random.pick([0, 1, 100, 65535]),
    payload: random.bytes(random.pick([0, 0, 1, 10, 1460, 9000])),
    ...(random.below(3) === 0 ? { sack: edges } : {}),
    ...(random.below(4) === 0 ? { timestamps: [random.value() | 0, random.value() | 0] as const } : {}),
    ...(control & SYN ? { maximumSegmentSize: random.pick([0, 1, 536, 1460, 65535]), windowScale: random.pick([0, 7, 14, 255]) } : {}),
  }
}

/** The host's side of a hostile guest: sends, stops, fails, at random. */
function playHost(random: Random, stream: TestStream): void {
  if (stream.log.includes('abort')) return
  const action = random.below(40)
  if (action < 6) stream.give(random.bytes(random.pick([1, 100, 65536])))
  else if (action === 6) stream.room = random.pick([0, 10, Infinity])
  else if (action === 7) {
    stream.room = Infinity
    stream.events.writable()
  } else if (action === 8 && random.below(8) === 0) stream.events.ended()
}

describe('a hostile guest', () => {
  it('gets nowhere with segments that are almost right', () => {
    for (let seed = 1; seed <= 6; seed++) {
      const random = new Random(seed)
      const bench = new Bench({ memory: 1 << 20, flows: 40, flowsOfGuest: 30, openingsOfGuest: 10 }, 1500, seed)
      const sent = { sequence: 0, next: ISN }
      let [flows, memory] = [0, 0]
      for (let step = 0; step < 1500; step++) {
        const port = 1 + random.below(4)
        bench.give(random.below(10) === 0
          ? { control: SYN, sequence: near(random, ISN), sourcePort: port, sackPermitted: true, windowScale: 14 }
          : hostileSegment(random, sent, port))
        const stream = bench.streams[bench.streams.length - 1 - random.below(Math.min(4, bench.streams.length))]
        if (stream !== undefined && random.below(5) === 0 && !stream.log.includes('connected')) {
          stream.log.push('connected')
          if (!stream.log.includes('abort')) stream.events.connected()
        } else if (stream?.log.includes('connected') === true) playHost(random, stream)
        for (const { segment } of bench.take()) {
          sent.sequence = segment.sequence + segment.payloadLength
          if (segment.has(ACK)) sent.next = segment.acknowledgment
        }
        if (random.below(20) === 0) bench.clock.pass(random.pick([1, 50, 3000]))
        flows = Math.max(flows, bench.tcp.flows)
        memory = Math.max(memory, bench.tcp.pool.used)
      }
      expect(flows).toBeLessThanOrEqual(30)
      expect(memory).toBeLessThan((1 << 20) + 4 * 131_072)
      expectHonestGuestServed(bench)
      bench.clock.pass(4 * 3_600_000)
      bench.tcp.close()
      expect([bench.tcp.flows, bench.tcp.pool.used]).toEqual([0, 0])
    }
  })

  it('gets nowhere with noise', () => {
    const random = new Random(99)
    const bench = new Bench()
    for (let step = 0; step < 5000; step++) bench.giveBytes(random.bytes(20 + random.below(60)), GUEST, SERVER)
    expect(bench.tcp.flows).toBeLessThan(5000)
    for (const quoted of [0, 8, 20].map(length => random.bytes(20 + length))) {
      bench.tcp.failed(packetOf(quoted, SERVER, GUEST), 'too-big', 0)
      bench.tcp.failed(packetOf(quoted, SERVER, GUEST), 'unreachable', 0)
    }
    expectHonestGuestServed(bench)
  })

  it('cannot make the host send more than it acknowledges, whatever it says it has (SACK)', () => {
    const bench = new Bench()
    bench.give({ control: SYN, sequence: ISN, maximumSegmentSize: 1460, sackPermitted: true })
    bench.streams[0].events.connected()
    const [{ segment }] = bench.take()
    const first = segment.sequence + 1
    bench.give({ control: ACK, sequence: ISN + 1, acknowledgment: first })
    bench.streams[0].events.data(new Uint8Array(65536).fill(7))
    let top = 0
    for (let round = 0; round < 200; round++) {
      for (const sent of bench.take()) top = Math.max(top, sent.segment.sequence + sent.segment.payloadLength - first)
      bench.give({ control: ACK, sequence: ISN + 1, acknowledgment: first, sack: [first, first + top, first + 1, first + top + 100_000] })
      bench.give({ control: ACK, sequence: ISN + 1, acknowledgment: first, sack: [first + 1460, first + top] })
    }
    expect(top).toBeLessThanOrEqual(65535)
    bench.clock.pass(2000)
    expect(bench.take().some(sent => sent.segment.sequence === first)).toBe(true) // it is not believed for ever
  })

  it('cannot have small pieces made of a large segment without end', () => {
    const bench = new Bench()
    bench.give({ control: SYN, sequence: ISN, maximumSegmentSize: 1 })
    bench.streams[0].events.connected()
    const [{ segment }] = bench.take()
    bench.give({ control: ACK, sequence: ISN + 1, acknowledgment: segment.sequence + 1 })
    bench.streams[0].events.data(new Uint8Array(10_000))
    expect(bench.take()[0].segmentSize).toBe(64)
  })

  it('that floods leaves room for others', () => {
    const bench = new Bench({ flows: 64, flowsOfGuest: 48, openingsOfGuest: 16 })
    for (let port = 1; port <= 10_000; port++) bench.give({ control: SYN, sequence: port, sourcePort: port })
    expect(bench.streams.length).toBe(16)
    bench.giveBytes(craft({ control: SYN, sequence: 1 }), Uint8Array.of(10, 0, 5, 9), SERVER)
    expect(bench.streams.length).toBe(17)
  })
})

function expectHonestGuestServed(bench: Bench): void {
  const from = Uint8Array.of(10, 0, 5, 77)
  const count = bench.streams.length
  bench.give({ control: SYN, sequence: ISN, from, sourcePort: 7777 })
  expect(bench.streams.length).toBe(count + 1)
  const stream = bench.streams[count]
  bench.take()
  stream.events.connected()
  const [{ segment }] = bench.take()
  bench.give({ control: ACK, sequence: ISN + 1, acknowledgment: segment.sequence + 1, from, sourcePort: 7777, payload: 'honest' })
  expect(stream.received).toBe('honest')
}
