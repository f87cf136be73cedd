/**
 * IPv6 headers and extension headers. RFC 8200 sections 3 and 4.
 *
 *   0  version 4 bits, traffic class 8, flow label 20      7  hop limit
 *   4  payload length                                      8  source, 16 bytes
 *   6  next header                                        24  destination, 16 bytes
 *
 * Hop-by-hop and destination options are walked, and honoured as far as "skip", "discard" and "discard and report" go. A routing header
 * is refused while it has segments left. At most one fragment header and eight extension headers in all are accepted (RFC 8504 section
 * 5.3 allows limits).
 *
 * Left out: jumbograms; AH and ESP are protocols like any other that the gateway does not carry.
 */
import { getU16, getU32, setU16, setU32 } from './bytes.ts'
import { Protocol, type ParsedPacket, type ParseResult } from './packet.ts'

export const IPV6_HEADER = 40
export const FRAGMENT_HEADER = 8
const HEADER_LIMIT = 8

const HOP_BY_HOP = 0
const DESTINATION_OPTIONS = 60

/** Codes of an ICMPv6 parameter problem, RFC 4443 section 3.4. */
export const Problem = { HEADER_FIELD: 0, NEXT_HEADER: 1, OPTION: 2 } as const

/** `checksumValid` of `into` is left alone: it is about the payload. */
export function parseIpv6Packet(bytes: Uint8Array, start: number, end: number, into: ParsedPacket): ParseResult {
  if (end - start < IPV6_HEADER || bytes[start] >>> 4 !== 6) return 'malformed'
  const payloadLength = getU16(bytes, start + 4)
  if (payloadLength > end - start - IPV6_HEADER) return 'malformed'
  fill(bytes, start, into)
  return walkHeaders(bytes, start + IPV6_HEADER, start + IPV6_HEADER + payloadLength, into)
}

function fill(bytes: Uint8Array, start: number, into: ParsedPacket): void {
  into.bytes = bytes
  into.version = 6
  into.header = start
  into.trafficClass = getU16(bytes, start) >>> 4 & 0xff
  into.protocol = bytes[start + 6]
  into.hopLimit = bytes[start + 7]
  into.source = start + 8
  into.destination = start + 24
  into.identification = 0
  into.fragmentOffset = 0
  into.moreFragments = false
  into.dontFragment = true
  into.sourceRouted = false
}

function walkHeaders(bytes: Uint8Array, start: number, end: number, into: ParsedPacket): ParseResult {
  let at = start
  let nextHeaderAt = into.header + 6
  for (let count = 0; isExtension(into.protocol); count++) {
    if (count === HEADER_LIMIT || at + 8 > end) return 'malformed'
    const length = into.protocol === Protocol.IPV6_FRAGMENT ? FRAGMENT_HEADER : (bytes[at + 1] + 1) * 8
    if (at + length > end) return 'malformed'
    const result = readHeader(bytes, at, at + length, nextHeaderAt, into)
    if (result !== 'good') return result
    nextHeaderAt = at
    into.protocol = bytes[at]
    at += length
    // What follows a fragment's header is part of something, to be read when that is whole.
    if (into.fragmentOffset !== 0 || into.moreFragments) break
  }
  into.problemPointer = nextHeaderAt - into.header
  into.payload = at
  into.payloadLength = end - at
  if (into.moreFragments && (into.payloadLength & 7) !== 0) return problem(into, Problem.HEADER_FIELD, 4)
  return into.fragmentOffset + into.payloadLength > 0xffff ? problem(into, Problem.HEADER_FIELD, 4) : 'good'
}

function isExtension(protocol: number): boolean {
  return protocol === HOP_BY_HOP || protocol === Protocol.IPV6_ROUTE || protocol === Protocol.IPV6_FRAGMENT
    || protocol === DESTINATION_OPTIONS
}

function readHeader(bytes: Uint8Array, at: number, end: number, nextHeaderAt: number, into: ParsedPacket): ParseResult {
  switch (into.protocol) {
    case HOP_BY_HOP:
      // Only right behind the header.
      return at === into.header + IPV6_HEADER ? readOptions(bytes, at + 2, end, into)
        : problem(into, Problem.NEXT_HEADER, nextHeaderAt - into.header)
    case DESTINATION_OPTIONS: return readOptions(bytes, at + 2, end, into)
    case Protocol.IPV6_ROUTE: return bytes[at + 3] === 0 ? 'good' : problem(into, Problem.HEADER_FIELD, at + 2 - into.header)
    default: return readFragment(bytes, at, into)
  }
}

function readFragment(bytes: Uint8Array, at: number, into: ParsedPacket): ParseResult {
  if (into.moreFragments || into.fragmentOffset !== 0) return 'malformed'
  const word = getU16(bytes, at + 2)
  into.fragmentOffset = word & 0xfff8
  into.moreFragments = (word & 1) !== 0
  into.identification = getU32(bytes, at + 4)
  return 'good'
}

/** Section 4.2: the two highest bits of an unknown option's type say what to do. */
function readOptions(bytes: Uint8Array, start: number, end: number, into: ParsedPacket): ParseResult {
  for (let at = start; at < end;) {
    const type = bytes[at]
    if (type === 0) { // Pad1
      at++
      continue
    }
    if (at + 2 > end || at + 2 + bytes[at + 1] > end) return 'malformed'
    const action = isKnownOption(type) ? 0 : type >>> 6
    if (action === 1 || (action === 3 && bytes[into.destination] === 0xff)) return 'malformed'
    if (action !== 0) return problem(into, Problem.OPTION, at - into.header)
    at += 2 + bytes[at + 1]
  }
  return 'good'
}

/** PadN, router alert. */
function isKnownOption(type: number): boolean {
  return type === 1 || type === 5
}

function problem(into: ParsedPacket, code: number, pointer: number): ParseResult {
  into.problemCode = code
  into.problemPointer = pointer
  return 'problem'
}

/** Writes a header; the addresses are in place already, at 8 and 24. */
export function writeIpv6(
  bytes: Uint8Array, at: number, payloadLength: number, nextHeader: number, trafficClass: number, hopLimit = 64): void {
  setU32(bytes, at, (0x60000000 | trafficClass << 20) >>> 0)
  setU16(bytes, at + 4, payloadLength)
  bytes[at + 6] = nextHeader
  bytes[at + 7] = hopLimit
}

/** Section 4.5. */
export function writeFragmentHeader(
  bytes: Uint8Array, at: number, nextHeader: number, offset: number, more: boolean, identification: number): void {
  bytes[at] = nextHeader
  bytes[at + 1] = 0
  setU16(bytes, at + 2, offset | (more ? 1 : 0))
  setU32(bytes, at + 4, identification)
}
