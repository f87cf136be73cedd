/**
 * What is lost, and what to send again: RFC 6675 with SACK, RFC 6582 (NewReno) without, RFC 5681 for both, and RFC 3522 (was the time-out a
 * mistake?).
 *
 *   unacknowledged        retransmitted             lostBefore                 next
 *   ─────┼──────────────────────┼───────────────────────┼───────────────────────┼─────
 *        │ lost, sent once more │ lost, to be sent      │ under way, as far as  │
 *        │       except for what is SACKed              │ anybody knows         │
 *
 * Left out: rescue retransmissions, limited transmit as a special case (the pipe has room for it anyway), RACK, tail loss probes.
 */
import type { Congestion } from './congestion.ts'
import type { Segment } from './segment.ts'
import { advance, distance, isAfter, isBefore, later } from './sequence.ts'
import { SequenceRanges } from './sequence-ranges.ts'

const DUPLICATES_THRESHOLD = 3

/** The sender, as recovery sees it. */
export interface SendSequence {
  /** SND.UNA, SND.NXT */
  readonly unacknowledged: number
  readonly next: number
  /** Bytes between them. */
  readonly flight: number
  readonly segmentSize: number
  readonly usesSack: boolean
}

export class Recovery {
  private readonly sender: SendSequence
  private readonly congestion: Congestion
  private readonly scoreboard = new SequenceRanges()
  private kind: 'none' | 'fast' | 'time-out' = 'none'
  /** Recovery ends when this is acknowledged. */
  private recover: number
  private retransmitted = 0
  private lostBefore = 0
  /** The first segment goes out whatever the congestion window says. */
  private mustRetransmit = false
  private duplicates = 0
  /** The timestamp of the first retransmission by time-out, as long as nobody knows whether it was needed. */
  private timedOutAt: number | null = null

  constructor(sender: SendSequence, congestion: Congestion) {
    this.sender = sender
    this.congestion = congestion
    this.recover = sender.unacknowledged
  }

  get isActive(): boolean { return this.kind !== 'none' }

  /** Bytes under way, as far as is known. RFC 6675, section 4, SetPipe. */
  get pipe(): number {
    const { scoreboard, sender: { flight, segmentSize, usesSack } } = this
    if (this.kind === 'none' && scoreboard.length === 0 && this.duplicates === 0) return flight
    const arrived = usesSack ? scoreboard.bytes : this.duplicates * segmentSize
    return Math.max(0, flight - arrived - this.lostBytes)
  }

  /** A new connection, or everything that was known is void. */
  start(): void {
    this.kind = 'none'
    this.recover = this.sender.unacknowledged
    this.scoreboard.clear()
  }

  /** The peer's SACK blocks. Only what was sent, and is not acknowledged yet, is believed. */
  noteSack(segment: Segment): void {
    const { sackBlocks, acknowledgment } = segment
    for (let index = 0; index < segment.sackCount; index++) {
      const start = sackBlocks[2 * index]
      const end = sackBlocks[2 * index + 1]
      if (isBefore(start, end) && !isBefore(start, acknowledgment) && !isAfter(end, this.sender.next)) this.scoreboard.add(start, end)
    }
  }

  /** The same acknowledgment once more, without anything new. With SACK, the scoreboard says more. */
  noteDuplicate(): void { if (!this.sender.usesSack) this.duplicates++ }

  /** `bytes` were acknowledged; `isLimited`: the congestion window had held the sender back. */
  advance(segment: Segment, bytes: number, isLimited: boolean): void {
    this.scoreboard.removeBefore(this.sender.unacknowledged)
    this.checkTimeOut(segment)
    const isOver = this.kind !== 'none' && !isBefore(this.sender.unacknowledged, this.recover)
    if (this.kind === 'time-out' || (this.kind === 'none' && isLimited)) this.congestion.acknowledged(bytes)
    if (this.kind === 'fast' && !isOver) this.partiallyAcknowledged(bytes)
    else this.duplicates = 0
    if (!isOver) return
    if (this.kind === 'fast') this.congestion.leaveRecovery()
    this.kind = 'none'
  }

  /** Looks at what is known now. True: fast recovery begins. */
  detectLoss(): boolean {
    const { unacknowledged, flight, usesSack } = this.sender
    if (flight === 0) return false
    const lostBefore = usesSack ? this.scoreboardLoss() : unacknowledged
    if (this.kind === 'fast') this.lostBefore = later(this.lostBefore, lostBefore)
    if (this.kind !== 'none') return false
    const isRepeated = this.duplicates >= DUPLICATES_THRESHOLD && !isBefore(unacknowledged, this.recover)
    if (!isAfter(lostBefore, unacknowledged) && !isRepeated) return false
    this.enter()
    this.lostBefore = later(this.lostBefore, lostBefore)
    return true
  }

  /** Nothing of what is under way has arrived. */
  loseAll(): void {
    if (this.sender.flight === 0) return
    this.enter()
    this.lostBefore = this.sender.next
  }

  /** The timer has expired; `isFirst` for these bytes. */
  timeOut(isFirst: boolean, timestamp: number): void {
    if (isFirst) {
      this.congestion.timedOut(this.sender.flight)
      this.timedOutAt = timestamp
    }
    this.begin('time-out', this.sender.next)
    this.duplicates = 0
    this.scoreboard.clear() // RFC 2018, section 8: the peer may have thought better of it
  }

  /** Where what is to be sent again starts, if there is something: `repeatableBytes` then says how much of it may be sent. */
  get repeatFrom(): number { return this.scoreboard.firstMissing(later(this.sender.unacknowledged, this.retransmitted)) }

  /** Bytes from `from` that are to be sent again, and that the congestion window has room for, in whole segments or to the hole's end. */
  repeatableBytes(from: number, maximum: number): number {
    if (this.kind === 'none' || !isBefore(from, this.lostBefore)) return 0
    const { segmentSize } = this.sender
    const hole = distance(from, this.scoreboard.firstPresent(from, this.lostBefore))
    const room = Math.max(this.congestion.window - this.pipe, this.mustRetransmit ? segmentSize : 0)
    return Math.min(hole, Math.floor(Math.min(room, maximum) / segmentSize) * segmentSize)
  }

  /** Bytes were sent again. True: it is the attempt for which the timer had expired. */
  repeated(from: number, count: number): boolean {
    const isAttempt = this.mustRetransmit && this.kind === 'time-out'
    this.mustRetransmit = false
    this.retransmitted = advance(from, count)
    return isAttempt
  }

  private enter(): void {
    this.congestion.enterRecovery(this.sender.flight)
    this.begin('fast', this.endOfFirst)
  }

  private begin(kind: 'fast' | 'time-out', lostBefore: number): void {
    this.kind = kind
    this.recover = this.sender.next
    this.retransmitted = this.sender.unacknowledged
    this.lostBefore = lostBefore
    this.mustRetransmit = true
  }

  /** RFC 6582, section 3.2, step 3; with SACK, the segment after the acknowledged ones was lost as well. */
  private partiallyAcknowledged(bytes: number): void {
    const { segmentSize, unacknowledged } = this.sender
    this.duplicates = Math.max(0, this.duplicates - Math.max(0, Math.round(bytes / segmentSize) - 1))
    if (isAfter(this.retransmitted, unacknowledged)) return
    this.lostBefore = later(this.lostBefore, this.endOfFirst)
    this.mustRetransmit = true
  }

  /** RFC 3522: the peer echoes a timestamp from before the retransmission, so it has got the original. */
  private checkTimeOut(segment: Segment): void {
    if (this.timedOutAt === null) return
    const hasOriginal = segment.hasTimestamps && isBefore(segment.timestampEcho, this.timedOutAt)
    this.timedOutAt = null
    if (!hasOriginal || this.kind !== 'time-out') return
    this.congestion.undo()
    this.kind = 'none'
    this.recover = this.sender.unacknowledged
  }

  /** RFC 6675, section 4, IsLost: what is not SACKed before this number is lost. */
  private scoreboardLoss(): number {
    const { scoreboard, sender } = this
    let bytes = 0
    for (let index = scoreboard.length - 1; index >= 0; index--) {
      bytes += distance(scoreboard.start(index), scoreboard.end(index))
      const ranges = scoreboard.length - index
      if (ranges >= DUPLICATES_THRESHOLD || bytes > (DUPLICATES_THRESHOLD - 1) * sender.segmentSize) return scoreboard.start(index)
    }
    return sender.unacknowledged
  }

  /** Lost, and not sent again yet. */
  private get lostBytes(): number {
    if (this.kind === 'none') return 0
    const from = later(this.sender.unacknowledged, this.retransmitted)
    return Math.max(0, distance(from, this.lostBefore)) - this.scoreboard.bytesBetween(from, this.lostBefore)
  }

  private get endOfFirst(): number {
    const { unacknowledged, segmentSize, flight } = this.sender
    return advance(unacknowledged, Math.min(segmentSize, flight))
  }
}
