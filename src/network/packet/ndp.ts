/**
 * Neighbour discovery messages. RFC 4861 section 4; DNS options: RFC 8106. All behind an ICMPv6 header of 4 bytes: type, code, checksum.
 *
 *   router solicitation       reserved 4, options
 *   router advertisement      hop limit, flags, lifetime 2, reachable time 4, retransmission time 4, options
 *   neighbour solicitation    reserved 4, target 16, options
 *   neighbour advertisement   flags 4, target 16, options
 *   option                    type, length in units of 8 bytes, data
 */
import { copyBytes, setU16, setU32 } from './bytes.ts'
import { Icmp6 } from './icmp.ts'
import type { IpPacket } from '../transport.ts'

export const NdpOption = { SOURCE: 1, TARGET: 2, PREFIX: 3, MTU: 5, DNS_SERVER: 25, DNS_SEARCH: 31 } as const
export const AdvertisementFlag = { ROUTER: 0x80, SOLICITED: 0x40, OVERRIDE: 0x20 } as const

/** Offset of the target from the message's start; messages with one have options from `NEIGHBOUR_OPTIONS`. */
export const TARGET = 8
export const NEIGHBOUR_OPTIONS = 24
const SOLICITATION_OPTIONS = 8

/**
 * Whether a message may be believed: RFC 4861 sections 6.1.1, 7.1.1, 7.1.2. The hop limit shows that it comes from the link; no option
 * may be empty or longer than what there is. The checksum was looked at before.
 */
export function isValidNdp(packet: IpPacket): boolean {
  const { bytes, payload, payloadLength } = packet
  const type = bytes[payload]
  const options = type === Icmp6.ROUTER_SOLICITATION ? SOLICITATION_OPTIONS : NEIGHBOUR_OPTIONS
  if (packet.hopLimit !== 255 || bytes[payload + 1] !== 0 || payloadLength < options) return false
  if (type !== Icmp6.ROUTER_SOLICITATION && bytes[payload + TARGET] === 0xff) return false
  const end = payload + payloadLength
  let at = payload + options
  while (at < end) {
    const length = (bytes[at + 1] ?? 0) * 8
    if (length === 0 || at + length > end) return false
    at += length
  }
  return true
}

/** Where the link-layer address of an option is, or -1. For messages that `isValidNdp` has let pass. */
export function findLinkAddress(packet: IpPacket, kind: number): number {
  const { bytes, payload } = packet
  const end = payload + packet.payloadLength
  const options = bytes[payload] === Icmp6.ROUTER_SOLICITATION ? SOLICITATION_OPTIONS : NEIGHBOUR_OPTIONS
  for (let at = payload + options; at < end; at += bytes[at + 1] * 8) {
    if (bytes[at] === kind && bytes[at + 1] === 1) return at + 2
  }
  return -1
}

/** Writes a solicitation or an advertisement with one option that holds a MAC address; returns its length. */
export function writeNeighbourMessage(
  bytes: Uint8Array, at: number, type: number, flags: number, target: Uint8Array, targetAt: number, mac: Uint8Array): number {
  bytes[at] = type
  bytes[at + 1] = 0
  setU32(bytes, at + 4, flags << 24 >>> 0)
  copyBytes(target, targetAt, bytes, at + TARGET, 16)
  return NEIGHBOUR_OPTIONS
    + writeLinkAddress(bytes, at + NEIGHBOUR_OPTIONS, type === Icmp6.NEIGHBOUR_SOLICITATION ? NdpOption.SOURCE : NdpOption.TARGET, mac)
}

export interface RouterAdvertisement {
  readonly mac: Uint8Array
  readonly mtu: number
  /** Seconds; 0: not a router for what is outside. */
  readonly lifetime: number
  readonly prefix: Uint8Array
  readonly dnsServer: Uint8Array
  /** Wire form. */
  readonly searchDomain: Uint8Array
}

/** DHCPv6 has other configuration (flag O); addresses are made by the guests (flag A of the prefix). Returns the length. */
export function writeRouterAdvertisement(bytes: Uint8Array, at: number, what: RouterAdvertisement): number {
  bytes[at] = Icmp6.ROUTER_ADVERTISEMENT
  bytes[at + 1] = 0
  bytes[at + 4] = 64
  bytes[at + 5] = 0x40
  setU16(bytes, at + 6, what.lifetime)
  setU32(bytes, at + 8, 0)
  setU32(bytes, at + 12, 0)
  let end = at + 16
  end += writeLinkAddress(bytes, end, NdpOption.SOURCE, what.mac)
  end += writeHeader(bytes, end, NdpOption.MTU, 1)
  setU32(bytes, end - 4, what.mtu)
  end += writePrefix(bytes, end, what.prefix)
  end += writeHeader(bytes, end, NdpOption.DNS_SERVER, 3)
  setU32(bytes, end - 20, DNS_LIFETIME)
  copyBytes(what.dnsServer, 0, bytes, end - 16, 16)
  const units = 1 + Math.ceil(what.searchDomain.length / 8)
  end += writeHeader(bytes, end, NdpOption.DNS_SEARCH, units)
  setU32(bytes, end - units * 8 + 4, DNS_LIFETIME)
  copyBytes(what.searchDomain, 0, bytes, end - units * 8 + 8, what.searchDomain.length)
  return end - at
}

const PREFIX_LIFETIME = 86_400
const DNS_LIFETIME = 3600
const ON_LINK_AND_AUTONOMOUS = 0xc0

function writePrefix(bytes: Uint8Array, at: number, prefix: Uint8Array): number {
  writeHeader(bytes, at, NdpOption.PREFIX, 4)
  bytes[at + 2] = 64
  bytes[at + 3] = ON_LINK_AND_AUTONOMOUS
  setU32(bytes, at + 4, PREFIX_LIFETIME)
  setU32(bytes, at + 8, PREFIX_LIFETIME)
  copyBytes(prefix, 0, bytes, at + 16, 8)
  return 32
}

function writeLinkAddress(bytes: Uint8Array, at: number, kind: number, mac: Uint8Array): number {
  writeHeader(bytes, at, kind, 1)
  copyBytes(mac, 0, bytes, at + 2, 6)
  return 8
}

/** An option of zeros; returns its length in bytes. */
function writeHeader(bytes: Uint8Array, at: number, kind: number, units: number): number {
  bytes.fill(0, at, at + units * 8)
  bytes[at] = kind
  bytes[at + 1] = units
  return units * 8
}
