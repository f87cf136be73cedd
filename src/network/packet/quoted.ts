import { ICMP_HEADER, isIcmpError } from './icmp.ts'
import { IPV4_HEADER } from './ipv4.ts'
import { IPV6_HEADER } from './ipv6.ts'
import type { IpPacket } from '../transport.ts'
import type { ParsedPacket } from './packet.ts'

/**
 * Reads the packet that an ICMP error quotes, of the same version, without extension headers and cut anywhere behind 8 bytes of its
 * payload. RFC 792, RFC 4443 section 3. False: it is none, or too short.
 */
export function parseQuoted(error: IpPacket, into: ParsedPacket): boolean {
  const { bytes, version } = error
  const at = error.payload + ICMP_HEADER
  const end = error.payload + error.payloadLength
  const shortest = version === 4 ? IPV4_HEADER : IPV6_HEADER
  if (!isIcmpError(version, bytes[error.payload]) || end - at < shortest + 8 || bytes[at] >>> 4 !== version) return false
  const headerLength = version === 4 ? (bytes[at] & 15) * 4 : IPV6_HEADER
  if (headerLength < shortest || at + headerLength + 8 > end) return false
  into.bytes = bytes
  into.version = version
  into.header = at
  into.source = at + (version === 4 ? 12 : 8)
  into.destination = into.source + (version === 4 ? 4 : 16)
  into.protocol = bytes[at + (version === 4 ? 9 : 6)]
  into.payload = at + headerLength
  into.payloadLength = end - into.payload
  return true
}
