import { describe, expect, it } from 'vitest'
import type { PlainData } from '../../machine/lifecycle.ts'
import { Bench, craft, GUEST, packetOf, SERVER } from './testing/bench.ts'
import type { Crafted, Sent, TestStream } from './testing/bench.ts'
import { Control } from './segment.ts'

const { ACK, FIN, PSH, RST, SYN } = Control
const ISN = 1000

/** A guest that has asked for a connection, and got it. Numbers are relative to both initial ones. */
class Guest {
  readonly bench: Bench
  readonly stream: TestStream
  readonly theirs: number

  constructor(bench: Bench, syn: Partial<Crafted> = {}) {
    this.bench = bench
    bench.give({ control: SYN, sequence: ISN, maximumSegmentSize: 1460, ...syn })
    this.stream = bench.streams[bench.streams.length - 1]
    this.stream.events.connected()
    const [answer] = bench.take()
    this.theirs = answer.segment.sequence
    this.send({ control: ACK, sequence: 1, acknowledgment: 1, sourcePort: syn.sourcePort })
    bench.take()
  }

  send(crafted: Crafted): void {
    const { sequence = 1, acknowledgment = 1 } = crafted
    this.bench.give({ ...crafted, sequence: ISN + sequence, acknowledgment: this.theirs + acknowledgment })
  }

  /** What was sent since, as text. */
  heard(): string[] { return this.bench.take().map(sent => describeSegment(sent, this.theirs, ISN)) }
}

const NAMES = [[SYN, 'SYN'], [FIN, 'FIN'], [RST, 'RST'], [PSH, 'PSH'], [ACK, 'ACK']] as const

function describeSegment({ segment, payload }: Sent, ours = 0, theirs = 0): string {
  const control = NAMES.filter(([bit]) => segment.has(bit)).map(([, name]) => name).join('+')
  const acknowledgment = segment.has(ACK) ? ` ack ${(segment.acknowledgment - theirs) | 0}` : ''
  const text = payload.length > 20 ? ` ${payload.length} bytes` : payload && ` ${payload}`
  return `${control} seq ${(segment.sequence - ours) | 0}${acknowledgment}${text}`
}

describe('a connection that a guest opens', () => {
  it('is answered when the host has its own, and carries bytes and ends both ways', () => {
    const bench = new Bench()
    bench.give({ control: SYN, sequence: ISN, maximumSegmentSize: 1460, windowScale: 7, sackPermitted: true, timestamps: [77, 0] })
    expect(bench.take()).toEqual([])
    const [stream] = bench.streams
    stream.events.connected()
    const [answer] = bench.take()
    expect(describeSegment(answer, answer.segment.sequence, ISN)).toBe('SYN+ACK seq 0 ack 1')
    expect([answer.source, answer.destination]).toEqual(['192.0.2.80', '10.0.5.2'])
    expect(answer.segment).toMatchObject({
      maximumSegmentSize: 1460, windowScale: 5, sackPermitted: true, hasTimestamps: true, timestampEcho: 77,
      sourcePort: 80, destinationPort: 40000 })
  })

  it('speaks IPv6, with its longer header in mind', () => {
    const bench = new Bench()
    const [from, to] = [new Uint8Array(16).fill(0xfd), new Uint8Array(16).fill(0x20)]
    bench.give({ control: SYN, sequence: ISN, from, to, maximumSegmentSize: 9000 })
    bench.streams[0].events.connected()
    const [answer] = bench.take()
    expect([answer.segment.maximumSegmentSize, answer.source, answer.destination]).toEqual([1440, to.join('.'), from.join('.')])
    bench.give({ control: ACK, sequence: ISN + 1, acknowledgment: answer.segment.sequence + 1, from, to, payload: 'six' })
    bench.streams[0].events.data(new Uint8Array(5000))
    expect([bench.streams[0].received, bench.take().pop()?.segmentSize]).toEqual(['six', 1440])
    bench.give({ control: ACK, sequence: ISN + 4, acknowledgment: answer.segment.sequence + 1, to })
    expect(bench.take().map(({ segment }) => segment.control)).toEqual([RST]) // IPv4 with the same ports is nothing to it
  })

  it('exchanges data and closes, the guest first', () => {
    const guest = new Guest(new Bench())
    guest.send({ control: ACK + PSH, payload: 'GET /' })
    expect(guest.stream.received).toBe('GET /')
    guest.stream.events.data(Buffer.from('200 OK'))
    expect(guest.heard()).toEqual(['PSH+ACK seq 1 ack 6 200 OK'])
    guest.send({ control: ACK + FIN, sequence: 6, acknowledgment: 7 })
    expect(guest.stream.log).toEqual(['end'])
    expect(guest.heard()).toEqual(['ACK seq 7 ack 7'])
    guest.stream.events.data(Buffer.from('more'))
    guest.stream.events.ended()
    expect(guest.heard()).toEqual(['PSH+ACK seq 7 ack 7 more', 'FIN+ACK seq 11 ack 7'])
    guest.stream.events.closed()
    guest.send({ control: ACK, sequence: 7, acknowledgment: 12 })
    expect([guest.bench.tcp.flows, guest.stream.log, guest.heard()]).toEqual([0, ['end'], []])
  })

  it('closes, the host first, and waits for late segments', () => {
    const guest = new Guest(new Bench())
    guest.stream.events.ended()
    expect(guest.heard()).toEqual(['FIN+ACK seq 1 ack 1'])
    guest.send({ control: ACK, acknowledgment: 2, payload: 'still here' })
    guest.send({ control: ACK + FIN, sequence: 11, acknowledgment: 2 })
    expect([guest.stream.received, guest.stream.log]).toEqual(['still here', ['end']])
    guest.heard()
    guest.send({ control: ACK + FIN, sequence: 11, acknowledgment: 2 })
    expect(guest.heard()).toEqual(['ACK seq 2 ack 12'])
    guest.bench.clock.pass(31_000)
    expect(guest.bench.tcp.flows).toBe(0)
  })

  it('closes from both sides at once', () => {
    const guest = new Guest(new Bench())
    guest.stream.events.ended()
    guest.send({ control: ACK + FIN })
    expect(guest.heard()).toEqual(['FIN+ACK seq 1 ack 1', 'ACK seq 2 ack 2'])
    guest.send({ control: ACK, sequence: 2, acknowledgment: 2 })
    guest.bench.clock.pass(31_000)
    expect([guest.bench.tcp.flows, guest.heard()]).toEqual([0, []])
  })

  it('is refused as the host is', () => {
    const refusals = ['refused', 'reset', 'exhausted', 'failed', 'unreachable-host', 'unreachable-net', 'timed-out', 'denied'] as const
    const answers = refusals.map(failure => {
      const bench = new Bench()
      bench.give({ control: SYN, sequence: ISN })
      bench.streams[0].events.closed(failure)
      expect(bench.tcp.flows).toBe(0)
      return [...bench.take().map(sent => describeSegment(sent, 0, ISN)), ...bench.unreachables].join()
    })
    const reset = 'RST+ACK seq 0 ack 1'
    expect(answers).toEqual([reset, reset, reset, reset, 'host', 'network', 'host', 'prohibited'])
  })

  it('is refused by rules', () => {
    const bench = new Bench()
    bench.refusal = 'reset'
    bench.give({ control: SYN, sequence: ISN })
    bench.refusal = 'prohibited'
    bench.give({ control: SYN, sequence: ISN })
    expect([bench.take().map(sent => describeSegment(sent, 0, ISN)), bench.unreachables, bench.tcp.flows])
      .toEqual([['RST+ACK seq 0 ack 1'], ['prohibited'], 0])
  })

  it('is patient while the host connects', () => {
    const bench = new Bench()
    bench.give({ control: SYN, sequence: ISN })
    for (let second = 0; second < 60; second++) {
      bench.clock.pass(1000)
      bench.give({ control: SYN, sequence: ISN })
    }
    bench.give({ control: SYN, sequence: 5000 }) // another connection with the same ports
    expect([bench.streams.length, bench.take()]).toEqual([1, []])
    bench.streams[0].events.connected()
    expect(bench.take().map(({ segment }) => segment.acknowledgment)).toEqual([5001])
  })

  it('is broken off on the host when the guest thinks better of it', () => {
    const bench = new Bench()
    bench.give({ control: SYN, sequence: ISN })
    bench.give({ control: RST, sequence: 7 })
    expect(bench.streams[0].log).toEqual([])
    bench.give({ control: RST, sequence: ISN + 1 })
    expect([bench.streams[0].log, bench.tcp.flows]).toEqual([['abort'], 0])
  })

  it('has its SYN-ACK repeated, and is given up after half a minute', () => {
    const bench = new Bench()
    bench.give({ control: SYN, sequence: ISN })
    bench.streams[0].events.connected()
    bench.give({ control: SYN, sequence: ISN })
    expect(bench.take().map(sent => describeSegment(sent, sent.segment.sequence, ISN)))
      .toEqual(['SYN+ACK seq 0 ack 1', 'SYN+ACK seq 0 ack 1'])
    bench.clock.pass(60_000)
    expect([bench.take().length, bench.streams[0].log, bench.tcp.flows]).toEqual([4, ['abort'], 0])
  })

  it('is reset when the host fails, after what the host had said', () => {
    const guest = new Guest(new Bench())
    guest.stream.events.data(Buffer.from('413'))
    guest.stream.events.closed('reset')
    expect(guest.heard()).toEqual(['PSH+ACK seq 1 ack 1 413'])
    guest.send({ control: ACK, acknowledgment: 4 })
    expect([guest.heard(), guest.bench.tcp.flows]).toEqual([['RST+ACK seq 4 ack 1'], 0])
    const other = new Guest(new Bench())
    other.stream.events.data(Buffer.from('nobody takes this'))
    other.stream.events.closed('timed-out')
    other.bench.clock.pass(6000)
    expect([other.heard().pop(), other.bench.tcp.flows]).toEqual(['RST+ACK seq 18 ack 1', 0])
  })

  it('resets the host when the guest does', () => {
    const guest = new Guest(new Bench())
    guest.send({ control: RST })
    expect([guest.stream.log, guest.bench.tcp.flows, guest.heard()]).toEqual([['abort'], 0, []])
  })
})

describe('back-pressure', () => {
  it('shuts the window when the host does not take what the guest sends, and opens it again', () => {
    const guest = new Guest(new Bench({ memory: 128 * 1024 }))
    guest.stream.room = 100
    let sequence = 1
    let window = 65535
    while (window >= 1460) {
      guest.send({ control: ACK, sequence, payload: new Uint8Array(1460) })
      guest.bench.clock.pass(30)
      sequence += 1460
      window = guest.bench.take().pop()?.segment.window ?? window
    }
    expect(guest.bench.tcp.pool.used).toBeLessThanOrEqual(64 * 1024)
    guest.stream.room = Infinity
    guest.stream.events.writable()
    const [update] = guest.bench.take()
    expect(update.segment.window).toBeGreaterThan(20_000)
    expect([guest.stream.received.length, guest.bench.tcp.pool.used]).toEqual([sequence - 1, 0])
  })

  it('tells the host to wait when the guest does not acknowledge, and to go on', () => {
    const guest = new Guest(new Bench({ memory: 1 << 20 }), { windowScale: 4, maximumSegmentSize: 1460 })
    const block = new Uint8Array(65536)
    let given = 0
    while (guest.stream.events.data(block)) given += block.length
    given += block.length
    expect(given).toBeLessThan(400_000)
    let acknowledged = 1
    for (let round = 0; round < 100 && acknowledged <= given; round++) {
      for (const { segment } of guest.bench.take()) {
        acknowledged = Math.max(acknowledged, segment.sequence - guest.theirs + segment.payloadLength)
      }
      guest.send({ control: ACK, acknowledgment: acknowledged })
    }
    expect([guest.stream.log, acknowledged, guest.bench.tcp.pool.used]).toEqual([['resume'], given + 1, 0])
  })

  it('asks about a shut window, as long as it takes', () => {
    const guest = new Guest(new Bench())
    guest.send({ control: ACK, window: 0 })
    guest.stream.events.data(Buffer.from('abc'))
    for (let minute = 0; minute < 60; minute++) {
      guest.bench.clock.pass(60_000)
      const probes = guest.heard()
      expect(new Set(probes).size === 1 && probes[0]).toBe('ACK seq 0 ack 1')
      guest.send({ control: ACK, window: 0 })
    }
    guest.send({ control: ACK, window: 2 })
    guest.bench.clock.pass(1000)
    expect(guest.heard()[0]).toBe('ACK seq 1 ack 1 ab')
    guest.send({ control: ACK, acknowledgment: 3, window: 100 })
    expect(guest.heard()).toEqual(['PSH+ACK seq 3 ack 1 c'])
  })

  it('keeps a link that is full in mind', () => {
    const guest = new Guest(new Bench())
    guest.bench.isFull = true
    guest.stream.events.data(Buffer.from('abc'))
    guest.bench.clock.pass(1)
    expect(guest.heard()).toEqual([])
    guest.bench.isFull = false
    guest.bench.tcp.ready()
    expect(guest.heard()).toEqual(['PSH+ACK seq 1 ack 1 abc'])
  })
})

describe('segments for a card that cuts them', () => {
  it('are up to 64 KiB, with the size of the pieces', () => {
    const guest = new Guest(new Bench({}, 1500), { maximumSegmentSize: 1400, windowScale: 4 })
    guest.send({ control: ACK, window: 65535 })
    let acknowledged = 1
    let largest = 0
    for (let round = 0; round < 60; round++) {
      guest.stream.events.data(new Uint8Array(65536))
      for (const { segment, segmentSize } of guest.bench.take()) {
        if (segment.payloadLength > 1400) expect(segmentSize).toBe(1400)
        largest = Math.max(largest, segment.payloadLength)
        acknowledged = Math.max(acknowledged, segment.sequence - guest.theirs + segment.payloadLength)
      }
      guest.send({ control: ACK, acknowledgment: acknowledged, window: 65535 })
    }
    expect(largest).toBeGreaterThan(60_000)
    expect(largest).toBeLessThanOrEqual(65_408)
  })

  it('become smaller when the path says so', () => {
    const guest = new Guest(new Bench())
    guest.stream.events.data(new Uint8Array(4000))
    const [{ segment }] = guest.bench.take()
    const quoted = craft({ control: ACK, sequence: segment.sequence, sourcePort: 80, destinationPort: 40000 })
    guest.bench.tcp.failed(packetOf(quoted, SERVER, GUEST), 'too-big', 1000)
    const sent = guest.bench.take()
    expect(sent[0].segment.sequence).toBe(segment.sequence)
    expect(sent.map(({ segmentSize, payload }) => segmentSize || payload.length)).toEqual([960])
  })
})

describe('a port that the host publishes', () => {
  it('leads to the guest', () => {
    const bench = new Bench()
    const stream = bench.publish({ version: 4, address: GUEST, port: 22 }) as TestStream
    const [{ segment }] = bench.take()
    expect([segment.control, segment.sourcePort, segment.destinationPort]).toEqual([SYN, 5000, 22])
    stream.events.data(Buffer.from('SSH'))
    expect(bench.publish({ version: 4, address: GUEST, port: 22 })).toBeNull()
    bench.give({ control: SYN + ACK, sequence: ISN, acknowledgment: segment.sequence + 1, sourcePort: 22, destinationPort: 5000 })
    expect(bench.take().map(sent => describeSegment(sent, segment.sequence, ISN))).toEqual(['PSH+ACK seq 1 ack 1 SSH'])
    stream.events.ended()
    expect(bench.take().map(sent => describeSegment(sent, segment.sequence, ISN))).toEqual(['FIN+ACK seq 4 ack 1'])
  })

  it('is shut when the guest refuses, is silent, or is not there', () => {
    const bench = new Bench()
    const refused = bench.publish({ version: 4, address: GUEST, port: 22 }) as TestStream
    const [{ segment }] = bench.take()
    bench.give({ control: RST + ACK, acknowledgment: segment.sequence + 1, sourcePort: 22, destinationPort: 5000 })
    const silent = bench.publish({ version: 4, address: GUEST, port: 22 }) as TestStream
    bench.clock.pass(100_000)
    const unreachable = bench.publish({ version: 4, address: GUEST, port: 22 }) as TestStream
    const syn = bench.take().pop() as Sent
    const quoted = craft({ control: SYN, sequence: syn.segment.sequence, sourcePort: 5000, destinationPort: 22 })
    bench.tcp.failed(packetOf(quoted, SERVER, GUEST), 'unreachable', 0)
    expect([refused.log, silent.log, unreachable.log, bench.tcp.flows]).toEqual([['abort'], ['abort'], ['abort'], 0])
  })

  it('opens from both sides at once', () => {
    const bench = new Bench()
    bench.publish({ version: 4, address: GUEST, port: 22 })
    const [{ segment }] = bench.take()
    bench.give({ control: SYN, sequence: ISN, sourcePort: 22, destinationPort: 5000 })
    expect(bench.take().map(sent => describeSegment(sent, segment.sequence, ISN))).toEqual(['SYN+ACK seq 0 ack 1'])
    bench.give({ control: SYN + ACK, sequence: ISN, acknowledgment: segment.sequence + 1, sourcePort: 22, destinationPort: 5000 })
    expect(bench.take().map(sent => describeSegment(sent, segment.sequence, ISN))).toEqual(['ACK seq 1 ack 1'])
  })
})

describe('what is not what it seems', () => {
  it('is answered with RST, if it belongs to nothing', () => {
    const bench = new Bench()
    bench.give({ control: ACK, sequence: 5, acknowledgment: 99 })
    bench.give({ control: FIN, sequence: 5, payload: 'abc' })
    bench.give({ control: RST, sequence: 5 })
    bench.give({ control: SYN + FIN, sequence: 5 })
    bench.give({ control: SYN, sequence: 5, destinationPort: 0 })
    expect(bench.take().map(sent => describeSegment(sent))).toEqual(['RST seq 99', 'RST+ACK seq 0 ack 9'])
    expect(bench.tcp.flows).toBe(0)
  })

  it('does not end a connection blindly', () => {
    const guest = new Guest(new Bench())
    guest.send({ control: RST, sequence: 100 })
    guest.send({ control: SYN, sequence: 50 })
    guest.send({ control: ACK, acknowledgment: 5000 })
    guest.send({ control: ACK, acknowledgment: -100_000 })
    expect(guest.heard()).toEqual(Array.from({ length: 4 }, () => 'ACK seq 1 ack 1'))
    for (let count = 0; count < 1000; count++) guest.send({ control: RST, sequence: 100 })
    expect(guest.heard().length).toBeLessThan(20)
    guest.send({ control: ACK, payload: 'fine' })
    expect([guest.stream.received, guest.stream.log]).toEqual(['fine', []])
  })

  it('cannot bring back old data (PAWS), and loses nothing', () => {
    const guest = new Guest(new Bench(), { timestamps: [500, 0] })
    guest.send({ control: ACK, payload: 'new', timestamps: [600, 0] })
    guest.send({ control: ACK, payload: 'old', sequence: 4, timestamps: [550, 0] })
    expect(guest.stream.received).toBe('new')
    guest.send({ control: ACK, payload: 'er', sequence: 4, timestamps: [600, 0] })
    expect(guest.stream.received).toBe('newer')
  })

  it('is put together, whatever its order, and told about (SACK)', () => {
    const guest = new Guest(new Bench(), { sackPermitted: true })
    guest.send({ control: ACK, sequence: 7, payload: 'ghi' })
    guest.send({ control: ACK + FIN, sequence: 13, payload: 'mno' })
    const blocks = guest.bench.take()
      .map(({ segment }) => [...segment.sackBlocks.subarray(0, 2 * segment.sackCount)].map(edge => edge - ISN))
    expect(blocks).toEqual([[7, 10], [13, 16, 7, 10]])
    guest.send({ control: ACK, sequence: 1, payload: 'abcdefgh' })
    guest.send({ control: ACK, sequence: 8, payload: 'hijklm' })
    expect([guest.stream.received, guest.stream.log, guest.heard().pop()]).toEqual(['abcdefghijklmno', ['end'], 'ACK seq 1 ack 17'])
    expect(guest.bench.tcp.pool.used).toBe(0)
  })
})

describe('time', () => {
  it('repeats what is not acknowledged, and gives up after a quarter of an hour', () => {
    const guest = new Guest(new Bench())
    guest.stream.events.data(Buffer.from('hello?'))
    guest.bench.clock.pass(30 * 60_000)
    const heard = guest.heard()
    expect(new Set(heard.slice(0, -1))).toEqual(new Set(['PSH+ACK seq 1 ack 1 hello?']))
    expect([heard.length, heard.pop(), guest.stream.log, guest.bench.tcp.flows]).toEqual([17, 'RST+ACK seq 7 ack 1', ['abort'], 0])
  })

  it('asks after two hours whether the guest is still there', () => {
    const guest = new Guest(new Bench())
    guest.bench.clock.pass(7_200_000)
    expect(guest.heard()).toEqual(['ACK seq 0 ack 1'])
    guest.send({ control: ACK })
    guest.bench.clock.pass(7_200_000 + 9 * 75_000)
    const heard = guest.heard()
    expect([heard.length, heard.pop(), guest.stream.log]).toEqual([10, 'RST+ACK seq 1 ack 1', ['abort']])
  })

  it('waits a little with an acknowledgment, but not for every second segment', () => {
    const guest = new Guest(new Bench())
    guest.send({ control: ACK, payload: new Uint8Array(1460) })
    expect(guest.heard()).toEqual([])
    guest.send({ control: ACK, sequence: 1461, payload: new Uint8Array(1460) })
    expect(guest.heard()).toEqual(['ACK seq 1 ack 2921'])
    guest.send({ control: ACK, sequence: 2921, payload: 'x' })
    guest.bench.clock.pass(25)
    expect(guest.heard()).toEqual(['ACK seq 1 ack 2922'])
  })
})

describe('bounds', () => {
  it('hold for openings, for a guest, and for all', () => {
    const bench = new Bench({ openingsOfGuest: 3, flowsOfGuest: 5, flows: 7 })
    const syn = (sourcePort: number, from = GUEST): void => bench.give({ control: SYN, sequence: ISN, sourcePort, from })
    for (let port = 1; port <= 10; port++) syn(port)
    expect([bench.streams.length, bench.take().length]).toEqual([3, 0])
    for (const stream of bench.streams) stream.events.connected()
    for (let port = 11; port <= 20; port++) syn(port)
    expect(bench.streams.length).toBe(5)
    const other = Uint8Array.of(10, 0, 5, 3)
    for (let port = 1; port <= 10; port++) syn(port, other)
    expect([bench.streams.length, bench.tcp.flows]).toEqual([7, 7])
    expect(bench.take().some(({ segment }) => segment.has(RST))).toBe(true)
  })

  it('hold for TIME-WAIT, which a new SYN may end', () => {
    const bench = new Bench({ timeWaits: 2 })
    const close = (sourcePort: number): void => {
      const guest = new Guest(bench, { sourcePort })
      guest.stream.events.ended()
      guest.send({ control: ACK + FIN, acknowledgment: 2, sourcePort })
      bench.take()
    }
    for (let port = 1; port <= 5; port++) close(port)
    expect(bench.tcp.flows).toBe(2)
    bench.give({ control: SYN, sequence: ISN, sourcePort: 5 })
    expect([bench.streams.length, bench.tcp.flows]).toEqual([5, 2])
    bench.give({ control: SYN, sequence: ISN + 100, sourcePort: 5 })
    expect([bench.streams.length, bench.tcp.flows]).toEqual([6, 2])
  })
})

describe('a gateway that goes', () => {
  it('resets both sides', () => {
    const guest = new Guest(new Bench())
    guest.bench.tcp.close()
    expect([guest.heard(), guest.stream.log, guest.bench.tcp.flows]).toEqual([['RST+ACK seq 1 ack 1'], ['abort'], 0])
  })

  it('ends what a guest had open that is gone, and can tell it so elsewhere', () => {
    const guest = new Guest(new Bench())
    const other = new Guest(guest.bench, { sourcePort: 40001, from: Uint8Array.of(10, 0, 5, 3) })
    const flows = structuredClone(guest.bench.tcp.flowsOf(new Set([GUEST.join('.')])))
    guest.bench.tcp.endFlowsOf(new Set([GUEST.join('.')]))
    expect([guest.stream.log.at(-1), other.stream.log.includes('abort'), guest.bench.tcp.flows]).toEqual(['abort', false, 1])
    const elsewhere = new Bench()
    const found: string[] = []
    elsewhere.tcp.endSaved(flows, address => found.push(address.join('.')))
    expect(elsewhere.take().map(sent => describeSegment(sent, guest.theirs, ISN))).toEqual(['RST+ACK seq 1 ack 1'])
    expect(found).toEqual([GUEST.join('.')])
  })

  it('leaves in a snapshot what is needed to reset a restored guest', () => {
    const guest = new Guest(new Bench())
    guest.send({ control: ACK, payload: 'abc' })
    guest.stream.events.data(Buffer.from('defg'))
    const state = structuredClone(guest.bench.tcp.save())
    const elsewhere = new Bench()
    elsewhere.tcp.restore(state)
    elsewhere.tcp.resume()
    const [reset] = elsewhere.take()
    expect([describeSegment(reset, guest.theirs, ISN), reset.source, reset.destination])
      .toEqual(['RST+ACK seq 5 ack 4', '192.0.2.80', '10.0.5.2'])
    elsewhere.give({ control: ACK, sequence: ISN + 4, acknowledgment: guest.theirs + 5 })
    expect(elsewhere.take().map(sent => describeSegment(sent, guest.theirs))).toEqual(['RST seq 5'])
    const broken: PlainData[] = [{}, { flows: 7 }, { flows: [{ localAddress: new Uint8Array(5) }] }]
    for (const wrong of broken) {
      expect(() => elsewhere.tcp.restore(wrong)).toThrow(expect.objectContaining({ code: 'SNAPSHOT_INVALID' }))
    }
  })
})
