/**
 * The sending half of a connection: RFC 9293, section 3.8, with loss recovery of RFC 6675 (SACK), RFC 6582 (without), the timer of RFC
 * 6298, and RFC 3522 (was the time-out a mistake?).
 *
 *        unacknowledged                  next            unacknowledged + window
 *   ───────────┼───────────────────────────┼──────────────────────┼─────────
 *     done     │ under way, partly SACKed  │ may be sent          │ may not
 *
 * During recovery, what is not SACKed before `lostBefore` counts as lost, and what of that is before `retransmitted` is under way again.
 * SND.NXT never goes back. Left out: rescue retransmissions, RACK, tail loss probes, Nagle's algorithm (the other half of the splice has
 * decided already what goes into a segment).
 */
import type { BufferPool } from './buffer-pool.ts'
import { ByteRing } from './byte-ring.ts'
import { Congestion } from './congestion.ts'
import { RoundTrip } from './round-trip.ts'
import { Control } from './segment.ts'
import type { Segment } from './segment.ts'
import { advance, distance, isAfter, isBefore, later } from './sequence.ts'
import { SequenceRanges } from './sequence-ranges.ts'

/** Payload that goes into one segment at most, for the card to cut. With all headers it must stay under 64 KiB. */
export const PIECE_MAXIMUM = 65_408
/** Unanswered retransmissions or probes before the peer is given up: some thirteen minutes. RFC 9293, section 3.8.3 (R2). */
export const ATTEMPTS_MAXIMUM = 15
const DUPLICATES_THRESHOLD = 3

/** What a sender needs of its connection. */
export interface SenderLink {
  /** Milliseconds. */
  readonly now: number
  /** What the timestamps option says now. */
  readonly timestamp: number
  /** Sends `length` bytes of the queue from `offset` on. False: the link is full, and `transmit` is called when it no longer is. */
  emit(control: number, sequence: number, offset: number, length: number): boolean
}

export class Sender {
  readonly queue: ByteRing
  readonly roundTrip = new RoundTrip()
  private readonly congestion: Congestion
  private readonly link: SenderLink
  private readonly scoreboard = new SequenceRanges()

  /** SND.UNA, SND.NXT */
  unacknowledged: number
  next: number
  /** SND.WND in bytes, its highest value so far, SND.WL1, SND.WL2. */
  window = 0
  windowMaximum = 0
  private windowSequence = 0
  private windowAcknowledgment = 0
  /** How far the peer's windows are shifted. */
  windowScale = 0
  /** Payload of a segment, without options. */
  segmentSize: number
  usesSack = false

  /** FIN follows the queue; it was sent; it was acknowledged. */
  ending = false
  finSent = false
  finAcknowledged = false

  private recovery: 'none' | 'fast' | 'time-out' = 'none'
  private recover: number
  private retransmitted: number
  private lostBefore: number
  private mustRetransmit = false
  private duplicates = 0
  private isCongestionLimited = false

  /** When the timer for retransmissions and window probes expires, in ms. */
  expiresAt = Infinity
  private attempts = 0
  /** The end of the segment that is timed, and when it was sent. */
  private isTiming = false
  private timedEnd = 0
  private timedAt = 0
  /** The timestamp of the first retransmission by time-out, as long as nobody knows whether it was needed. */
  private timedOutAt: number | null = null

  constructor(link: SenderLink, pool: BufferPool, initialSequence: number, segmentSize: number) {
    this.link = link
    this.queue = new ByteRing(pool)
    this.unacknowledged = initialSequence
    this.next = initialSequence
    this.recover = initialSequence
    this.retransmitted = initialSequence
    this.lostBefore = initialSequence
    this.segmentSize = segmentSize
    this.congestion = new Congestion(segmentSize)
  }

  get flight(): number { return distance(this.unacknowledged, this.next) }

  /** Bytes of the queue that were never sent. */
  get unsent(): number { return this.queue.length - this.flight + (this.finSent && !this.finAcknowledged ? 1 : 0) }

  /** Something is to be sent yet, be it FIN only. */
  get hasUnsent(): boolean { return this.unsent > 0 || (this.ending && !this.finSent) }

  /** The handshake is over: SYN was acknowledged by `segment`. */
  start(segment: Segment): void {
    this.unacknowledged = segment.acknowledgment
    this.next = segment.acknowledgment
    this.recover = segment.acknowledgment
    this.congestion.setSegmentSize(this.segmentSize, true)
    this.setWindow(segment)
    this.stopProbing()
  }

  finish(): void { this.ending = true }

  /** The path takes only smaller packets: what was under way is lost. */
  reduceSegmentSize(size: number): void {
    this.segmentSize = size
    this.congestion.setSegmentSize(size, false)
    if (this.flight === 0) return
    this.enterRecovery()
    this.lostBefore = this.next
  }

  /** An acknowledgment that is not beyond `next`. Section 3.10.7.4; what follows from it is sent by `transmit`. */
  acknowledged(segment: Segment): void {
    const bytes = distance(this.unacknowledged, segment.acknowledgment)
    if (bytes < 0) return
    const windowBefore = this.window
    this.updateWindow(segment)
    if (this.usesSack) this.noteSack(segment)
    if (bytes > 0) this.advanceTo(segment, bytes)
    else if (this.isDuplicate(segment, windowBefore)) this.duplicates++
    if (this.window === 0) this.attempts = 0
    this.detectLoss()
  }

  /** Sends what may be sent, and arms the timer. */
  transmit(): void {
    while (this.retransmitPiece() || this.sendPiece());
    if (this.expiresAt === Infinity && (this.flight > 0 || this.hasUnsent)) this.armTimer()
  }

  /** The timer has expired. False: the peer is to be given up. */
  expire(): boolean {
    this.expiresAt = Infinity
    if (this.attempts >= ATTEMPTS_MAXIMUM) return false
    if (this.flight > 0) this.timeOut()
    else if (this.hasUnsent) this.probe()
    this.transmit()
    return true
  }

  armTimer(): void { this.expiresAt = this.link.now + this.roundTrip.timeout }

  /** Counts an attempt at the handshake, and arms the timer for it. False: it was the last. */
  attemptHandshake(maximum: number): boolean {
    if (this.attempts++ >= maximum) return false
    this.armTimer()
    this.roundTrip.double()
    return true
  }

  clear(): void {
    this.queue.clear()
    this.scoreboard.clear()
    this.expiresAt = Infinity
  }

  // ── what an acknowledgment tells ──

  private updateWindow(segment: Segment): void {
    const newer = distance(this.windowSequence, segment.sequence)
    if (newer < 0 || (newer === 0 && isBefore(segment.acknowledgment, this.windowAcknowledgment))) return
    this.setWindow(segment)
  }

  private setWindow(segment: Segment): void {
    const wasShut = this.window < Math.min(this.segmentSize, this.windowMaximum)
    this.window = segment.has(Control.SYN) ? segment.window : segment.window * 2 ** this.windowScale
    this.windowMaximum = Math.max(this.windowMaximum, this.window)
    this.windowSequence = segment.sequence
    this.windowAcknowledgment = segment.acknowledgment
    if (wasShut && this.window > 0 && this.flight === 0) this.stopProbing()
  }

  private stopProbing(): void {
    this.attempts = 0
    this.roundTrip.undouble()
    this.expiresAt = Infinity
  }

  /** Only what was sent, and is not acknowledged yet, is believed. */
  private noteSack(segment: Segment): void {
    const { sackBlocks, acknowledgment } = segment
    for (let index = 0; index < segment.sackCount; index++) {
      const start = sackBlocks[2 * index]
      const end = sackBlocks[2 * index + 1]
      if (isBefore(start, end) && !isBefore(start, acknowledgment) && !isAfter(end, this.next)) this.scoreboard.add(start, end)
    }
  }

  private advanceTo(segment: Segment, bytes: number): void {
    const { acknowledgment } = segment
    this.finAcknowledged = this.finSent && acknowledgment === this.next
    this.queue.consume(bytes - (this.finAcknowledged ? 1 : 0))
    this.unacknowledged = acknowledgment
    this.scoreboard.removeBefore(acknowledgment)
    if (this.isTiming && !isBefore(acknowledgment, this.timedEnd)) this.measure()
    this.attempts = 0
    this.roundTrip.undouble()
    this.expiresAt = Infinity
    this.checkTimeOut(segment)
    this.advanceRecovery(bytes)
  }

  private measure(): void {
    this.isTiming = false
    this.roundTrip.measured(this.link.now - this.timedAt)
  }

  private advanceRecovery(bytes: number): void {
    const isOver = this.recovery !== 'none' && !isBefore(this.unacknowledged, this.recover)
    if (this.recovery === 'time-out' || (this.recovery === 'none' && this.isCongestionLimited)) this.congestion.acknowledged(bytes)
    if (this.recovery === 'fast' && !isOver) this.partiallyAcknowledged(bytes)
    else this.duplicates = 0
    if (!isOver) return
    if (this.recovery === 'fast') this.congestion.leaveRecovery()
    this.recovery = 'none'
  }

  /** RFC 6582, section 3.2, step 3; with SACK, the segment after the acknowledged ones was lost as well. */
  private partiallyAcknowledged(bytes: number): void {
    this.duplicates = Math.max(0, this.duplicates - Math.max(0, Math.round(bytes / this.segmentSize) - 1))
    if (isAfter(this.retransmitted, this.unacknowledged)) return
    this.lostBefore = later(this.lostBefore, this.endOfFirst())
    this.mustRetransmit = true
  }

  /** RFC 3522: the peer echoes a timestamp from before the retransmission, so it has got the original. */
  private checkTimeOut(segment: Segment): void {
    if (this.timedOutAt === null) return
    const hasOriginal = segment.hasTimestamps && isBefore(segment.timestampEcho, this.timedOutAt)
    if (hasOriginal && this.recovery === 'time-out') {
      this.congestion.undo()
      this.recovery = 'none'
      this.recover = this.unacknowledged
    }
    this.timedOutAt = null
  }

  /** RFC 5681, section 2. With SACK, the scoreboard says more. */
  private isDuplicate(segment: Segment, windowBefore: number): boolean {
    return !this.usesSack && this.flight > 0 && segment.span === 0 && this.window === windowBefore
  }

  private detectLoss(): void {
    if (this.flight === 0) return
    const lostBefore = this.usesSack ? this.scoreboardLoss() : this.unacknowledged
    if (this.recovery === 'fast') this.lostBefore = later(this.lostBefore, lostBefore)
    if (this.recovery !== 'none') return
    const isLost = isAfter(lostBefore, this.unacknowledged)
    const isRepeated = this.duplicates >= DUPLICATES_THRESHOLD && !isBefore(this.unacknowledged, this.recover)
    if (!isLost && !isRepeated) return
    this.enterRecovery()
    this.lostBefore = later(this.lostBefore, lostBefore)
  }

  /** RFC 6675, section 4, IsLost: what is not SACKed before this number is lost. */
  private scoreboardLoss(): number {
    const { scoreboard } = this
    let bytes = 0
    for (let index = scoreboard.length - 1; index >= 0; index--) {
      bytes += distance(scoreboard.start(index), scoreboard.end(index))
      const ranges = scoreboard.length - index
      if (ranges >= DUPLICATES_THRESHOLD || bytes > (DUPLICATES_THRESHOLD - 1) * this.segmentSize) return scoreboard.start(index)
    }
    return this.unacknowledged
  }

  private enterRecovery(): void {
    this.congestion.enterRecovery(this.flight)
    this.recovery = 'fast'
    this.recover = this.next
    this.retransmitted = this.unacknowledged
    this.lostBefore = this.endOfFirst()
    this.mustRetransmit = true
    this.isTiming = false
  }

  private endOfFirst(): number { return advance(this.unacknowledged, Math.min(this.segmentSize, this.flight)) }

  // ── the timer ──

  private timeOut(): void {
    if (this.attempts === 0) {
      this.congestion.timedOut(this.flight)
      this.timedOutAt = this.link.timestamp
    }
    this.recovery = 'time-out'
    this.recover = this.next
    this.retransmitted = this.unacknowledged
    this.lostBefore = this.next
    this.duplicates = 0
    this.scoreboard.clear() // RFC 2018, section 8: the peer may have thought better of it
    this.mustRetransmit = true
    this.isTiming = false
    this.roundTrip.double()
  }

  /** Section 3.8.6.1. A window too small for a segment is used now; a shut one is asked about by a segment that must be answered. */
  private probe(): void {
    const room = distance(this.next, advance(this.unacknowledged, this.window))
    const count = Math.min(this.unsent, room, this.segmentSize)
    if (count > 0) this.sendNew(count, false)
    else if (this.link.emit(Control.ACK, advance(this.unacknowledged, -1), 0, 0)) this.attempts++
    this.roundTrip.double()
  }

  // ── sending ──

  /** Bytes under way, as far as is known. RFC 6675, section 4, SetPipe. */
  private pipe(): number {
    const { flight, scoreboard } = this
    if (this.recovery === 'none' && scoreboard.length === 0 && this.duplicates === 0) return flight
    const arrived = this.usesSack ? scoreboard.bytes : this.duplicates * this.segmentSize
    return Math.max(0, flight - arrived - this.lostBytes())
  }

  /** Lost, and not sent again yet. */
  private lostBytes(): number {
    if (this.recovery === 'none') return 0
    const from = later(this.unacknowledged, this.retransmitted)
    return Math.max(0, distance(from, this.lostBefore)) - this.scoreboard.bytesBetween(from, this.lostBefore)
  }

  private retransmitPiece(): boolean {
    if (this.recovery === 'none') return false
    const from = this.scoreboard.firstMissing(later(this.unacknowledged, this.retransmitted))
    if (!isBefore(from, this.lostBefore)) return false
    const hole = distance(from, this.scoreboard.firstPresent(from, this.lostBefore))
    const room = Math.max(this.congestion.window - this.pipe(), this.mustRetransmit ? this.segmentSize : 0)
    const count = Math.min(hole, this.wholeSegments(room))
    if (count <= 0 || !this.send(from, count)) return false
    if (this.mustRetransmit && this.recovery === 'time-out') this.attempts++
    this.mustRetransmit = false
    this.retransmitted = advance(from, count)
    return true
  }

  private sendPiece(): boolean {
    if (!this.hasUnsent) return false
    const { unsent, segmentSize } = this
    const windowRoom = distance(this.next, advance(this.unacknowledged, this.window))
    const congestionRoom = this.congestion.window - this.pipe()
    this.isCongestionLimited = congestionRoom < Math.min(unsent, windowRoom) || congestionRoom < segmentSize
    const room = Math.min(windowRoom, congestionRoom)
    const count = unsent <= Math.min(room, PIECE_MAXIMUM) ? unsent : this.usefulBytes(room)
    const hasFin = count === unsent && this.ending && windowRoom > count
    if (count < 0 || (count === 0 && !hasFin)) return false
    return this.sendNew(count + (hasFin ? 1 : 0), hasFin)
  }

  /** Whole segments, or half of the largest window that the peer ever had (RFC 9293, section 3.8.6.2.1), or nothing. */
  private usefulBytes(room: number): number {
    if (room >= this.segmentSize) return this.wholeSegments(room)
    return room >= this.windowMaximum >> 1 && this.congestion.window - this.pipe() > room ? room : 0
  }

  private wholeSegments(room: number): number {
    const segments = Math.floor(Math.min(room, PIECE_MAXIMUM) / this.segmentSize)
    return segments * this.segmentSize
  }

  private sendNew(span: number, hasFin: boolean): boolean {
    const { next, flight } = this
    if (hasFin) this.finSent = true
    if (!this.send(next, span)) {
      if (hasFin) this.finSent = false
      return false
    }
    if (flight === 0) this.expiresAt = Infinity
    this.next = advance(next, span)
    if (!this.isTiming && this.recovery === 'none') {
      this.isTiming = true
      this.timedEnd = this.next
      this.timedAt = this.link.now
    }
    return true
  }

  /** Sends a part of the sequence space; FIN is the number after the queue. */
  private send(from: number, span: number): boolean {
    const offset = distance(this.unacknowledged, from)
    const bytes = Math.min(span, this.queue.length - offset)
    const isLast = offset + bytes === this.queue.length
    const control = Control.ACK | (isLast && bytes > 0 ? Control.PSH : 0) | (span > bytes ? Control.FIN : 0)
    return this.link.emit(control, from, offset, bytes)
  }
}
