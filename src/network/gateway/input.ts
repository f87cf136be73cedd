/**
 * What comes from the guests: from the frame to whoever answers it.
 *
 *   frame ─▶ ARP ──────────────────────────▶ Discovery
 *         └▶ IPv4, IPv6 ─▶ source and destination ─▶ Fragments ─┬▶ ICMP: Discovery, Echoes, TCP's errors
 *                                                               ├▶ UDP: DHCP, DNS, UdpFlows
 *                                                               └▶ TCP: the transport
 */
import type { Frame } from '../../machine/frame.ts'
import type { SegmentTransport } from '../transport.ts'
import { formatAddress, formatMac, isInside, isLinkLocal6, isUnicastSource, isUnspecified } from '../packet/addresses.ts'
import { equalBytes, getU16, getU32 } from '../packet/bytes.ts'
import { checksumRight, payloadChecksumRight } from '../packet/checksum.ts'
import { EtherType, MAC_LENGTH, isGroupMac, parseEthernet, type EthernetHeader } from '../packet/ethernet.ts'
import {
  ICMP_HEADER, Icmp, Icmp6, IcmpUnreachable, TIME_EXCEEDED_IN_TRANSIT, TIME_EXCEEDED_REASSEMBLY,
} from '../packet/icmp.ts'
import { parseIpv4Packet } from '../packet/ipv4.ts'
import { parseIpv6Packet } from '../packet/ipv6.ts'
import { Protocol, addressLength, isFragment, newPacket, type ParsedPacket, type ParseResult } from '../packet/packet.ts'
import { parseQuoted } from '../packet/quoted.ts'
import { UDP_HEADER, parseUdp } from '../packet/udp.ts'
import type { Counters } from './counters.ts'
import { DHCP6_SERVER_PORT, DHCP_SERVER_PORT, type DhcpServer } from './dhcp-server.ts'
import type { Discovery } from './discovery.ts'
import { DNS_PORT, type DnsServer } from './dns/server.ts'
import type { Echoes } from './echo.ts'
import type { Fragments } from './fragments.ts'
import { HOST_ADDRESS } from './host-ports.ts'
import type { IcmpErrors } from './icmp-errors.ts'
import type { Policy } from './policy.ts'
import type { Settings } from './settings.ts'
import type { Flow, UdpFlows } from './udp-flows.ts'

/** Where a packet goes: to the gateway's own address, to all or a group of stations, to the outside. */
type Way = 'own' | 'group' | 'outside'

/** All DHCPv6 servers of the link: ff02::1:2. */
const DHCP6_SERVERS = Uint8Array.of(0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2)
const TCP_HEADER = 20

export interface InputParts {
  readonly settings: Settings
  readonly counters: Counters
  readonly discovery: Discovery
  readonly errors: IcmpErrors
  readonly echoes: Echoes
  readonly dhcp: DhcpServer
  readonly dns: DnsServer
  readonly flows: UdpFlows
  readonly policy: Policy
  readonly transport: SegmentTransport
}

export class Input {
  private readonly parts: InputParts
  private readonly fragments: Fragments
  private readonly ethernet: EthernetHeader = { destination: 0, source: 0, type: 0, vlan: 0, payload: 0 }
  private readonly packet = newPacket()
  private readonly whole = newPacket()
  private readonly quoted = newPacket()
  private frame: Uint8Array = new Uint8Array(0)

  constructor(parts: InputParts, makeFragments: (expired: (version: 4 | 6, first: Uint8Array) => void) => Fragments) {
    this.parts = parts
    this.fragments = makeFragments((version, first) => { this.expired(version, first) })
  }

  receive(frame: Frame): void {
    const { counters, discovery } = this.parts
    counters.framesReceived++
    const { bytes } = frame
    const end = frame.start + frame.length
    if (!parseEthernet(bytes, frame.start, frame.length, this.ethernet)) return counters.drop('malformed')
    if (!this.acceptsStation(bytes)) return
    this.frame = bytes
    const { type, payload, source } = this.ethernet
    if (type === EtherType.ARP) return discovery.receiveArp(bytes, payload, end, source)
    if (type !== EtherType.IPV4 && type !== EtherType.IPV6) return counters.drop('protocol')
    const parse = type === EtherType.IPV4 ? parseIpv4Packet : parseIpv6Packet
    const result = parse(bytes, payload, end, this.packet)
    this.takeOffloads(frame)
    if (result === 'good') this.receivePacket(this.packet)
    else this.refuse(this.packet, result)
  }

  /** Whether the frame is for the gateway, and from somebody else. */
  private acceptsStation(bytes: Uint8Array): boolean {
    const { settings, counters } = this.parts
    const { destination, source, vlan } = this.ethernet
    const group = isGroupMac(bytes, destination)
    if (vlan !== 0 || (!group && !equalBytes(bytes, destination, settings.mac, 0, MAC_LENGTH))) counters.drop('not-ours')
    else if (isGroupMac(bytes, source) || equalBytes(bytes, source, settings.mac, 0, MAC_LENGTH)) counters.drop('spoofed')
    else {
      this.packet.toGroup = group
      return true
    }
    return false
  }

  /** What the frame says of its payload, as far as it can be meant. */
  private takeOffloads(frame: Frame): void {
    const { packet } = this
    packet.checksumValid = frame.checksumValid || frame.checksumStart >= 0
    const kind = packet.protocol === Protocol.UDP ? 'udp' : packet.version === 4 ? 'tcp4' : 'tcp6'
    packet.segmentSize = frame.segmentation === kind ? frame.segmentSize : 0
  }

  private refuse(packet: ParsedPacket, result: ParseResult): void {
    const { counters, errors } = this.parts
    counters.drop(result === 'checksum' ? 'checksum' : 'malformed')
    if (result === 'problem' && this.hasValidSource(packet)) errors.problem(packet)
  }

  private receivePacket(packet: ParsedPacket): void {
    const { counters } = this.parts
    if (!this.hasValidSource(packet)) return counters.drop('spoofed')
    if (packet.sourceRouted) return counters.drop('prohibited')
    const way = packet.version === 4 ? this.way4(packet) : this.way6(packet)
    if (way === null) return
    if (!isFragment(packet)) return this.dispatch(packet, way)
    const bytes = this.fragments.add(packet)
    if (bytes === null) return
    const { whole } = this
    const result = packet.version === 4 ? parseIpv4Packet(bytes, 0, bytes.length, whole) : parseIpv6Packet(bytes, 0, bytes.length, whole)
    whole.checksumValid = false
    whole.segmentSize = 0
    whole.toGroup = packet.toGroup
    if (result === 'good' && !isFragment(whole)) this.dispatch(whole, way)
    else this.refuse(whole, result)
  }

  /** A station of this network, or one that has no address yet and asks for it. */
  private hasValidSource(packet: ParsedPacket): boolean {
    const { bytes, source } = packet
    const { ipv4, ipv6, broadcast } = this.parts.settings
    if (packet.version === 6) {
      if (isUnspecified(bytes, source, 16)) return packet.protocol === Protocol.ICMPV6
      const inside = isLinkLocal6(bytes, source) || (ipv6 !== null && isInside(ipv6, bytes, source))
      return inside && !this.parts.discovery.isOwn6(bytes, source)
    }
    if (isUnspecified(bytes, source, 4)) {
      return packet.protocol === Protocol.UDP && packet.payloadLength >= UDP_HEADER
        && getU16(bytes, packet.payload + 2) === DHCP_SERVER_PORT
    }
    return isInside(ipv4, bytes, source) && isUnicastSource(bytes, source, 4)
      && !equalBytes(bytes, source, ipv4.address, 0, 4) && !equalBytes(bytes, source, broadcast, 0, 4)
  }

  private way4(packet: ParsedPacket): Way | null {
    const { settings, counters, errors } = this.parts
    const { bytes, destination } = packet
    if (equalBytes(bytes, destination, settings.ipv4.address, 0, 4)) return 'own'
    if (getU32(bytes, destination) === 0xffffffff || equalBytes(bytes, destination, settings.broadcast, 0, 4)) return 'group'
    if (bytes[destination] >= 224 || packet.toGroup) return this.ignore()
    if (!isInside(settings.ipv4, bytes, destination)) return this.mayLeave(packet)
    // The link's own stations are reached without a router.
    counters.drop('not-ours')
    errors.refuse(packet, 'host')
    return null
  }

  private way6(packet: ParsedPacket): Way | null {
    const { settings, counters, errors, discovery } = this.parts
    const { bytes, destination } = packet
    if (discovery.isOwn6(bytes, destination)) return 'own'
    if (discovery.isOwnGroup(bytes, destination) || equalBytes(bytes, destination, DHCP6_SERVERS, 0, 16)) return 'group'
    if (bytes[destination] === 0xff || packet.toGroup || isLinkLocal6(bytes, destination)) return this.ignore()
    if (settings.ipv6 === null || isLinkLocal6(bytes, packet.source)) return this.ignore()
    if (!isInside(settings.ipv6, bytes, destination)) return this.mayLeave(packet)
    counters.drop('not-ours')
    errors.refuse(packet, 'host')
    return null
  }

  private ignore(): null {
    this.parts.counters.drop('not-ours')
    return null
  }

  /** A router counts the hops. */
  private mayLeave(packet: ParsedPacket): Way | null {
    if (packet.hopLimit > 1) return 'outside'
    this.parts.errors.timeExceeded(packet, TIME_EXCEEDED_IN_TRANSIT)
    return null
  }

  private dispatch(packet: ParsedPacket, way: Way): void {
    switch (packet.protocol) {
      case Protocol.TCP: return this.receiveTcp(packet, way)
      case Protocol.UDP: return this.receiveUdp(packet, way)
      case Protocol.NO_NEXT: return
      case packet.version === 4 ? Protocol.ICMP : Protocol.ICMPV6: return this.receiveIcmp(packet, way)
      default:
        this.parts.counters.drop('protocol')
        if (way !== 'group') this.parts.errors.protocolUnreachable(packet)
    }
  }

  private receiveTcp(packet: ParsedPacket, way: Way): void {
    const { counters, transport } = this.parts
    if (way === 'group') return counters.drop('not-ours')
    if (packet.payloadLength < TCP_HEADER) return counters.drop('malformed')
    if (!packet.checksumValid && !payloadChecksumRight(packet)) return counters.drop('checksum')
    transport.receive(packet)
  }

  private receiveUdp(packet: ParsedPacket, way: Way): void {
    const dataLength = parseUdp(packet)
    if (dataLength < 0) return this.parts.counters.drop(dataLength === -1 ? 'malformed' : 'checksum')
    if (way === 'outside') this.sendOutside(packet, dataLength)
    else this.serve(packet, way, dataLength)
  }

  private serve(packet: ParsedPacket, way: Way, dataLength: number): void {
    const { dhcp, dns, flows, counters, errors } = this.parts
    const { bytes, payload, version } = packet
    const port = getU16(bytes, payload + 2)
    const start = payload + UDP_HEADER
    const data = bytes.subarray(start, start + dataLength)
    if (version === 4 && port === DHCP_SERVER_PORT) return dhcp.receive(data, this.sourceMac())
    if (version === 6 && port === DHCP6_SERVER_PORT) return dhcp.receive6(packet, data)
    if (way === 'group') return counters.drop('not-ours')
    if (port === DNS_PORT) return dns.receive(packet, data)
    const flow = flows.find(packet) ?? this.openToHost(packet, port)
    if (flow !== null) flows.send(flow, packet, dataLength)
    else errors.refuse(packet, 'port')
  }

  private openToHost(packet: ParsedPacket, port: number): Flow | null {
    const { settings, flows } = this.parts
    return settings.hostPorts.has('udp', port) ? flows.open(packet, formatMac(this.frame, this.ethernet.source), HOST_ADDRESS) : null
  }

  private sendOutside(packet: ParsedPacket, dataLength: number): void {
    const { flows } = this.parts
    let flow = flows.find(packet)
    if (flow === null) {
      if (!this.permits(packet, 'udp', getU16(packet.bytes, packet.payload + 2))) return
      const address = formatAddress(packet.bytes, packet.destination, addressLength(packet))
      flow = flows.open(packet, formatMac(this.frame, this.ethernet.source), address)
    }
    flows.send(flow, packet, dataLength)
  }

  private permits(packet: ParsedPacket, protocol: 'udp' | 'icmp', port: number): boolean {
    const { settings, policy, counters, errors } = this.parts
    const allowed = settings.kind === 'nat' && (protocol === 'icmp' || port !== 0)
      && policy.allows(protocol, packet.bytes, packet.destination, addressLength(packet), port)
    if (allowed) return true
    counters.drop('prohibited')
    errors.refuse(packet, 'prohibited')
    return false
  }

  private receiveIcmp(packet: ParsedPacket, way: Way): void {
    const { counters, discovery } = this.parts
    const { bytes, payload, payloadLength, version } = packet
    if (payloadLength < ICMP_HEADER) return counters.drop('malformed')
    const right = packet.checksumValid || (version === 4 ? checksumRight(bytes, payload, payloadLength) : payloadChecksumRight(packet))
    if (!right) return counters.drop('checksum')
    const type = bytes[payload]
    if (type === (version === 4 ? Icmp.ECHO : Icmp6.ECHO)) return this.receiveEcho(packet, way)
    const isNdp = version === 6 && type >= Icmp6.ROUTER_SOLICITATION && type <= Icmp6.NEIGHBOUR_ADVERTISEMENT
    // Fragments of neighbour discovery are not to be believed: RFC 6980.
    if (isNdp && packet === this.packet) return discovery.receive(packet, this.ethernet.source)
    this.receiveError(packet)
  }

  private receiveEcho(packet: ParsedPacket, way: Way): void {
    const { counters, echoes } = this.parts
    const unspecified = isUnspecified(packet.bytes, packet.source, addressLength(packet))
    if (way === 'group' || unspecified) return counters.drop('not-ours')
    if (way === 'own') echoes.answer(packet)
    else if (this.permits(packet, 'icmp', 0)) echoes.forward(packet)
  }

  /** Of errors only those about TCP segments matter. */
  private receiveError(packet: ParsedPacket): void {
    const { quoted } = this
    const { bytes, payload, version } = packet
    if (!parseQuoted(packet, quoted) || quoted.protocol !== Protocol.TCP) return this.parts.counters.drop('protocol')
    const tooBig = version === 4 ? bytes[payload] === Icmp.UNREACHABLE && bytes[payload + 1] === IcmpUnreachable.FRAGMENTATION_NEEDED
      : bytes[payload] === Icmp6.TOO_BIG
    const unreachable = bytes[payload] === (version === 4 ? Icmp.UNREACHABLE : Icmp6.UNREACHABLE)
    if (tooBig) this.parts.transport.failed(quoted, 'too-big', version === 4 ? getU16(bytes, payload + 6) : getU32(bytes, payload + 4))
    else if (unreachable) this.parts.transport.failed(quoted, 'unreachable', 0)
  }

  /** A datagram of which parts are missing for too long; RFC 792, RFC 8200: only if the first is here. */
  private expired(version: 4 | 6, first: Uint8Array): void {
    const { whole } = this
    const result = version === 4 ? parseIpv4Packet(first, 0, first.length, whole) : parseIpv6Packet(first, 0, first.length, whole)
    whole.toGroup = false
    if (result === 'good') this.parts.errors.timeExceeded(whole, TIME_EXCEEDED_REASSEMBLY)
  }

  private sourceMac(): Uint8Array {
    const { source } = this.ethernet
    return this.frame.slice(source, source + MAC_LENGTH)
  }
}
