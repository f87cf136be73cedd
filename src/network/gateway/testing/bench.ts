import { complement, sumBytes } from '../../../base/internet-checksum.ts'
import type { Frame } from '../../../machine/frame.ts'
import type { PlainData } from '../../../machine/lifecycle.ts'
import { Random } from '../../../base/testing/random.ts'
import type { HostStream, StreamEvents } from '../../sockets.ts'
import type { Endpoint, IpPacket, SegmentTransport, TransportContext } from '../../transport.ts'
import { FakeClock } from '../../testing/fake-clock.ts'
import { parseAddress, parseMac } from '../../packet/addresses.ts'
import { getU16, setU16, setU32 } from '../../packet/bytes.ts'
import { checksumRight, payloadChecksumRight, sumPseudoHeader, writeChecksum } from '../../packet/checksum.ts'
import { EtherType, parseEthernet } from '../../packet/ethernet.ts'
import { writeIpv4 } from '../../packet/ipv4.ts'
import { parseIpv4Packet } from '../../packet/ipv4.ts'
import { parseIpv6Packet, writeIpv6 } from '../../packet/ipv6.ts'
import { Protocol, newPacket, type ParsedPacket } from '../../packet/packet.ts'
import { Gateway } from '../gateway.ts'
import type { GatewayConfiguration } from '../settings.ts'
import { FakeSockets } from './fake-sockets.ts'

export const GATEWAY_MAC = '02:00:00:00:00:01'
export const GUEST_MAC = '52:54:00:12:34:56'
export const GUEST = '10.0.5.7'
export const GATEWAY = '10.0.5.1'
export const GUEST6 = 'fd00:5::7'
export const GATEWAY6 = 'fd00:5::1'

export const CONFIGURATION: GatewayConfiguration = { kind: 'nat', mac: GATEWAY_MAC, ipv4: '10.0.5.1/24', ipv6: 'fd00:5::1/64' }

/** Keeps what it is given. */
export class FakeTransport implements SegmentTransport {
  readonly schema = 'fake-transport'
  readonly version = 1
  readonly context: TransportContext
  readonly segments: { readonly source: string, readonly payload: Uint8Array }[] = []
  readonly failures: { readonly why: string, readonly mtu: number }[] = []
  readonly accepted: { readonly stream: HostStream, readonly from: Endpoint, readonly to: Endpoint }[] = []
  /** What a SYN to the outside comes to. */
  onSegment: ((packet: IpPacket) => void) | null = null
  refuses = 0
  restored: PlainData = null
  /** Addresses of guests that have gone. */
  readonly left: string[] = []
  readied = 0

  constructor(context: TransportContext) { this.context = context }

  receive(packet: IpPacket): void {
    const { bytes, source, payload, payloadLength } = packet
    this.segments.push({ source: bytes.slice(source, source + 4).join('.'), payload: bytes.slice(payload, payload + payloadLength) })
    this.onSegment?.(packet)
  }

  failed(_quoted: IpPacket, why: 'unreachable' | 'too-big', mtu: number): void { this.failures.push({ why, mtu }) }

  accept(stream: HostStream, from: Endpoint, to: Endpoint): StreamEvents | null {
    if (this.refuses-- > 0) return null
    this.accepted.push({ stream, from, to })
    return { connected: () => {}, data: () => true, ended: () => {}, writable: () => {}, closed: () => {} }
  }

  ready(): void { this.readied++ }
  flowsOf(addresses: ReadonlySet<string>): PlainData { return [...addresses] }
  endFlowsOf(addresses: ReadonlySet<string>): void { this.left.push(...addresses) }
  endSaved(state: PlainData, found: (address: Uint8Array) => void): void {
    this.restored = state
    found(parseAddress(GUEST)!)
  }
  close(): void {}
  reset(): void {}
  save(): PlainData { return { kept: 7 } }
  restore(state: PlainData): void { this.restored = state }
}

/** A packet that the gateway has sent, its checksums checked. */
export interface Sent {
  readonly frame: Uint8Array
  readonly destinationMac: string
  readonly packet: ParsedPacket
  readonly payload: Uint8Array
  readonly partial: boolean
}

/** A gateway, a host and a guest's end of the cable, all in the test's hands. */
export class Bench {
  readonly clock = new FakeClock()
  readonly sockets = new FakeSockets()
  readonly frames: { readonly bytes: Uint8Array, readonly frame: Frame }[] = []
  readonly gateway: Gateway
  transport!: FakeTransport
  /** The cable takes nothing. */
  full = false
  readonly end

  constructor(configuration: Partial<GatewayConfiguration> = {}, seed = 1) {
    const random = new Random(seed)
    this.gateway = new Gateway({
      configuration: { ...CONFIGURATION, ...configuration }, clock: this.clock, sockets: this.sockets,
      entropy: { fill: (bytes) => { bytes.set(random.bytes(bytes.length)) } },
      transport: (context) => {
        this.transport = new FakeTransport(context)
        return this.transport
      },
    })
    this.end = this.gateway.connect({
      receive: (frame) => {
        if (this.full) return false
        this.frames.push({ bytes: frame.bytes.slice(frame.start, frame.start + frame.length), frame: { ...frame } })
        return true
      },
      ready: () => {},
    })
  }

  /** Gives the gateway a frame, and what it has sent by then. */
  give(bytes: Uint8Array, offloads: Partial<Frame> = {}): Sent[] {
    const { frames } = this
    frames.length = 0
    this.end.receive({
      bytes, start: 0, length: bytes.length, checksumStart: -1, checksumOffset: 0, checksumValid: false, segmentation: 'none',
      segmentSize: 0, ...offloads,
    })
    return this.take()
  }

  /** IP packets sent since the last call, without questions for neighbours. */
  take(): Sent[] {
    const sent = this.frames.map(({ bytes, frame }) => readSent(bytes, frame)).filter(each => each !== undefined)
    this.frames.length = 0
    return sent
  }

  drops(reason: string): number { return this.gateway.report().drops[reason] }

  /** Lets the gateway know the guest's station, both families. */
  introduce(): void {
    this.give(arp(1, GUEST_MAC, GUEST, GATEWAY))
    this.give(neighbourSolicitation(GUEST6, GATEWAY6))
    this.frames.length = 0
  }
}

function readSent(bytes: Uint8Array, frame: Frame): Sent | undefined {
  const ethernet = { destination: 0, source: 0, type: 0, vlan: 0, payload: 0 }
  if (!parseEthernet(bytes, 0, bytes.length, ethernet)) throw new Error('a malformed frame')
  if (ethernet.type === EtherType.ARP) return undefined
  const packet = newPacket()
  const parse = ethernet.type === EtherType.IPV4 ? parseIpv4Packet : parseIpv6Packet
  const result = parse(bytes, ethernet.payload, bytes.length, packet)
  if (result !== 'good') throw new Error(`the gateway sent what is ${result}`)
  const payload = bytes.slice(packet.payload, packet.payload + packet.payloadLength)
  const partial = frame.checksumStart >= 0
  if (packet.protocol === Protocol.ICMPV6 && payload[0] === 135) return undefined
  const whole = !partial && !packet.moreFragments && packet.fragmentOffset === 0
  if (whole && !checksumOf(packet)) throw new Error('the gateway sent a wrong checksum')
  const destinationMac = Array.from(bytes.subarray(0, 6), byte => byte.toString(16).padStart(2, '0')).join(':')
  return { frame: bytes, destinationMac, packet, payload, partial }
}

function checksumOf(packet: ParsedPacket): boolean {
  if (packet.protocol !== Protocol.ICMP) return payloadChecksumRight(packet)
  return checksumRight(packet.bytes, packet.payload, packet.payloadLength)
}

export function mac(text: string): Uint8Array { return parseMac(text)! }
export function address(text: string): Uint8Array { return parseAddress(text)! }

export function ethernet(type: number, payload: Uint8Array, to = GATEWAY_MAC, from = GUEST_MAC): Uint8Array {
  return Uint8Array.of(...mac(to), ...mac(from), type >>> 8, type & 0xff, ...payload)
}

export function arp(operation: number, sender: string, senderAddress: string, target: string, to = 'ff:ff:ff:ff:ff:ff'): Uint8Array {
  const payload = Uint8Array.of(
    0, 1, 8, 0, 6, 4, 0, operation, ...mac(sender), ...address(senderAddress), 0, 0, 0, 0, 0, 0, ...address(target))
  return ethernet(EtherType.ARP, payload, to, sender)
}

export interface PacketOptions {
  readonly from?: string
  readonly to: string
  readonly hopLimit?: number
  readonly fragment?: number
  readonly identification?: number
  readonly toMac?: string
  readonly fromMac?: string
}

/** An IP packet in a frame; the version is that of its addresses. */
export function ip(protocol: number, payload: Uint8Array, options: PacketOptions): Uint8Array {
  const to = address(options.to)
  const from = address(options.from ?? (to.length === 4 ? GUEST : GUEST6))
  const header = to.length === 4 ? 20 : 40
  const packet = new Uint8Array(header + payload.length)
  packet.set(from, header - to.length * 2)
  packet.set(to, header - to.length)
  packet.set(payload, header)
  const { identification = 1, fragment = 0 } = options
  if (to.length === 4) writeIpv4(packet, 0, packet.length, protocol, 0, identification, fragment, options.hopLimit)
  else writeIpv6(packet, 0, payload.length, protocol, 0, options.hopLimit)
  return ethernet(to.length === 4 ? EtherType.IPV4 : EtherType.IPV6, packet, options.toMac, options.fromMac)
}

/** With the right checksum in a field, for protocols with a pseudo header. */
export function withChecksum(protocol: number, payload: Uint8Array, field: number, options: PacketOptions): Uint8Array {
  const to = address(options.to)
  const addresses = Uint8Array.of(...address(options.from ?? (to.length === 4 ? GUEST : GUEST6)), ...to)
  const sum = sumPseudoHeader(addresses, 0, to.length, protocol, payload.length)
  setU16(payload, field, complement(sumBytes(payload, 0, payload.length, sum)))
  return payload
}

export function udp(sourcePort: number, destinationPort: number, data: Uint8Array, options: PacketOptions): Uint8Array {
  const payload = new Uint8Array(8 + data.length)
  setU16(payload, 0, sourcePort)
  setU16(payload, 2, destinationPort)
  setU16(payload, 4, payload.length)
  payload.set(data, 8)
  return ip(Protocol.UDP, withChecksum(Protocol.UDP, payload, 6, options), options)
}

export function echo(data: Uint8Array, options: PacketOptions): Uint8Array {
  const version6 = options.to.includes(':')
  const payload = Uint8Array.of(version6 ? 128 : 8, 0, 0, 0, 0x12, 0x34, 0, 1, ...data)
  if (version6) return ip(Protocol.ICMPV6, withChecksum(Protocol.ICMPV6, payload, 2, options), options)
  writeChecksum(payload, 0, payload.length, 2)
  return ip(Protocol.ICMP, payload, options)
}

export function tcpSegment(sourcePort: number, destinationPort: number, options: PacketOptions): Uint8Array {
  const payload = new Uint8Array(20)
  setU16(payload, 0, sourcePort)
  setU16(payload, 2, destinationPort)
  payload.set([0x50, 0x02], 12)
  return ip(Protocol.TCP, withChecksum(Protocol.TCP, payload, 16, options), options)
}

export function neighbourSolicitation(from: string, target: string, fromMac = GUEST_MAC): Uint8Array {
  const payload = Uint8Array.of(135, 0, 0, 0, 0, 0, 0, 0, ...address(target), 1, 1, ...mac(fromMac))
  const options = { from, to: target, hopLimit: 255, fromMac }
  return ip(Protocol.ICMPV6, withChecksum(Protocol.ICMPV6, payload, 2, options), options)
}

/** ICMP's type and code. */
export function icmpOf(sent: Sent): [number, number] { return [sent.payload[0], sent.payload[1]] }

/** Ports and data of a UDP payload. */
export function udpOf(sent: Sent): { from: number, to: number, data: Uint8Array } {
  return { from: getU16(sent.payload, 0), to: getU16(sent.payload, 2), data: sent.payload.slice(8) }
}

/** A DHCP message with options. */
export function dhcp(
  type: number, options: readonly (readonly number[])[], parts: { ciaddr?: string, broadcast?: boolean, mac?: string } = {}): Uint8Array {
  const message = new Uint8Array(300)
  message.set([1, 1, 6, 0, 0xde, 0xad, 0xbe, 0xef])
  if (parts.broadcast) message[10] = 0x80
  if (parts.ciaddr !== undefined) message.set(address(parts.ciaddr), 12)
  message.set(mac(parts.mac ?? GUEST_MAC), 28)
  setU32(message, 236, 0x63825363)
  const body = [53, 1, type, ...options.flat(), 255]
  const whole = new Uint8Array(Math.max(300, 240 + body.length))
  whole.set(message)
  whole.set(body, 240)
  return whole
}

/** A query with one question. */
export function dnsQuery(id: number, name: string, type: number, extra: readonly number[] = []): Uint8Array {
  const labels = name.split('.').flatMap(label => [label.length, ...Array.from(label, letter => letter.charCodeAt(0))])
  return Uint8Array.of(id >>> 8, id & 0xff, 1, 0, 0, 1, 0, 0, 0, 0, 0, extra.length > 0 ? 1 : 0, ...labels, 0, 0, type, 0, 1, ...extra)
}
