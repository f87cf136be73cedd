import { describe, expect, it } from 'vitest'
import { Random } from '../../base/testing/random.ts'
import { getU16, getU32, setU16 } from '../packet/bytes.ts'
import { writeChecksum } from '../packet/checksum.ts'
import { MORE_FRAGMENTS } from '../packet/ipv4.ts'
import {
  Bench, GATEWAY, GATEWAY6, GUEST6, address, arp, echo, ethernet, icmpOf, ip, tcpSegment, udp, udpOf, withChecksum, type Sent,
} from './testing/bench.ts'

function ready(configuration = {}): Bench {
  const bench = new Bench(configuration)
  bench.introduce()
  return bench
}

describe('echo', () => {
  it('answers for the gateway, both families, with the same data', () => {
    const bench = ready()
    const data = new Random(3).bytes(100)
    for (const to of [GATEWAY, GATEWAY6]) {
      const [reply, ...others] = bench.give(echo(data, { to }))
      expect(others).toHaveLength(0)
      expect(icmpOf(reply)).toEqual([to === GATEWAY ? 0 : 129, 0])
      expect([...reply.payload.subarray(4)]).toEqual([0x12, 0x34, 0, 1, ...data])
    }
    expect(bench.sockets.pings).toHaveLength(0)
  })

  it('has the host ask others, and replies only if they did', () => {
    const bench = ready()
    const data = new Random(4).bytes(56)
    for (const to of ['192.0.2.9', '2001:db8::9']) {
      expect(bench.give(echo(data, { to }))).toHaveLength(0)
      const ping = bench.sockets.pings.at(-1)!
      expect([ping.address, ping.length]).toEqual([to, 56])
      ping.done('reply')
      const [reply] = bench.take()
      expect([...reply.payload.subarray(4)]).toEqual([0x12, 0x34, 0, 1, ...data])
      const { bytes, source } = reply.packet
      expect([...bytes.subarray(source, source + address(to).length)]).toEqual([...address(to)])
    }
    bench.give(echo(data, { to: '192.0.2.10' }))
    bench.sockets.pings.at(-1)!.done('timed-out')
    expect(bench.take()).toHaveLength(0)
    bench.give(echo(data, { to: '192.0.2.10' }))
    bench.sockets.pings.at(-1)!.done('unreachable')
    expect(icmpOf(bench.take()[0])).toEqual([3, 1])
    bench.give(echo(data, { to: '2001:db8::9' }))
    bench.sockets.pings.at(-1)!.done('unavailable')
    expect(icmpOf(bench.take()[0])).toEqual([1, 1])
  })

  it('bounds what is asked at a time', () => {
    const bench = ready()
    for (let count = 0; count < 100; count++) bench.give(echo(new Uint8Array(8), { to: '192.0.2.9' }))
    expect(bench.sockets.pings).toHaveLength(8)
    expect(bench.drops('echoes')).toBe(92)
    for (const ping of bench.sockets.pings) ping.done('timed-out')
    bench.give(echo(new Uint8Array(8), { to: '192.0.2.9' }))
    expect(bench.sockets.pings).toHaveLength(9)
  })
})

describe('what goes outside', () => {
  it('counts hops', () => {
    const bench = ready()
    const [exceeded] = bench.give(udp(1000, 2000, new Uint8Array(4), { to: '192.0.2.9', hopLimit: 1 }))
    expect(icmpOf(exceeded)).toEqual([11, 0])
    const [exceeded6] = bench.give(udp(1000, 2000, new Uint8Array(4), { to: '2001:db8::9', hopLimit: 1 }))
    expect(icmpOf(exceeded6)).toEqual([3, 0])
    expect(bench.sockets.udp).toHaveLength(0)
  })

  it('is not the host\'s own loopback, nor link-local, nor multicast, however it is written', () => {
    const bench = ready()
    for (const to of ['127.0.0.1', '169.254.169.254', '0.0.0.0', '::ffff:127.0.0.1', '::1', '64:ff9b::7f00:1', '::127.0.0.1']) {
      const [refused] = bench.give(udp(1000, 2000, new Uint8Array(4), { to }))
      expect(icmpOf(refused), to).toEqual(to.includes(':') ? [1, 1] : [3, 13])
      bench.give(echo(new Uint8Array(4), { to }))
    }
    expect(bench.give(udp(1000, 2000, new Uint8Array(4), { to: 'fe80::99' }))).toHaveLength(0)
    expect(bench.give(udp(1000, 2000, new Uint8Array(4), { to: '224.0.0.251' }))).toHaveLength(0)
    expect(bench.give(udp(1000, 2000, new Uint8Array(4), { to: '240.0.0.1' }))).toHaveLength(0)
    expect(bench.sockets.udp).toHaveLength(0)
    expect(bench.sockets.pings).toHaveLength(0)
  })

  it('is nothing on a host-only network', () => {
    const bench = ready({ kind: 'host-only' })
    expect(icmpOf(bench.give(udp(1000, 2000, new Uint8Array(4), { to: '192.0.2.9' }))[0])).toEqual([3, 13])
    expect(icmpOf(bench.give(echo(new Uint8Array(4), { to: '192.0.2.9' }))[0])).toEqual([3, 13])
    expect(bench.sockets.udp).toHaveLength(0)
  })

  it('is the host at the gateway\'s address, for the ports that are named', () => {
    const bench = ready({ kind: 'host-only', hostPorts: ['8080', '5353/udp'] })
    const outcomes: unknown[] = []
    const events = { connected: () => {}, data: () => true, ended: () => {}, writable: () => {}, closed: () => {} }
    bench.transport.onSegment = packet => {
      outcomes.push(bench.transport.context.connect(packet, getU16(packet.bytes, packet.payload + 2), events))
    }
    for (const to of [GATEWAY, GATEWAY6]) for (const port of [8080, 5353]) bench.give(tcpSegment(4000, port, { to }))
    expect(outcomes.map(each => typeof each === 'string' ? each : 'stream')).toEqual(['stream', 'reset', 'stream', 'reset'])
    expect(bench.sockets.tcp.map(({ address, port }) => [address, port])).toEqual([['127.0.0.1', 8080], ['127.0.0.1', 8080]])
    bench.give(udp(1000, 5353, new Uint8Array(4).fill(7), { to: GATEWAY }))
    const [socket] = bench.sockets.udp
    expect([socket.address, socket.port, socket.sent]).toEqual(['127.0.0.1', 5353, [new Uint8Array(4).fill(7)]])
    socket.events.message(new Uint8Array(3))
    const [answer] = bench.take()
    expect([...answer.frame.subarray(26, 30)]).toEqual([10, 0, 5, 1])
    expect([udpOf(answer).from, udpOf(answer).to]).toEqual([5353, 1000])
    expect(icmpOf(bench.give(udp(1000, 8080, new Uint8Array(4), { to: GATEWAY }))[0])).toEqual([3, 3])
    expect(icmpOf(bench.give(udp(1000, 5353, new Uint8Array(4), { to: '127.0.0.1' }))[0])).toEqual([3, 13])
  })

  it('is never another guest: those are on the link', () => {
    const bench = ready()
    expect(icmpOf(bench.give(udp(1000, 2000, new Uint8Array(4), { to: '10.0.5.200' }))[0])).toEqual([3, 1])
    expect(icmpOf(bench.give(udp(1000, 2000, new Uint8Array(4), { to: 'fd00:5::200' }))[0])).toEqual([1, 3])
    expect(bench.sockets.udp).toHaveLength(0)
  })

  it('comes from this network only', () => {
    const bench = ready()
    const send = (from: string, to: string) => bench.give(udp(1000, 2000, new Uint8Array(4), { from, to }))
    for (const from of ['10.0.6.7', GATEWAY, '10.0.5.255', '127.0.0.1']) send(from, '192.0.2.9')
    for (const from of ['2001:db8::7', GATEWAY6, '::1']) send(from, '2001:db8::9')
    expect(bench.drops('spoofed')).toBe(7)
    expect(bench.sockets.udp).toHaveLength(0)
  })
})

describe('ICMP errors', () => {
  it('are few, for each guest', () => {
    const bench = ready()
    let sent = 0
    for (let count = 0; count < 500; count++) sent += bench.give(udp(1000, 2000, new Uint8Array(4), { to: GATEWAY })).length
    expect(sent).toBe(50)
    expect(bench.drops('rate-limited')).toBe(450)
    const other = { fromMac: '52:54:00:00:00:08', from: '10.0.5.8' }
    bench.give(arp(1, other.fromMac, other.from, GATEWAY))
    expect(bench.give(udp(1000, 2000, new Uint8Array(4), { to: GATEWAY, ...other }))).toHaveLength(1)
    bench.clock.advance(1e9)
    expect(bench.give(udp(1000, 2000, new Uint8Array(4), { to: GATEWAY }))).toHaveLength(1)
  })

  it('say what protocols and ports nobody serves, and quote the packet', () => {
    const bench = ready()
    const [port] = bench.give(udp(1000, 2000, Uint8Array.of(1, 2, 3), { to: GATEWAY }))
    expect(icmpOf(port)).toEqual([3, 3])
    expect(getU16(port.payload, 8 + 20 + 2)).toBe(2000)
    expect(icmpOf(bench.give(ip(132, new Uint8Array(20), { to: GATEWAY }))[0])).toEqual([3, 2])
    const [protocol6] = bench.give(ip(132, new Uint8Array(20), { to: GATEWAY6 }))
    expect(icmpOf(protocol6)).toEqual([4, 1])
    expect(getU32(protocol6.payload, 4)).toBe(6)
  })

  it('never answer errors, groups, or later fragments', () => {
    const bench = ready()
    const error = Uint8Array.of(3, 3, 0, 0, 0, 0, 0, 0, ...new Uint8Array(28))
    writeChecksum(error, 0, error.length, 2)
    expect(bench.give(ip(1, error, { to: '127.0.0.1' }))).toHaveLength(0)
    expect(bench.give(udp(1000, 2000, new Uint8Array(4), { to: '10.0.5.255', toMac: 'ff:ff:ff:ff:ff:ff' }))).toHaveLength(0)
    expect(bench.give(ip(132, new Uint8Array(24), { to: GATEWAY, fragment: 3 }))).toHaveLength(0)
  })

  it('report IPv6 options and headers that nobody knows, where the sender wants to know', () => {
    const bench = ready()
    const withOption = (type: number) => bench.give(ip(60, Uint8Array.of(59, 0, type, 4, 0, 0, 0, 0), { to: GATEWAY6 }))
    expect(withOption(0x1e)).toHaveLength(0)
    expect(withOption(0x5e)).toHaveLength(0)
    const [problem] = withOption(0x9e)
    expect(icmpOf(problem)).toEqual([4, 2])
    expect(getU32(problem.payload, 4)).toBe(42)
    const [routing] = bench.give(ip(43, Uint8Array.of(59, 0, 0, 1, 0, 0, 0, 0), { to: GATEWAY6 }))
    expect(icmpOf(routing)).toEqual([4, 0])
    expect(getU32(routing.payload, 4)).toBe(42)
  })
})

describe('fragments', () => {
  it('are put together in any order, once, and answered in fragments', () => {
    const bench = ready()
    const random = new Random(9)
    for (const to of [GATEWAY, GATEWAY6]) {
      const data = random.bytes(5000)
      const whole = echo(data, { to })
      const header = to === GATEWAY ? 34 : 54
      const pieces = split(whole.subarray(header), 1000, to)
      pieces.sort(() => random.below(2) - 0.5)
      const answers = pieces.flatMap(piece => bench.give(piece))
      expect(answers.length).toBe(4)
      expect([...join(answers).subarray(4)]).toEqual([0x12, 0x34, 0, 1, ...data])
    }
  })

  it('of IPv6 may have extension headers inside', () => {
    const bench = ready()
    const datagram = udp(1000, 2000, new Uint8Array(2000), { to: '2001:db8::9' }).subarray(54)
    const options = Uint8Array.of(17, 0, 1, 4, 0, 0, 0, 0)
    const pieces = split(Uint8Array.of(...options, ...datagram), 1000, '2001:db8::9', 60)
    for (const piece of pieces) bench.give(piece)
    expect(bench.sockets.udp[0].sent[0]).toHaveLength(2000)
  })

  it('that overlap, contradict each other or never end are dropped', () => {
    const bench = ready()
    const piece = (offset: number, length: number, more: boolean, identification = 5) =>
      bench.give(ip(17, new Uint8Array(length), { to: GATEWAY, identification, fragment: offset >>> 3 | (more ? MORE_FRAGMENTS : 0) }))
    piece(0, 16, true)
    piece(8, 16, true)
    expect(bench.drops('fragments')).toBe(1)
    piece(16, 8, false, 6)
    piece(16, 16, false, 6)
    expect(bench.drops('fragments')).toBe(2)
    piece(0, 15, true, 7)
    expect(bench.drops('fragments')).toBe(3)
    expect(piece(0, 16, true, 8)).toHaveLength(0)
    bench.clock.advance(31e9)
    const answers = bench.take().filter(each => each.packet.version === 4)
    expect(answers.map(icmpOf)).toEqual([[11, 1]])
  })

  it('cost bounded memory', () => {
    const bench = ready()
    for (let identification = 0; identification < 600; identification++) {
      const from = `10.0.5.${10 + identification % 100}`
      bench.give(ip(17, new Uint8Array(1000), { to: GATEWAY, identification, fragment: 8000 | MORE_FRAGMENTS, from }))
    }
    expect(bench.drops('fragments')).toBeGreaterThan(500)
  })
})

describe('TCP segments', () => {
  it('go to the transport, checked', () => {
    const bench = ready()
    bench.give(tcpSegment(4000, 80, { to: '192.0.2.9' }))
    expect(bench.transport.segments).toHaveLength(1)
    const wrong = tcpSegment(4000, 80, { to: '192.0.2.9' })
    wrong[40] ^= 1
    bench.give(wrong)
    expect(bench.drops('checksum')).toBe(1)
    bench.give(wrong, { checksumStart: 34, checksumOffset: 16 })
    expect(bench.transport.segments).toHaveLength(2)
    bench.give(ip(6, new Uint8Array(19), { to: '192.0.2.9' }))
    expect(bench.drops('malformed')).toBe(1)
  })

  it('are sent with a partial checksum, cut by the link, or in one piece', () => {
    const bench = ready()
    const { output } = bench.transport.context
    for (const [version, to, from] of [[4, '10.0.5.7', '192.0.2.9'], [6, GUEST6, '2001:db8::9']] as const) {
      output.buffer.fill(7, output.segmentStart, output.segmentStart + 20 + 3000)
      const header = { version, source: address(from), destination: address(to), trafficClass: 2, segmentSize: 1400 }
      expect(output.send(header, 3020)).toBe(true)
      const { frame } = bench.frames.at(-1)!
      expect(frame.segmentation).toBe(version === 4 ? 'tcp4' : 'tcp6')
      expect([frame.segmentSize, frame.checksumOffset]).toEqual([1400, 16])
      const [sent] = bench.take()
      expect(sent.payload.length).toBe(3020)
      expect(sent.packet.trafficClass).toBe(2)
      expect(sent.packet.payload).toBe(frame.checksumStart)
    }
  })

  it('tell of a full link', () => {
    const bench = ready()
    const { output } = bench.transport.context
    const header = { version: 4 as const, source: address('192.0.2.9'), destination: address('10.0.5.7'), trafficClass: 0, segmentSize: 0 }
    bench.full = true
    expect(output.send(header, 20)).toBe(false)
    bench.full = false
    bench.end.ready()
    expect(bench.transport.readied).toBe(1)
    expect(output.send(header, 20)).toBe(true)
  })

  it('open sockets, services or nothing', () => {
    const bench = ready({ allow: ['192.0.2.9:80'] })
    const outcomes: unknown[] = []
    const events = { connected: () => {}, data: () => true, ended: () => {}, writable: () => {}, closed: () => {} }
    bench.transport.onSegment = (packet) => {
      outcomes.push(bench.transport.context.connect(packet, getU16(packet.bytes, packet.payload + 2), events))
    }
    bench.give(tcpSegment(4000, 80, { to: '192.0.2.9' }))
    bench.give(tcpSegment(4000, 81, { to: '192.0.2.9' }))
    bench.give(tcpSegment(4000, 80, { to: '2001:db8::9' }))
    bench.give(tcpSegment(4000, 80, { to: GATEWAY }))
    bench.give(tcpSegment(4000, 53, { to: GATEWAY6 }))
    const seen = outcomes.map(each => typeof each === 'string' ? each : 'stream')
    expect(seen).toEqual(['stream', 'prohibited', 'prohibited', 'reset', 'stream'])
    expect(bench.sockets.tcp.map(({ address, port }) => [address, port])).toEqual([['192.0.2.9', 80]])
  })

  it('hear of ICMP errors about them, and quoted ones are answered', () => {
    const bench = ready()
    const quoted = tcpSegment(80, 4000, { from: '192.0.2.9', to: '10.0.5.7' }).subarray(14, 14 + 28)
    const error = Uint8Array.of(3, 4, 0, 0, 0, 0, 5, 0, ...quoted)
    writeChecksum(error, 0, error.length, 2)
    bench.give(ip(1, error, { to: GATEWAY }))
    const error6 = Uint8Array.of(2, 0, 0, 0, 0, 0, 5, 0, ...tcpSegment(80, 4000, { from: '2001:db8::9', to: GUEST6 }).subarray(14))
    bench.give(ip(58, withChecksum(58, error6, 2, { to: GATEWAY6 }), { to: GATEWAY6 }))
    expect(bench.transport.failures).toEqual([{ why: 'too-big', mtu: 1280 }, { why: 'too-big', mtu: 1280 }])
    bench.transport.onSegment = (packet) => {
      const { output } = bench.transport.context
      output.unreachable(output.quote(packet), 'network')
    }
    expect(icmpOf(bench.give(tcpSegment(4000, 80, { to: '192.0.2.9' }))[0])).toEqual([3, 0])
    const [refused6] = bench.give(tcpSegment(4000, 80, { to: '2001:db8::9' }))
    expect(icmpOf(refused6)).toEqual([1, 0])
    expect(getU16(refused6.payload, 8 + 40 + 2)).toBe(80)
  })
})

/** Fragments of a payload. */
function split(payload: Uint8Array, size: number, to: string, protocol = 58): Uint8Array[] {
  const pieces: Uint8Array[] = []
  const step = size & ~7
  for (let at = 0; at < payload.length; at += step) {
    const part = payload.subarray(at, at + step)
    const more = at + step < payload.length
    if (to === GATEWAY) pieces.push(ip(1, part, { to, fragment: at >>> 3 | (more ? MORE_FRAGMENTS : 0) }))
    else {
      const header = Uint8Array.of(protocol, 0, 0, 0, 0, 0, 0, 77)
      setU16(header, 2, at | (more ? 1 : 0))
      pieces.push(ip(44, Uint8Array.of(...header, ...part), { to }))
    }
  }
  return pieces
}

function join(sent: readonly Sent[]): Uint8Array {
  const end = Math.max(...sent.map(({ packet, payload }) => packet.fragmentOffset + payload.length))
  const whole = new Uint8Array(end)
  for (const { packet, payload } of sent) whole.set(payload, packet.fragmentOffset)
  return whole
}

describe('what is no IP at all', () => {
  it('is counted and gone', () => {
    const bench = ready()
    bench.give(ethernet(0x88cc, new Uint8Array(50)))
    bench.give(new Uint8Array(10))
    bench.give(ethernet(0x0800, new Uint8Array(10)))
    bench.give(ethernet(0x8100, Uint8Array.of(0, 20, 8, 0, ...new Uint8Array(40))))
    expect([bench.drops('protocol'), bench.drops('malformed'), bench.drops('not-ours')]).toEqual([1, 2, 1])
  })
})
