/**
 * What the SYN segments of both sides have agreed on, and the timestamps that follow from it: RFC 7323, sections 2 to 5, RFC 2018, section
 * 2, RFC 9293, section 3.7.1. Before the peer's SYN is known, all of it is offered.
 */
import type { ConnectionLink, ConnectionPair } from './connection-link.ts'
import { WINDOW_SCALE } from './receiver.ts'
import type { Receiver } from './receiver.ts'
import {
  HEADER_SIZE, SACK_BLOCKS_MAXIMUM, TIMESTAMPS_SIZE, writeMaximumSegmentSize, writeSack, writeSackPermitted, writeTimestamps,
  writeWindowScale,
} from './segment.ts'
import type { Segment } from './segment.ts'
import { PIECE_MAXIMUM } from './sender.ts'
import { isAfter, isBefore } from './sequence.ts'

/** RFC 7323, section 5.5: a timestamp of a peer that was silent for 24 days says nothing. */
const TIMESTAMP_LIFETIME = 24 * 86_400_000
/** Less is an attack: RFC 9293, section 3.7.1, has 536 as a default, and real links more. */
const SEGMENT_SIZE_MINIMUM = 64
/** The smallest packets that every link takes (RFC 791: 68, in practice 576; RFC 8200). */
const PACKET_MINIMUM = { 4: 576, 6: 1280 } as const

/** Scratch for an option that is written at once. */
const sackBlocks = new Int32Array(2 * SACK_BLOCKS_MAXIMUM)

export class Agreement {
  private readonly link: ConnectionLink
  private readonly version: 4 | 6
  private readonly timestampOffset: number
  usesScale = true
  usesSack = true
  private usesTimestamps = true
  /** TS.Recent, and when it was set. */
  private recent = 0
  private recentAt = 0

  /** `timestampOffset`: any number, so that a peer does not learn how long the host is up. */
  constructor(link: ConnectionLink, pair: ConnectionPair, timestampOffset: number) {
    this.link = link
    this.version = pair.version
    this.timestampOffset = timestampOffset
  }

  /** The peer's SYN. */
  note(syn: Segment): void {
    this.usesScale = syn.windowScale >= 0
    this.usesSack = syn.sackPermitted
    this.usesTimestamps = syn.hasTimestamps
    if (syn.hasTimestamps) this.setRecent(syn.timestamp)
  }

  /** RFC 7323, section 5.4: a clock of milliseconds. */
  get timestamp(): number { return (Math.floor(this.link.now) + this.timestampOffset) | 0 }

  /** PAWS: RFC 7323, section 5.3. */
  isOld(segment: Segment): boolean {
    return this.usesTimestamps && segment.hasTimestamps && isBefore(segment.timestamp, this.recent)
      && this.link.now - this.recentAt < TIMESTAMP_LIFETIME
  }

  /** A segment that was accepted; `lastAcknowledged` is Last.ACK.sent. RFC 7323, section 4.3. */
  noteTimestamp(segment: Segment, lastAcknowledged: number): void {
    if (!segment.hasTimestamps || isBefore(segment.timestamp, this.recent) || isAfter(segment.sequence, lastAcknowledged)) return
    this.setRecent(segment.timestamp)
  }

  /** Writes the options of a segment with `length` bytes of payload, and returns the offset after them. */
  writeOptions(buffer: Uint8Array, start: number, isSyn: boolean, length: number, receiver: Receiver): number {
    const syn = isSyn ? this.writeSynOptions(buffer, start) : start
    const at = this.usesTimestamps ? writeTimestamps(buffer, syn, this.timestamp, this.recent) : syn
    if (isSyn || length > 0 || !this.usesSack || !receiver.hasEarly) return at
    const count = receiver.sackBlocks(sackBlocks, this.usesTimestamps ? SACK_BLOCKS_MAXIMUM - 1 : SACK_BLOCKS_MAXIMUM)
    return count > 0 ? writeSack(buffer, at, sackBlocks, count) : at
  }

  /** The payload that our side takes in a segment. */
  get ourSegmentSize(): number { return Math.min(65535, this.link.mtu) - this.headersSize }

  /** What a peer takes that does not say it. */
  get defaultSegmentSize(): number { return this.version === 4 ? 536 : 1220 }

  /** The payload to send in a segment, if the peer takes `size` bytes with options (RFC 6691). */
  limitSegmentSize(size: number): number {
    const limited = Math.max(SEGMENT_SIZE_MINIMUM, Math.min(size, this.ourSegmentSize))
    return Math.min(PIECE_MAXIMUM, limited - (this.usesTimestamps ? TIMESTAMPS_SIZE : 0))
  }

  /** As `limitSegmentSize`, for a path that takes packets of `mtu` bytes. */
  segmentSizeFor(mtu: number): number { return this.limitSegmentSize(Math.max(mtu, PACKET_MINIMUM[this.version]) - this.headersSize) }

  private writeSynOptions(buffer: Uint8Array, start: number): number {
    let at = writeMaximumSegmentSize(buffer, start, this.ourSegmentSize)
    if (this.usesScale) at = writeWindowScale(buffer, at, WINDOW_SCALE)
    return this.usesSack ? writeSackPermitted(buffer, at) : at
  }

  private setRecent(timestamp: number): void {
    this.recent = timestamp
    this.recentAt = this.link.now
  }

  /** IP and TCP headers without options. */
  private get headersSize(): number { return HEADER_SIZE + (this.version === 4 ? 20 : 40) }
}
