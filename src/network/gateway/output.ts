/**
 * Sends IP packets to the guests: headers, checksums, fragments, the neighbour's address. The payload is written first, in place, at
 * `PAYLOAD` of the link's buffer; headers go before it, so that nothing is copied.
 */
import { fold } from '../../base/internet-checksum.ts'
import type { SegmentHeader, SegmentOutput, Unreachable } from '../transport.ts'
import type { IpPacket } from '../transport.ts'
import { copyBytes, setU16 } from '../packet/bytes.ts'
import { completeChecksum, sumPseudoHeader } from '../packet/checksum.ts'
import { ETHERNET_HEADER, EtherType, writeEthernet } from '../packet/ethernet.ts'
import { DONT_FRAGMENT, IPV4_HEADER, MORE_FRAGMENTS, writeIpv4 } from '../packet/ipv4.ts'
import { FRAGMENT_HEADER, IPV6_HEADER, writeFragmentHeader, writeIpv6 } from '../packet/ipv6.ts'
import { Protocol } from '../packet/packet.ts'
import type { Segmentation } from '../../machine/frame.ts'
import type { Counters } from './counters.ts'
import { PAYLOAD, type Link } from './link.ts'
import type { Neighbours } from './neighbours.ts'
import type { Settings } from './settings.ts'

/** What the next packet is sent with. One object, filled in for each; addresses have 4 or 16 bytes. */
export interface Outgoing {
  version: 4 | 6
  source: Uint8Array
  sourceAt: number
  destination: Uint8Array
  destinationAt: number
  protocol: number
  trafficClass: number
  hopLimit: number
  /** Where the payload's checksum goes, if it covers a pseudo header; -1: the payload is finished. */
  checksumField: number
  /** The checksum may be left to the link. */
  partial: boolean
  segmentSize: number
  /** The station it goes to, whatever the neighbours say; null: who has the address. */
  mac: Uint8Array | null
}

const BROADCAST_MAC = Uint8Array.of(255, 255, 255, 255, 255, 255)
const TCP_CHECKSUM = 16

export class Output implements SegmentOutput {
  readonly mtu: number
  readonly buffer: Uint8Array
  readonly segmentStart = PAYLOAD
  readonly packet: Outgoing
  private readonly settings: Settings
  private readonly link: Link
  private readonly neighbours: Neighbours
  private readonly counters: Counters
  private readonly makeQuote: (packet: IpPacket) => Uint8Array
  private readonly sendUnreachable: (quote: Uint8Array, why: Unreachable) => void
  private readonly multicastMac = Uint8Array.of(0x33, 0x33, 0, 0, 0, 0)
  private identification: number

  constructor(
    settings: Settings, link: Link, neighbours: Neighbours, counters: Counters, identification: number,
    errors: { quote(packet: IpPacket): Uint8Array, unreachable(quote: Uint8Array, why: Unreachable): void }) {
    this.settings = settings
    this.mtu = settings.mtu
    this.link = link
    this.buffer = link.buffer
    this.neighbours = neighbours
    this.counters = counters
    this.identification = identification
    this.makeQuote = errors.quote.bind(errors)
    this.sendUnreachable = errors.unreachable.bind(errors)
    this.packet = {
      version: 4, source: settings.ipv4.address, sourceAt: 0, destination: settings.ipv4.address, destinationAt: 0, protocol: 0,
      trafficClass: 0, hopLimit: 64, checksumField: -1, partial: false, segmentSize: 0, mac: null,
    }
  }

  send(header: SegmentHeader, length: number): boolean {
    const { packet } = this
    this.address(header.version, header.source, 0, header.destination, 0)
    packet.protocol = Protocol.TCP
    packet.trafficClass = header.trafficClass
    packet.checksumField = TCP_CHECKSUM
    packet.partial = true
    packet.segmentSize = header.segmentSize
    return this.transmit(length)
  }

  quote(packet: IpPacket): Uint8Array { return this.makeQuote(packet) }

  unreachable(quote: Uint8Array, why: Unreachable): void { this.sendUnreachable(quote, why) }

  /** Addresses of the next packet; all else goes back to what is usual. */
  address(version: 4 | 6, source: Uint8Array, sourceAt: number, destination: Uint8Array, destinationAt: number): void {
    const { packet } = this
    packet.version = version
    packet.source = source
    packet.sourceAt = sourceAt
    packet.destination = destination
    packet.destinationAt = destinationAt
    packet.trafficClass = 0
    packet.hopLimit = 64
    packet.checksumField = -1
    packet.partial = false
    packet.segmentSize = 0
    packet.mac = null
  }

  /** The next packet answers one that came: addresses turned round. The source is `own`, or what the packet was sent to. */
  answer(received: IpPacket, own?: Uint8Array): void {
    this.address(received.version, own ?? received.bytes, own === undefined ? received.destination : 0, received.bytes, received.source)
  }

  /** Sends the payload of `length` bytes that lies at `PAYLOAD`. False: the link was full. */
  transmit(length: number): boolean {
    const { packet } = this
    const headerLength = packet.version === 4 ? IPV4_HEADER : IPV6_HEADER
    const header = PAYLOAD - headerLength
    const fragmented = packet.segmentSize === 0 && headerLength + length > this.mtu
    this.writeAddresses(header)
    const partial = this.fillChecksum(header, length, fragmented)
    if (fragmented) return this.transmitFragments(length)
    if (packet.version === 4) {
      // Atomic datagrams need no identification (RFC 6864); segments that are cut count up from it.
      const identification = packet.segmentSize === 0 ? 0 : this.nextIdentification()
      const { protocol, trafficClass, hopLimit } = packet
      writeIpv4(this.buffer, header, headerLength + length, protocol, trafficClass, identification, DONT_FRAGMENT, hopLimit)
    } else writeIpv6(this.buffer, header, length, packet.protocol, packet.trafficClass, packet.hopLimit)
    return this.sendFrame(header - ETHERNET_HEADER, ETHERNET_HEADER + headerLength + length, partial ? ETHERNET_HEADER + headerLength : -1)
  }

  private writeAddresses(header: number): void {
    const { packet, buffer } = this
    const length = packet.version === 4 ? 4 : 16
    const at = header + (packet.version === 4 ? 12 : 8)
    copyBytes(packet.source, packet.sourceAt, buffer, at, length)
    copyBytes(packet.destination, packet.destinationAt, buffer, at + length, length)
  }

  /** Whether the checksum was left partial. */
  private fillChecksum(header: number, length: number, whole: boolean): boolean {
    const { packet, buffer } = this
    if (packet.checksumField < 0) return false
    const addresses = header + (packet.version === 4 ? 12 : 8)
    const sum = sumPseudoHeader(buffer, addresses, packet.version === 4 ? 4 : 16, packet.protocol, length)
    setU16(buffer, PAYLOAD + packet.checksumField, fold(sum))
    if (packet.partial && !whole) return true
    completeChecksum(buffer, PAYLOAD, length, PAYLOAD + packet.checksumField)
    return false
  }

  /**
   * Each fragment's headers are written right before its part of the payload, over what has been sent already. The addresses are kept
   * in the first one's place, or come from the caller's arrays.
   */
  private transmitFragments(length: number): boolean {
    const { packet, buffer } = this
    const headers = packet.version === 4 ? IPV4_HEADER : IPV6_HEADER + FRAGMENT_HEADER
    const step = this.mtu - headers & ~7
    const identification = this.nextIdentification()
    const { destination, destinationAt, source, sourceAt } = packet
    // The caller's addresses may lie in this very buffer.
    packet.source = source.slice(sourceAt, sourceAt + 16)
    packet.destination = destination.slice(destinationAt, destinationAt + 16)
    packet.sourceAt = 0
    packet.destinationAt = 0
    for (let offset = 0; offset < length; offset += step) {
      const part = Math.min(step, length - offset)
      const header = PAYLOAD + offset - headers
      this.writeAddresses(header)
      if (packet.version === 4) {
        const fragment = offset >>> 3 | (offset + part < length ? MORE_FRAGMENTS : 0)
        writeIpv4(buffer, header, headers + part, packet.protocol, packet.trafficClass, identification, fragment, packet.hopLimit)
      } else {
        writeIpv6(buffer, header, FRAGMENT_HEADER + part, Protocol.IPV6_FRAGMENT, packet.trafficClass, packet.hopLimit)
        writeFragmentHeader(buffer, header + IPV6_HEADER, packet.protocol, offset, offset + part < length, identification)
      }
      if (!this.sendFrame(header - ETHERNET_HEADER, ETHERNET_HEADER + headers + part, -1)) return false
    }
    return true
  }

  private nextIdentification(): number {
    this.identification = this.identification + 1 >>> 0
    return this.packet.version === 4 ? this.identification & 0xffff : this.identification
  }

  private sendFrame(start: number, length: number, checksumStart: number): boolean {
    const { packet, buffer } = this
    const type = packet.version === 4 ? EtherType.IPV4 : EtherType.IPV6
    const field = checksumStart < 0 ? 0 : packet.checksumField
    const segmentation: Segmentation = packet.segmentSize === 0 ? 'none'
      : packet.protocol === Protocol.UDP ? 'udp' : packet.version === 4 ? 'tcp4' : 'tcp6'
    const mac = packet.mac ?? this.groupMac()
    writeEthernet(buffer, start, mac ?? BROADCAST_MAC, 0, this.settings.mac, type)
    if (mac === null && !this.resolve(start)) {
      this.neighbours.hold(buffer, start, length, {
        checksumStart, checksumOffset: field, segmentation, segmentSize: packet.segmentSize,
      })
      return true
    }
    if (this.link.sendPartial(buffer, start, length, checksumStart, field, segmentation, packet.segmentSize)) return true
    this.counters.drop('link-full')
    return false
  }

  private resolve(start: number): boolean {
    const { packet } = this
    return this.neighbours.resolve(packet.destination, packet.destinationAt, packet.version === 4 ? 4 : 16, this.buffer, start)
  }

  /** RFC 2464 section 7; IPv4 has broadcasts only here. Null: a unicast destination. */
  private groupMac(): Uint8Array | null {
    const { version, destination, destinationAt } = this.packet
    if (version === 4) return destination[destinationAt] === 255 ? BROADCAST_MAC : null
    if (destination[destinationAt] !== 0xff) return null
    copyBytes(destination, destinationAt + 12, this.multicastMac, 2, 4)
    return this.multicastMac
  }
}
