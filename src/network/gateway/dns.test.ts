import { describe, expect, it } from 'vitest'
import type { HostStream } from '../sockets.ts'
import { getU16, getU32, setU16 } from '../packet/bytes.ts'
import { DnsFlag, DnsType, Rcode, buildResponse, parseQuestion, parseRecords } from '../packet/dns.ts'
import { encodeName } from '../packet/dns-name.ts'
import { DhcpType } from '../packet/dhcp.ts'
import { Bench, GATEWAY, GATEWAY6, GUEST_MAC, address, dhcp, dnsQuery, icmpOf, tcpSegment, udp, udpOf } from './testing/bench.ts'

function ready(configuration = {}): Bench {
  const bench = new Bench(configuration)
  bench.introduce()
  return bench
}

/** Asks over UDP, and returns the answer that comes at once. */
function ask(bench: Bench, query: Uint8Array, to = GATEWAY): Uint8Array | undefined {
  const [sent] = bench.give(udp(5000, 53, query, { to }))
  return sent === undefined ? undefined : udpOf(sent).data
}

/** The answer that came since. */
function answer(bench: Bench): Uint8Array | undefined {
  const [sent] = bench.take().filter(({ packet }) => packet.protocol === 17)
  return sent === undefined ? undefined : udpOf(sent).data
}

const rcode = (response: Uint8Array) => getU16(response, 2) & 15
const truncated = (response: Uint8Array) => (getU16(response, 2) & DnsFlag.TC) !== 0
const dataOf = (response: Uint8Array) => parseRecords(response, parseQuestion(response)!)!
  .map(({ dataAt, dataLength }) => [...response.subarray(dataAt, dataAt + dataLength)])

/** What a name server answers to a query that the gateway has sent. */
function upstreamAnswer(query: Uint8Array, data: Uint8Array, ttl = 100, type: number = DnsType.A): Uint8Array {
  return buildResponse(query, parseQuestion(query)!, Rcode.NOERROR, [{ type, ttl, data }])
}

describe('DNS by the host\'s resolvers', () => {
  it('asks for a guest, with an id of its own, and answers with the guest\'s', () => {
    const bench = ready()
    expect(ask(bench, dnsQuery(0x1234, 'Example.org', DnsType.A))).toBeUndefined()
    const [socket] = bench.sockets.udp
    expect([socket.address, socket.port]).toEqual(['192.0.2.53', 53])
    const [query] = socket.sent
    expect(getU16(query, 0)).not.toBe(0x1234)
    const forged = upstreamAnswer(query, Uint8Array.of(6, 6, 6, 6))
    setU16(forged, 0, getU16(query, 0) ^ 1)
    socket.events.message(forged)
    socket.events.message(upstreamAnswer(dnsQuery(getU16(query, 0), 'other.org', 1), Uint8Array.of(6, 6, 6, 6)))
    expect(answer(bench)).toBeUndefined()
    socket.events.message(upstreamAnswer(query, Uint8Array.of(192, 0, 2, 80)))
    const response = answer(bench)!
    expect([getU16(response, 0), rcode(response)]).toEqual([0x1234, 0])
    expect(dataOf(response)).toEqual([[192, 0, 2, 80]])
    expect(socket.closed).toBe(true)
  })

  it('remembers answers for as long as they say, negative ones too', () => {
    const bench = ready()
    ask(bench, dnsQuery(1, 'example.org', DnsType.A))
    bench.sockets.udp[0].events.message(upstreamAnswer(bench.sockets.udp[0].sent[0], Uint8Array.of(192, 0, 2, 80), 60))
    bench.take()
    bench.clock.advance(20e9)
    const cached = ask(bench, dnsQuery(2, 'EXAMPLE.org', DnsType.A), GATEWAY6)!
    const question = parseQuestion(cached)!
    expect([question.id, parseRecords(cached, question)![0].ttl]).toEqual([2, 40])
    expect(String.fromCharCode(...cached.subarray(13, 20))).toBe('EXAMPLE')
    bench.clock.advance(41e9)
    expect(ask(bench, dnsQuery(3, 'example.org', DnsType.A))).toBeUndefined()
    expect(bench.sockets.udp).toHaveLength(2)

    ask(bench, dnsQuery(4, 'no.example.org', DnsType.A))
    const socket = bench.sockets.udp[2]
    const soa = Uint8Array.of(...encodeName('a'), ...encodeName('b'), ...new Uint8Array(16), 0, 0, 0, 30)
    const authority = { type: DnsType.SOA, ttl: 900, data: soa }
    const negative = buildResponse(socket.sent[0], parseQuestion(socket.sent[0]), Rcode.NXDOMAIN, [authority])
    setU16(negative, 6, 0)
    setU16(negative, 8, 1)
    socket.events.message(negative)
    expect(rcode(answer(bench)!)).toBe(Rcode.NXDOMAIN)
    bench.clock.advance(29e9)
    bench.introduce()
    expect(rcode(ask(bench, dnsQuery(5, 'no.example.org', DnsType.A))!)).toBe(Rcode.NXDOMAIN)
    bench.clock.advance(2e9)
    expect(ask(bench, dnsQuery(6, 'no.example.org', DnsType.A))).toBeUndefined()
  })

  it('goes to the next resolver when one fails or keeps silent, and fails in the end', () => {
    const bench = ready()
    bench.sockets.nameServers = ['192.0.2.53', 'nonsense', '[::1]:5353', '127.0.0.53']
    ask(bench, dnsQuery(7, 'example.org', DnsType.A))
    bench.sockets.udp[0].events.failed('refused')
    bench.clock.advance(1.8e9)
    expect(bench.sockets.udp.map(({ address, port }) => `${address} ${port}`)).toEqual(['192.0.2.53 53', '::1 5353', '127.0.0.53 53'])
    bench.clock.advance(1.8e9)
    const response = answer(bench)!
    expect([getU16(response, 0), rcode(response)]).toEqual([7, Rcode.SERVFAIL])
    expect(bench.sockets.udp.every(({ closed }) => closed)).toBe(true)
    bench.sockets.nameServers = []
    ask(bench, dnsQuery(8, 'example.org', DnsType.A))
    bench.clock.advance(1e9)
    expect(rcode(answer(bench)!)).toBe(Rcode.SERVFAIL)
  })

  it('cuts what is too long for UDP, and not what the guest says it can take', () => {
    const bench = ready()
    const long = new Uint8Array(900)
    for (const [index, extra] of [[], [0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]].entries()) {
      ask(bench, dnsQuery(9, 'example.org', 16, extra))
      const socket = bench.sockets.udp[index]
      socket.events.message(upstreamAnswer(socket.sent[0].slice(0, 29), long, 0, 16))
      const response = answer(bench)!
      expect(truncated(response)).toBe(index === 0)
      expect(response.length).toBe(index === 0 ? 29 : 29 + 12 + 900)
    }
  })

  it('asks nobody on a host-only network, which has its own names only', () => {
    const bench = ready({ kind: 'host-only' })
    expect(rcode(ask(bench, dnsQuery(1, 'secret.example.org', DnsType.A))!)).toBe(Rcode.REFUSED)
    expect(dataOf(ask(bench, dnsQuery(2, 'gateway.internal', DnsType.A))!)).toEqual([[10, 0, 5, 1]])
    expect([bench.sockets.udp, bench.sockets.tcp]).toEqual([[], []])
  })

  it('bounds the questions of one guest', () => {
    const bench = ready()
    for (let id = 0; id < 100; id++) ask(bench, dnsQuery(id, `n${id}.example.org`, DnsType.A))
    expect(bench.sockets.udp).toHaveLength(64)
    expect(bench.drops('questions')).toBe(36)
    bench.clock.advance(10e9)
    expect(ask(bench, dnsQuery(1, 'again.example.org', DnsType.A))).toBeUndefined()
    expect(bench.sockets.udp.at(-1)!.sent).toHaveLength(1)
  })

  it('answers nonsense with an error, and answers with nothing', () => {
    const bench = ready()
    const query = dnsQuery(1, 'example.org', DnsType.A)
    expect(rcode(ask(bench, query.subarray(0, 14))!)).toBe(Rcode.FORMERR)
    const twice = query.slice()
    twice[5] = 2
    expect(rcode(ask(bench, twice)!)).toBe(Rcode.FORMERR)
    const update = query.slice()
    update[2] = 0x28
    expect(rcode(ask(bench, update)!)).toBe(Rcode.NOTIMP)
    const response = query.slice()
    response[2] = 0x80
    expect(ask(bench, response)).toBeUndefined()
    expect(ask(bench, query.subarray(0, 11))).toBeUndefined()
    expect(bench.sockets.udp).toHaveLength(0)
  })
})

describe('names of the network itself', () => {
  function withGuest(): Bench {
    const bench = ready({ reservations: [{ mac: GUEST_MAC, address: '10.0.5.7', name: 'web' }] })
    const request = dhcp(DhcpType.REQUEST, [[50, 4, 10, 0, 5, 7]])
    bench.give(udp(68, 67, request, { from: '0.0.0.0', to: '255.255.255.255', toMac: 'ff:ff:ff:ff:ff:ff' }))
    return bench
  }

  it('are guests, with the addresses that they have', () => {
    const bench = withGuest()
    for (const name of ['web', 'WEB.internal']) {
      expect(dataOf(ask(bench, dnsQuery(1, name, DnsType.A))!)).toEqual([[10, 0, 5, 7]])
      expect(dataOf(ask(bench, dnsQuery(1, name, DnsType.AAAA))!)).toEqual([[...address('fd00:5::7')]])
    }
    expect(dataOf(ask(bench, dnsQuery(1, 'web', 15))!)).toEqual([])
    expect(dataOf(ask(bench, dnsQuery(1, '7.5.0.10.in-addr.arpa', DnsType.PTR))!)).toEqual([[...encodeName('web.internal')]])
    expect(bench.sockets.udp).toHaveLength(0)
  })

  it('are the gateway and localhost, and nothing else below the domain', () => {
    const bench = ready()
    expect(dataOf(ask(bench, dnsQuery(1, 'gateway.internal', DnsType.AAAA))!)).toEqual([[...address(GATEWAY6)]])
    expect(dataOf(ask(bench, dnsQuery(1, 'localhost', DnsType.A))!)).toEqual([[127, 0, 0, 1]])
    expect(rcode(ask(bench, dnsQuery(1, 'nobody.internal', DnsType.A))!)).toBe(Rcode.NXDOMAIN)
    expect(rcode(ask(bench, dnsQuery(1, '99.5.0.10.in-addr.arpa', DnsType.PTR))!)).toBe(Rcode.NXDOMAIN)
    const reverse6 = `${['1', ...'0'.repeat(23), '5', ...'00000df'].join('.')}.ip6.arpa`
    expect(dataOf(ask(bench, dnsQuery(1, reverse6, DnsType.PTR))!)).toEqual([[...encodeName('gateway.internal')]])
    expect(ask(bench, dnsQuery(1, '1.1.168.192.in-addr.arpa', DnsType.PTR))).toBeUndefined()
    expect(bench.sockets.udp).toHaveLength(1)
  })
})

describe('DNS over TCP', () => {
  function connect(bench: Bench, takes = () => true) {
    const heard: (string | Uint8Array)[] = []
    const events = {
      connected: () => { heard.push('connected') }, ended: () => { heard.push('ended') }, writable: () => { heard.push('writable') },
      closed: (failure?: string) => { heard.push(failure ?? 'closed') },
      data: (bytes: Uint8Array) => {
        heard.push(bytes.slice())
        return takes()
      },
    }
    let stream
    bench.transport.onSegment = (packet) => { stream = bench.transport.context.connect(packet, 53, events) }
    bench.give(tcpSegment(4000, 53, { to: GATEWAY }))
    bench.clock.advance(1)
    return { heard, stream: stream! as HostStream }
  }

  const framed = (message: Uint8Array) => Uint8Array.of(message.length >>> 8, message.length & 0xff, ...message)

  it('takes questions in any pieces, and asks the resolvers over TCP', () => {
    const bench = ready()
    const { heard, stream } = connect(bench)
    expect(heard).toEqual(['connected'])
    const bytes = Uint8Array.of(...framed(dnsQuery(1, 'localhost', DnsType.A)), ...framed(dnsQuery(2, 'example.org', DnsType.A)))
    for (const byte of bytes) expect(stream.write(Uint8Array.of(byte))).toBe(1)
    bench.clock.advance(1)
    expect(getU16(heard[1] as Uint8Array, 2)).toBe(1)
    const [upstream] = bench.sockets.tcp
    expect([upstream.address, upstream.port]).toEqual(['192.0.2.53', 53])
    upstream.events.connected()
    const query = Uint8Array.from(upstream.written).subarray(2)
    const response = framed(upstreamAnswer(query, new Uint8Array(2000)))
    upstream.events.data(response.subarray(0, 1000))
    upstream.events.data(response.subarray(1000))
    expect(upstream.aborted).toBe(true)
    bench.clock.advance(1)
    const answered = (heard[2] as Uint8Array).subarray(2)
    expect([getU16(answered, 0), answered.length]).toEqual([2, 29 + 12 + 2000])
    stream.end()
    bench.clock.advance(1)
    expect(heard.slice(3)).toEqual(['ended', 'closed'])
  })

  it('answers any number of questions at once, a few at a time, as fast as the guest takes the answers', () => {
    const bench = ready()
    let paused = true
    const { heard, stream } = connect(bench, () => !paused)
    const questions = Array.from({ length: 200 }, (_, id) => framed(dnsQuery(id, `n${id}.example.org`, DnsType.A)))
    const bytes = Uint8Array.from(questions.flatMap(question => [...question]))
    expect(stream.write(bytes)).toBe(bytes.length)
    expect(stream.write(bytes)).toBe(0)
    for (let answered = 0; answered < 200; answered++) {
      if (answered === 100) {
        paused = false
        stream.resume()
      }
      bench.clock.advance(1)
      const upstream = bench.sockets.tcp[answered]
      upstream.events.connected()
      upstream.events.data(framed(upstreamAnswer(Uint8Array.from(upstream.written).subarray(2), Uint8Array.of(1, 2, 3, 4))))
      expect(bench.sockets.tcp.length).toBeLessThanOrEqual(answered + 4)
    }
    bench.clock.advance(1)
    const ids = heard.filter(each => typeof each !== 'string').map(each => getU16(each, 2))
    expect(ids).toEqual(Array.from({ length: 200 }, (_, id) => id))
    expect(heard).toContain('writable')
  })

  it('has room for some connections of each guest', () => {
    const bench = ready()
    const streams = Array.from({ length: 40 }, () => connect(bench).stream)
    expect(streams.filter(each => typeof each === 'string')).toHaveLength(8)
    streams[0].abort()
    expect(connect(bench).stream).not.toBe('reset')
    expect(connect(bench).stream).toBe('reset')
  })

  it('ends what is idle, and breaks off what is nonsense', () => {
    const bench = ready()
    const idle = connect(bench)
    bench.clock.advance(61e9)
    expect(idle.heard).toEqual(['connected', 'ended'])
    const nonsense = connect(bench)
    nonsense.stream.write(Uint8Array.of(0, 3, 1, 2, 3))
    bench.clock.advance(1)
    expect(nonsense.heard).toEqual(['connected', 'reset'])
  })
})

describe('rules about names', () => {
  it('hold for what the guest was told that they stand for', () => {
    const bench = ready({ allow: ['example.org:7', '*.example.net:7/udp'] })
    const reach = (to: string) => {
      const before = bench.sockets.udp.length
      const [refused] = bench.give(udp(5000, 7, new Uint8Array(1), { to }))
      return refused === undefined ? bench.sockets.udp.length > before : icmpOf(refused)
    }
    const resolve = (name: string, data: Uint8Array) => {
      ask(bench, dnsQuery(1, name, DnsType.A))
      const socket = bench.sockets.udp.at(-1)!
      socket.events.message(upstreamAnswer(socket.sent[0], data))
      expect(getU32(answer(bench)!, 0)).toBeDefined()
    }
    expect(reach('192.0.2.80')).toEqual([3, 13])
    resolve('example.org', address('192.0.2.80'))
    expect(reach('192.0.2.80')).toBe(true)
    resolve('a.example.net', address('192.0.2.81'))
    expect(reach('192.0.2.81')).toBe(true)
    resolve('example.net', address('192.0.2.82'))
    resolve('evil.org', address('192.0.2.83'))
    resolve('b.example.net', address('127.0.0.1'))
    expect([reach('192.0.2.82'), reach('192.0.2.83'), reach('127.0.0.1')]).toEqual([[3, 13], [3, 13], [3, 13]])
  })
})
