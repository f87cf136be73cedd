/**
 * Whether a frame comes from whom it says: no foreign MAC address, no foreign IP address in IPv4, IPv6, ARP (RFC 826) and neighbour
 * advertisements (RFC 4861 §4.4), and nothing that only a network's own services say: DHCP answers (RFC 2131, RFC 8415), router
 * advertisements and redirects (RFC 4861 §4.2, §4.5; RFC 6105).
 *
 * A station without an address may ask for one: from 0.0.0.0 by DHCP, from :: to see whether an address is free (RFC 4862 §5.4).
 *
 * Left out on purpose: what stands behind extension headers of IPv6 and in fragments.
 */
import { EtherType } from '../packet/ethernet.ts'
import { isLinkLocal6, isUnspecified } from '../packet/addresses.ts'
import { equalBytes, getU16, getU32 } from '../packet/bytes.ts'
import { Protocol } from '../packet/packet.ts'
import type { PortSettings } from './configuration.ts'
import type { FrameFields } from './frame-fields.ts'

export type Objection = 'spoofed' | 'rogueService' | null

const ARP_LENGTH = 28
const IPV4_LENGTH = 20
const IPV6_LENGTH = 40
const DHCP_SERVER = 67
const DHCP_CLIENT = 68
const DHCPV6_SERVER = 547
const ROUTER_ADVERTISEMENT = 134
const NEIGHBOUR_ADVERTISEMENT = 136
const REDIRECT = 137

/** Why a frame may not come in at a port with these settings; null: it may. */
export function objectionTo(bytes: Uint8Array, start: number, fields: FrameFields, settings: PortSettings): Objection {
  const { mac, trusted } = settings
  if (mac !== null && !equalBytes(mac, 0, bytes, start + 6, 6)) return 'spoofed'
  if (trusted) return null
  const { payload, end } = fields
  switch (fields.type) {
    case EtherType.ARP: return payload + ARP_LENGTH <= end ? objectionToArp(bytes, payload, settings) : null
    case EtherType.IPV4: return payload + IPV4_LENGTH <= end ? objectionToIpv4(bytes, payload, end, settings) : null
    case EtherType.IPV6: return payload + IPV6_LENGTH <= end ? objectionToIpv6(bytes, payload, end, settings) : null
    default: return null
  }
}

/** 8 sender's hardware address (6), 14 its protocol address (4). */
function objectionToArp(bytes: Uint8Array, at: number, { mac, addresses }: PortSettings): Objection {
  if (mac !== null && !equalBytes(mac, 0, bytes, at + 8, 6)) return 'spoofed'
  return isUnspecified(bytes, at + 14, 4) || isOneOf(addresses, bytes, at + 14, 4) ? null : 'spoofed'
}

function objectionToIpv4(bytes: Uint8Array, at: number, end: number, { addresses }: PortSettings): Objection {
  const ports = at + (bytes[at] & 0xf) * 4
  const isUdp = bytes[at + 9] === Protocol.UDP && ports + 4 <= end
  if (isUdp && getU16(bytes, ports) === DHCP_SERVER) return 'rogueService'
  if (isOneOf(addresses, bytes, at + 12, 4)) return null
  const isRequest = isUdp && getU16(bytes, ports) === DHCP_CLIENT && getU16(bytes, ports + 2) === DHCP_SERVER
  return isRequest && getU32(bytes, at + 12) === 0 ? null : 'spoofed'
}

function objectionToIpv6(bytes: Uint8Array, at: number, end: number, { addresses }: PortSettings): Objection {
  const isAllowed = (place: number): boolean => isLinkLocal6(bytes, place) || isOneOf(addresses, bytes, place, 16)
  const [protocol, content] = [bytes[at + 6], at + IPV6_LENGTH]
  if (protocol === Protocol.UDP && content + 4 <= end && getU16(bytes, content) === DHCPV6_SERVER) return 'rogueService'
  if (protocol === Protocol.ICMPV6 && content + 24 <= end) {
    if (bytes[content] === ROUTER_ADVERTISEMENT || bytes[content] === REDIRECT) return 'rogueService'
    if (bytes[content] === NEIGHBOUR_ADVERTISEMENT && !isAllowed(content + 8)) return 'spoofed'
  }
  return isUnspecified(bytes, at + 8, 16) || isAllowed(at + 8) ? null : 'spoofed'
}

/** A family of which no address is named may have any. */
function isOneOf(addresses: readonly Uint8Array[] | null, bytes: Uint8Array, at: number, length: number): boolean {
  if (addresses === null) return true
  let isNamed = false
  for (let index = 0; index < addresses.length; index++) {
    if (addresses[index].length !== length) continue
    if (equalBytes(addresses[index], 0, bytes, at, length)) return true
    isNamed = true
  }
  return !isNamed
}
