/**
 * IPv4 headers. RFC 791 section 3.1.
 *
 *   0  version 4 bits, IHL 4 bits (words)     8  time to live
 *   1  type of service                        9  protocol
 *   2  total length                          10  header checksum
 *   4  identification                        12  source
 *   6  flags 3 bits, fragment offset 13      16  destination
 *                                            20  options
 *
 * Left out: options are walked for their lengths and otherwise ignored, except source routes, which nobody may use (RFC 7126).
 */
import { getU16, setU16 } from './bytes.ts'
import { checksumRight, writeChecksum } from './checksum.ts'
import type { ParsedPacket, ParseResult } from './packet.ts'

export const IPV4_HEADER = 20
/** Neither more fragments nor an offset. */
export const DONT_FRAGMENT = 0x4000
export const MORE_FRAGMENTS = 0x2000

const Option = { END: 0, NO_OPERATION: 1, LOOSE_SOURCE_ROUTE: 131, STRICT_SOURCE_ROUTE: 137 } as const

/** `checksumValid` of `into` is left alone: it is about the payload. */
export function parseIpv4Packet(bytes: Uint8Array, start: number, end: number, into: ParsedPacket): ParseResult {
  if (end - start < IPV4_HEADER || bytes[start] >>> 4 !== 4) return 'malformed'
  const headerLength = (bytes[start] & 15) * 4
  const totalLength = getU16(bytes, start + 2)
  if (headerLength < IPV4_HEADER || totalLength < headerLength || totalLength > end - start) return 'malformed'
  if (!checksumRight(bytes, start, headerLength)) return 'checksum'
  fill(bytes, start, into)
  into.payload = start + headerLength
  into.payloadLength = totalLength - headerLength
  if (into.fragmentOffset + into.payloadLength > 0xffff - headerLength) return 'malformed'
  return walkOptions(bytes, start + IPV4_HEADER, into.payload, into) ? 'good' : 'malformed'
}

function fill(bytes: Uint8Array, start: number, into: ParsedPacket): void {
  const fragment = getU16(bytes, start + 6)
  into.bytes = bytes
  into.version = 4
  into.header = start
  into.trafficClass = bytes[start + 1]
  into.identification = getU16(bytes, start + 4)
  into.dontFragment = (fragment & DONT_FRAGMENT) !== 0
  into.moreFragments = (fragment & MORE_FRAGMENTS) !== 0
  into.fragmentOffset = (fragment & 0x1fff) * 8
  into.hopLimit = bytes[start + 8]
  into.protocol = bytes[start + 9]
  into.source = start + 12
  into.destination = start + 16
  into.sourceRouted = false
}

function walkOptions(bytes: Uint8Array, start: number, end: number, into: ParsedPacket): boolean {
  for (let at = start; at < end && bytes[at] !== Option.END;) {
    const kind = bytes[at]
    const length = kind === Option.NO_OPERATION ? 1 : at + 1 < end ? bytes[at + 1] : 0
    if (length === 0 || at + length > end || (kind !== Option.NO_OPERATION && length < 2)) return false
    if (kind === Option.LOOSE_SOURCE_ROUTE || kind === Option.STRICT_SOURCE_ROUTE) into.sourceRouted = true
    at += length
  }
  return true
}

/** Writes a header of 20 bytes, checksum included. Addresses are in place already, at 12 and 16. */
export function writeIpv4(
  bytes: Uint8Array, at: number, totalLength: number, protocol: number, trafficClass: number, identification: number, fragment: number,
  timeToLive = 64): void {
  bytes[at] = 0x45
  bytes[at + 1] = trafficClass
  setU16(bytes, at + 2, totalLength)
  setU16(bytes, at + 4, identification)
  setU16(bytes, at + 6, fragment)
  bytes[at + 8] = timeToLive
  bytes[at + 9] = protocol
  writeChecksum(bytes, at, IPV4_HEADER, at + 10)
}
