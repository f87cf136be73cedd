import { describe, expect, it } from 'vitest'
import { complement, sumBytes } from '../../base/internet-checksum.ts'
import { Random } from '../../base/testing/random.ts'
import { setU16 } from '../packet/bytes.ts'
import { sumPseudoHeader, writeChecksum } from '../packet/checksum.ts'
import { parseDhcp } from '../packet/dhcp.ts'
import { parseDhcp6 } from '../packet/dhcp6.ts'
import { parseQuestion, parseRecords } from '../packet/dns.ts'
import { DhcpType } from '../packet/dhcp.ts'
import {
  Bench, GATEWAY, GATEWAY6, GUEST, GUEST_MAC, arp, dhcp, dnsQuery, echo, ip, neighbourSolicitation, tcpSegment, udp,
} from './testing/bench.ts'

/** Well-formed frames of all kinds, to be spoilt. */
function seeds(): Uint8Array[] {
  const everybody = { from: '0.0.0.0', to: '255.255.255.255', toMac: 'ff:ff:ff:ff:ff:ff' }
  return [
    arp(1, GUEST_MAC, GUEST, GATEWAY), neighbourSolicitation('fd00:5::7', GATEWAY6), echo(new Uint8Array(30), { to: GATEWAY }),
    echo(new Uint8Array(30), { to: GATEWAY6 }), echo(new Uint8Array(30), { to: '192.0.2.9' }), tcpSegment(1, 80, { to: '192.0.2.9' }),
    udp(68, 67, dhcp(DhcpType.DISCOVER, [[12, 3, 119, 101, 98]]), everybody),
    udp(68, 67, dhcp(DhcpType.REQUEST, [[50, 4, 10, 0, 5, 9]]), everybody),
    udp(9, 53, dnsQuery(1, 'web.internal', 1), { to: GATEWAY }), udp(9, 53, dnsQuery(1, 'example.org', 28), { to: GATEWAY6 }),
    udp(546, 547, Uint8Array.of(11, 1, 2, 3, 0, 1, 0, 2, 5, 6), { to: 'ff02::1:2', toMac: '33:33:00:01:00:02' }),
    ip(44, Uint8Array.of(17, 0, 0, 1, 0, 0, 0, 9, ...new Uint8Array(16)), { to: GATEWAY6 }),
    ip(0, Uint8Array.of(60, 0, 1, 4, 0, 0, 0, 0, 17, 0, 1, 4, 0, 0, 0, 0, ...new Uint8Array(8)), { to: GATEWAY6 }),
    ip(17, new Uint8Array(64), { to: GATEWAY, fragment: 0x2003 }), udp(9, 7, new Uint8Array(20), { to: '2001:db8::9' }),
  ]
}

/** Makes checksums right again, where the frame still looks as if it had them, so that what is behind them is reached. */
function mendChecksums(frame: Uint8Array): void {
  const version = frame[14] >>> 4
  if (frame[12] === 0x08 && frame[13] === 0 && frame.length >= 34) {
    const header = Math.max(20, (frame[14] & 15) * 4)
    if (14 + header > frame.length) return
    setU16(frame, 16, frame.length - 14)
    writeChecksum(frame, 14, header, 24)
    mendPayload(frame, 14 + header, 26, 4, frame[23])
  } else if (version === 6 && frame.length >= 54) {
    setU16(frame, 18, frame.length - 54)
    mendPayload(frame, 54, 22, 16, frame[20])
  }
}

function mendPayload(frame: Uint8Array, at: number, addresses: number, length: number, protocol: number): void {
  const field = { 1: 2, 6: 16, 17: 6, 58: 2 }[protocol]
  if (field === undefined || at + field + 2 > frame.length) return
  if (protocol === 17) setU16(frame, at + 4, frame.length - at)
  setU16(frame, at + field, 0)
  const sum = protocol === 1 ? 0 : sumPseudoHeader(frame, addresses, length, protocol, frame.length - at)
  setU16(frame, at + field, complement(sumBytes(frame, at, frame.length - at, sum)))
}

function spoil(random: Random, frame: Uint8Array): Uint8Array {
  const copy = frame.slice(0, random.below(4) === 0 ? random.below(frame.length + 1) : frame.length)
  const grown = random.below(8) === 0 ? Uint8Array.of(...copy, ...random.bytes(random.below(64))) : copy
  for (let count = random.below(5); count > 0 && grown.length > 12; count--) grown[12 + random.below(grown.length - 12)] = random.value()
  if (random.below(4) > 0) mendChecksums(grown)
  return grown
}

describe('hostile input', () => {
  it('never throws, and never makes the gateway send what is malformed', () => {
    const random = new Random(20261128)
    const bench = new Bench({}, 3)
    bench.introduce()
    const frames = seeds()
    for (let round = 0; round < 4000; round++) {
      const bytes = spoil(random, random.pick(frames))
      const offloads = random.below(8) > 0 ? {} : {
        checksumStart: random.below(60), checksumOffset: random.below(20), segmentSize: random.below(3000),
        segmentation: random.pick(['none', 'tcp4', 'tcp6', 'udp'] as const),
      }
      bench.give(bytes, offloads) // reads what is sent, and throws if it is malformed
      if (random.below(200) === 0) bench.clock.advance(random.below(5) * 1e9)
      if (random.below(50) === 0) bench.take()
    }
    const report = bench.gateway.report()
    expect(report.framesReceived).toBe(4002)
    expect(report.framesSent).toBeGreaterThan(300)
    expect(report.drops.malformed).toBeGreaterThan(100)
    for (const seed of frames) bench.give(seed)
  })

  it('of resolvers never throws either', () => {
    const random = new Random(5)
    const bench = new Bench({ allow: ['*.org:80'] })
    bench.introduce()
    for (let round = 0; round < 800; round++) {
      bench.give(udp(9, 53, dnsQuery(round, `n${round}.example.org`, 1), { to: GATEWAY }))
      const socket = bench.sockets.udp.at(-1)!
      const record = [192, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 1, 2, 3, 4]
      const response = Uint8Array.of(...socket.sent[0], ...record, ...random.bytes(random.below(30)))
      response[2] |= 0x80
      response[7] = 1
      for (let count = random.below(6); count > 0; count--) response[2 + random.below(response.length - 2)] = random.value()
      const cut = random.below(4) === 0 ? random.below(response.length) : response.length
      socket.events.message(response.subarray(0, cut))
      if (round % 40 === 0) bench.clock.advance(2e9)
    }
    expect(bench.gateway.report().framesSent).toBeGreaterThan(300)
  })

  it('is read by every parser, or refused', () => {
    const random = new Random(77)
    for (let round = 0; round < 3000; round++) {
      const noise = random.bytes(random.below(400)).map(byte => random.below(3) === 0 ? byte & 15 : byte)
      parseDhcp6(noise)
      const message = dhcp(random.below(10), [])
      message.set(noise.subarray(0, 60), 240)
      message.set(noise.subarray(0, 128), 108)
      parseDhcp(message)
      const dns = Uint8Array.of(0, 0, 1, 0, 0, 1, 0, random.below(9), 0, 0, 0, random.below(9), ...noise)
      const question = parseQuestion(dns)
      const records = question === undefined ? [] : parseRecords(dns, question) ?? []
      expect(records.every(({ dataAt, dataLength }) => dataAt + dataLength <= dns.length)).toBe(true)
    }
  })
})
