import { describe, expect, it } from 'vitest'
import { getU16, getU32 } from '../packet/bytes.ts'
import { ArpOperation } from '../packet/arp.ts'
import {
  Bench, GATEWAY, GATEWAY6, GATEWAY_MAC, GUEST, GUEST6, GUEST_MAC, address, arp, echo, ip, neighbourSolicitation, udp, udpOf, withChecksum,
} from './testing/bench.ts'

describe('ARP', () => {
  it('answers for its own address, and for no other', () => {
    const bench = new Bench()
    bench.give(arp(ArpOperation.REQUEST, GUEST_MAC, GUEST, GATEWAY))
    bench.frames.length = 0
    bench.end.receive({ ...frameOf(arp(ArpOperation.REQUEST, GUEST_MAC, GUEST, GATEWAY)) })
    const [reply] = bench.frames
    expect([...reply.bytes.subarray(0, 6)]).toEqual([0x52, 0x54, 0, 0x12, 0x34, 0x56])
    expect(getU16(reply.bytes, 20)).toBe(ArpOperation.REPLY)
    expect([...reply.bytes.subarray(28, 32)]).toEqual([10, 0, 5, 1])
    bench.frames.length = 0
    bench.end.receive(frameOf(arp(ArpOperation.REQUEST, GUEST_MAC, GUEST, '10.0.5.9')))
    expect(bench.frames).toHaveLength(0)
    expect(bench.gateway.report().neighbours).toEqual([{ address: GUEST, mac: GUEST_MAC }])
  })

  it('answers a probe without learning from it', () => {
    const bench = new Bench()
    bench.end.receive(frameOf(arp(ArpOperation.REQUEST, GUEST_MAC, '0.0.0.0', GATEWAY)))
    expect(bench.frames).toHaveLength(1)
    expect(bench.gateway.report().neighbours).toEqual([])
  })

  it('does not believe who speaks for another, for the gateway, or from another network', () => {
    const bench = new Bench()
    const lie = arp(ArpOperation.REQUEST, GUEST_MAC, GUEST, GATEWAY)
    lie[27]++ // the sender's MAC address inside
    bench.end.receive(frameOf(lie))
    bench.end.receive(frameOf(arp(ArpOperation.REPLY, GUEST_MAC, GATEWAY, GATEWAY, GATEWAY_MAC)))
    bench.end.receive(frameOf(arp(ArpOperation.REQUEST, GUEST_MAC, '192.168.1.1', GATEWAY)))
    expect(bench.drops('spoofed')).toBe(3)
    expect(bench.gateway.report().neighbours).toEqual([])
  })

  it('asks for whom it does not know, sends what waited, and gives up after three questions', () => {
    const bench = new Bench()
    expect(bench.give(echo(new Uint8Array(4), { to: GATEWAY }))).toHaveLength(0)
    bench.end.receive(frameOf(echo(new Uint8Array(4), { to: GATEWAY })))
    expect(bench.frames).toHaveLength(0) // one question was asked already
    expect(bench.give(arp(ArpOperation.REPLY, GUEST_MAC, GUEST, GATEWAY, GATEWAY_MAC))).toHaveLength(2)

    const silent = new Bench()
    silent.end.receive(frameOf(echo(new Uint8Array(4), { to: GATEWAY })))
    silent.clock.advance(20e9)
    const questions = silent.frames.filter(({ bytes }) => getU16(bytes, 12) === 0x0806)
    expect(questions).toHaveLength(3)
    expect(silent.drops('unresolved')).toBe(1)
  })

  it('asks again, in private, after a minute; goes on sending meanwhile; and forgets who is gone', () => {
    const bench = new Bench({ ipv6: undefined })
    bench.introduce()
    bench.clock.advance(61e9)
    const sent = bench.give(echo(new Uint8Array(4), { to: GATEWAY }))
    expect(sent).toHaveLength(1)
    bench.clock.advance(10e9)
    expect(bench.gateway.report().neighbours).toEqual([])
    bench.give(arp(ArpOperation.REQUEST, GUEST_MAC, GUEST, GATEWAY))
    bench.clock.advance(61e9)
    bench.give(echo(new Uint8Array(4), { to: GATEWAY }))
    bench.give(arp(ArpOperation.REPLY, GUEST_MAC, GUEST, GATEWAY, GATEWAY_MAC))
    bench.clock.advance(10e9)
    expect(bench.gateway.report().neighbours).toHaveLength(1)
  })

  it('is bounded, whoever scans', () => {
    const bench = new Bench({ ipv4: '10.0.0.1/8', ipv6: undefined })
    for (let host = 2; host < 2000; host++) {
      bench.give(echo(new Uint8Array(100), { to: '10.0.0.1', from: `10.1.${host >>> 8}.${host & 255}` }))
    }
    expect(bench.drops('unresolved')).toBeGreaterThan(900)
    bench.clock.advance(10e9)
    expect(bench.gateway.report().neighbours).toEqual([])
  })
})

describe('neighbour discovery', () => {
  it('answers for its addresses, solicited, as a router', () => {
    const bench = new Bench()
    const [advertisement] = bench.give(neighbourSolicitation(GUEST6, GATEWAY6))
    expect(advertisement.payload[0]).toBe(136)
    expect(advertisement.payload[4]).toBe(0xe0)
    expect(advertisement.packet.hopLimit).toBe(255)
    expect([...advertisement.payload.subarray(8, 24)]).toEqual([...address(GATEWAY6)])
    expect(bench.gateway.report().neighbours).toEqual([{ address: GUEST6, mac: GUEST_MAC }])
    expect(bench.give(neighbourSolicitation('fe80::7', 'fe80::ff:fe00:1'))).toHaveLength(1)
    expect(bench.give(neighbourSolicitation(GUEST6, 'fd00:5::99')).filter(each => each.payload[0] === 136)).toHaveLength(0)
  })

  it('refuses messages from afar, of others, or with broken options', () => {
    const bench = new Bench()
    const afar = neighbourSolicitation(GUEST6, GATEWAY6)
    afar[14 + 7] = 254
    expect(bench.give(afar)).toHaveLength(0)
    expect(bench.give(neighbourSolicitation('2001:db8::7', GATEWAY6))).toHaveLength(0)
    expect(bench.give(neighbourSolicitation(GATEWAY6, GATEWAY6))).toHaveLength(0)
    const payload = Uint8Array.of(135, 0, 0, 0, 0, 0, 0, 0, ...address(GATEWAY6), 1, 0, 1, 2, 3, 4, 5, 6)
    const options = { from: GUEST6, to: GATEWAY6, hopLimit: 255 }
    expect(bench.give(ip(58, withChecksum(58, payload, 2, options), options))).toHaveLength(0)
    expect(bench.gateway.report().neighbours).toEqual([])
  })

  it('advertises itself, at first and when asked, with prefix, DNS and MTU', () => {
    const bench = new Bench({ mtu: 9000 })
    bench.clock.advance(2e9)
    const [first] = bench.take()
    expect(first.payload[0]).toBe(134)
    expect(first.destinationMac).toBe('33:33:00:00:00:01')
    const payload = Uint8Array.of(133, 0, 0, 0, 0, 0, 0, 0)
    const options = { from: 'fe80::7', to: 'ff02::2', hopLimit: 255, toMac: '33:33:00:00:00:02' }
    const [answer] = bench.give(ip(58, withChecksum(58, payload, 2, options), options))
    expect(getU16(answer.payload, 6)).toBe(1800)
    const kinds = optionsOf(answer.payload.subarray(16))
    expect(getU32(kinds.get(5)!, 2)).toBe(9000)
    expect([...kinds.get(3)!.subarray(14, 22)]).toEqual([0xfd, 0, 0, 5, 0, 0, 0, 0])
    expect([...kinds.get(25)!.subarray(6)]).toEqual([...address(GATEWAY6)])
    expect(kinds.get(31)).toBeDefined()
    bench.clock.advance(301e9)
    expect(bench.take().filter(each => each.payload[0] === 134)).toHaveLength(1)
  })

  it('is no router for a network without an outside', () => {
    const bench = new Bench({ kind: 'host-only' })
    bench.clock.advance(2e9)
    expect(getU16(bench.take()[0].payload, 6)).toBe(0)
  })
})

describe('DHCPv6', () => {
  it('tells of DNS who asks for information, and gives no addresses', () => {
    const bench = new Bench()
    bench.introduce()
    const client = [0, 1, 0, 4, 9, 8, 7, 6]
    const options = { to: 'ff02::1:2', toMac: '33:33:00:01:00:02' }
    const [reply] = bench.give(udp(546, 547, Uint8Array.of(11, 1, 2, 3, ...client), options))
    const { from, to, data } = udpOf(reply)
    expect([from, to]).toEqual([547, 546])
    expect([...data.subarray(0, 12)]).toEqual([7, 1, 2, 3, ...client])
    expect(Buffer.from(data).includes(Buffer.from([0, 23, 0, 16, ...address(GATEWAY6)]))).toBe(true)
    expect(bench.give(udp(546, 547, Uint8Array.of(1, 1, 2, 3, ...client), options))).toHaveLength(0)
    expect(bench.give(udp(546, 547, Uint8Array.of(11, 1, 2, 3, 0, 1, 0, 99), options))).toHaveLength(0)
  })
})

function frameOf(bytes: Uint8Array) {
  return {
    bytes, start: 0, length: bytes.length, checksumStart: -1, checksumOffset: 0, checksumValid: false, segmentation: 'none' as const,
    segmentSize: 0,
  }
}

function optionsOf(bytes: Uint8Array): Map<number, Uint8Array> {
  const options = new Map<number, Uint8Array>()
  for (let at = 0; at < bytes.length; at += bytes[at + 1] * 8) options.set(bytes[at], bytes.slice(at + 2, at + bytes[at + 1] * 8))
  return options
}
