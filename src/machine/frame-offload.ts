/**
 * Does by software what was left on a frame for late: completes a checksum, cuts a long payload into segments. Sources: VIRTIO 1.2
 * §5.1.6.2 (what is left on a frame, and how), RFC 1071 (checksum), RFC 791, 8200, 9293 and 768 (the fields that differ from one segment
 * to the next).
 *
 * In a segment of TCP the sequence number goes on, CWR is in the first only, FIN and PSH are in the last only (RFC 3168 §6.1.2). With
 * IPv4 each has an identification of its own.
 *
 * A frame comes from a guest: what it says of itself is checked, and a frame that makes no sense gives no segments.
 */
import { complement, fold, sumBytes } from '../base/internet-checksum.ts'
import { ETHERNET_HEADER, plainFrame } from './frame.ts'
import type { Frame } from './frame.ts'

const EtherType = { IPV4: 0x0800, IPV6: 0x86dd, VLAN: 0x8100, SERVICE_VLAN: 0x88a8 } as const
const Protocol = { TCP: 6, UDP: 17 } as const
const TcpFlag = { FIN: 0x01, PSH: 0x08, CWR: 0x80 } as const
const IPV6_HEADER = 40
const UDP_HEADER = 8
const TCP_CHECKSUM = 16
const UDP_CHECKSUM = 6
/** A frame in smaller pieces asks for more work than it is worth: 65,535 bytes in segments of 44. */
const MOST_SEGMENTS = 1500

/** Completes the missing checksum in the frame's own bytes. What is computed lies in the frame, or nothing is done. */
export function completeChecksum(frame: Frame): void {
  const { bytes, start, length, checksumStart, checksumOffset } = frame
  if (checksumStart < 0) return
  frame.checksumStart = -1
  if (checksumStart + checksumOffset + 2 > length) return
  const sum = complement(sumBytes(bytes, start + checksumStart, length - checksumStart))
  // UDP knows 0 as "none was computed", and the other zero means the same sum: RFC 768.
  putU16(bytes, start + checksumStart + checksumOffset, sum === 0 && checksumOffset === UDP_CHECKSUM ? 0xffff : sum)
}

/** Where the headers of a frame are, which is to be cut. Offsets from the frame's start. */
export interface SegmentPlan {
  ipStart: number
  isIpv4: boolean
  transportStart: number
  headerLength: number
  /** How many segments there will be. */
  count: number
}

/** Whether a frame is what its `segmentation` says. If it is, `plan` says how to cut it. */
export function planSegments(frame: Frame, plan: SegmentPlan): boolean {
  const { bytes, start, length, segmentation, checksumStart, checksumOffset, segmentSize } = frame
  if (segmentation === 'none' || segmentSize < 1 || length < ETHERNET_HEADER + 8) return false
  let at = ETHERNET_HEADER
  let type = u16(bytes, start + at - 2)
  for (let tags = 0; tags < 2 && (type === EtherType.VLAN || type === EtherType.SERVICE_VLAN); tags++) {
    at += 4
    type = u16(bytes, start + at - 2)
  }
  const isTcp = segmentation !== 'udp'
  const isRightType = type === EtherType.IPV4 ? segmentation !== 'tcp6' : type === EtherType.IPV6 && segmentation !== 'tcp4'
  const transport = checksumStart
  if (!isRightType || transport < at + (type === EtherType.IPV4 ? 20 : IPV6_HEADER)) return false
  if (checksumOffset !== (isTcp ? TCP_CHECKSUM : UDP_CHECKSUM) || transport + (isTcp ? 20 : UDP_HEADER) > length) return false
  if (type === EtherType.IPV4 && !isWholeIpv4(bytes, start + at, transport - at, isTcp ? Protocol.TCP : Protocol.UDP)) return false
  const header = transport + (isTcp ? bytes[start + transport + 12] >> 4 << 2 : UDP_HEADER)
  if (header < transport + (isTcp ? 20 : UDP_HEADER) || header > length) return false
  plan.ipStart = at
  plan.isIpv4 = type === EtherType.IPV4
  plan.transportStart = transport
  plan.headerLength = header
  plan.count = Math.max(1, Math.ceil((length - header) / segmentSize))
  return plan.count <= MOST_SEGMENTS
}

export function emptyPlan(): SegmentPlan {
  return { ipStart: 0, isIpv4: false, transportStart: 0, headerLength: 0, count: 0 }
}

/** Version 4, a header that ends where the transport begins, no fragment. */
function isWholeIpv4(bytes: Uint8Array, at: number, headerLength: number, protocol: number): boolean {
  return bytes[at] === (0x40 | headerLength >> 2) && (headerLength & 3) === 0
    && bytes[at + 9] === protocol && (u16(bytes, at + 6) & 0x3fff) === 0
}

/** Does both, one frame after another, in memory of its own. */
export class FrameFinisher {
  /** The segment, when `cut` has returned true. */
  readonly segment: Frame
  readonly plan = emptyPlan()
  readonly #most: number

  /** `most` is the length of the longest frame that leaves it. */
  constructor(most: number) {
    this.#most = most
    this.segment = plainFrame(new Uint8Array(most))
  }

  /** A copy of a frame that needs no cutting, its checksum complete, in `segment`. False: it is too long. */
  complete(frame: Frame): boolean {
    if (frame.length > this.#most) return false
    this.segment.bytes.set(frame.bytes.subarray(frame.start, frame.start + frame.length))
    this.segment.length = frame.length
    this.segment.checksumStart = frame.checksumStart
    this.segment.checksumOffset = frame.checksumOffset
    completeChecksum(this.segment)
    return true
  }

  /** Whether the frame can be cut, by `plan`; then `cut` gives its segments. */
  begin(frame: Frame): boolean {
    return planSegments(frame, this.plan) && this.plan.headerLength + frame.segmentSize <= this.#most
  }

  /** Puts the segment of this number into `segment`, its checksums complete. */
  cut(frame: Frame, index: number): void {
    const { segment, plan } = this
    const { headerLength, transportStart } = plan
    const offset = index * frame.segmentSize
    const payload = Math.min(frame.segmentSize, frame.length - headerLength - offset)
    const from = frame.start + headerLength + offset
    segment.bytes.set(frame.bytes.subarray(frame.start, frame.start + headerLength))
    segment.bytes.set(frame.bytes.subarray(from, from + payload), headerLength)
    segment.length = headerLength + payload
    this.#writeIpHeader(index)
    const wasLength = frame.length - transportStart
    const length = segment.length - transportStart
    if (frame.segmentation === 'udp') putU16(segment.bytes, transportStart + 4, length)
    else this.#writeTcpHeader(offset, index)
    // The sum of the pseudo header has the length of the whole in it: RFC 1624.
    const field = transportStart + frame.checksumOffset
    putU16(segment.bytes, field, fold(u16(segment.bytes, field) + length + 2 * 0xffff - wasLength % 0xffff))
    segment.checksumStart = transportStart
    segment.checksumOffset = frame.checksumOffset
    completeChecksum(segment)
  }

  #writeIpHeader(index: number): void {
    const { segment: { bytes, length }, plan: { ipStart, isIpv4, transportStart } } = this
    if (!isIpv4) return putU16(bytes, ipStart + 4, length - ipStart - IPV6_HEADER)
    putU16(bytes, ipStart + 2, length - ipStart)
    putU16(bytes, ipStart + 4, u16(bytes, ipStart + 4) + index & 0xffff)
    putU16(bytes, ipStart + 10, 0)
    putU16(bytes, ipStart + 10, complement(sumBytes(bytes, ipStart, transportStart - ipStart)))
  }

  #writeTcpHeader(offset: number, index: number): void {
    const { segment: { bytes }, plan: { transportStart, count } } = this
    const sequence = (u16(bytes, transportStart + 4) * 0x10000 + u16(bytes, transportStart + 6) + offset) % 2 ** 32
    putU16(bytes, transportStart + 4, Math.floor(sequence / 0x10000))
    putU16(bytes, transportStart + 6, sequence % 0x10000)
    if (index > 0) bytes[transportStart + 13] &= ~TcpFlag.CWR
    if (index + 1 < count) bytes[transportStart + 13] &= ~(TcpFlag.FIN | TcpFlag.PSH)
  }
}

function u16(bytes: Uint8Array, at: number): number { return bytes[at] << 8 | bytes[at + 1] }

function putU16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >> 8
  bytes[at + 1] = value
}
