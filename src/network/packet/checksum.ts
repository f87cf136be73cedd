/**
 * The checksums of packets: pseudo headers (RFC 9293 section 3.1, RFC 768, RFC 8200 section 8.1), fields, and changes to what they cover.
 */
import { complement, fold, sumBytes } from '../../base/internet-checksum.ts'
import { getU16, setU16 } from './bytes.ts'
import type { IpPacket } from '../transport.ts'

/** The pseudo header of IPv4 or IPv6: `addressLength` (4 or 16) bytes of source and destination, one after the other. */
export function sumPseudoHeader(bytes: Uint8Array, source: number, addressLength: number, protocol: number, length: number): number {
  return sumBytes(bytes, source, addressLength * 2, protocol + (length >>> 16) + (length & 0xffff))
}

/** Whether the payload's checksum (that covers a pseudo header) is right. */
export function payloadChecksumRight(packet: IpPacket): boolean {
  const { bytes, payload, payloadLength } = packet
  const sum = sumPseudoHeader(bytes, packet.source, packet.version === 4 ? 4 : 16, packet.protocol, payloadLength)
  return fold(sumBytes(bytes, payload, payloadLength, sum)) === 0xffff
}

/** Completes a partial checksum: the field holds the sum of the pseudo header. RFC 768: a UDP checksum of 0 is sent as 0xffff. */
export function completeChecksum(bytes: Uint8Array, start: number, length: number, field: number): void {
  const checksum = complement(sumBytes(bytes, start, length))
  setU16(bytes, field, checksum === 0 ? 0xffff : checksum)
}

/** Whether `length` bytes with their checksum inside, and no pseudo header, are right. */
export function checksumRight(bytes: Uint8Array, start: number, length: number): boolean {
  return fold(sumBytes(bytes, start, length)) === 0xffff
}

/** Writes the checksum of a range into a field of it. */
export function writeChecksum(bytes: Uint8Array, start: number, length: number, field: number): void {
  setU16(bytes, field, 0)
  setU16(bytes, field, complement(sumBytes(bytes, start, length)))
}

/** The checksum field after one 16-bit word of what it covers has changed. RFC 1624, equation 3. */
export function adjustChecksum(bytes: Uint8Array, field: number, before: number, after: number): void {
  setU16(bytes, field, complement((~getU16(bytes, field) & 0xffff) + (~before & 0xffff) + after))
}
