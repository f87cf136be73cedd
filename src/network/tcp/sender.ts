/**
 * The sending half of a connection: RFC 9293, section 3.8, with the timer of RFC 6298. What is lost is recovery.ts's business.
 *
 *        unacknowledged                  next            unacknowledged + window
 *   ───────────┼───────────────────────────┼──────────────────────┼─────────
 *     done     │ under way                 │ may be sent          │ may not
 *
 * The queue starts at `unacknowledged`; FIN is the number after it. SND.NXT never goes back. Left out: Nagle's algorithm (the other half
 * of the splice has decided already what goes into a segment).
 */
import type { BufferPool } from './buffer-pool.ts'
import { ByteRing } from './byte-ring.ts'
import { Congestion } from './congestion.ts'
import { RoundTrip } from './round-trip.ts'
import { Control } from './segment.ts'
import type { Segment } from './segment.ts'
import { Recovery } from './recovery.ts'
import type { SendSequence } from './recovery.ts'
import { advance, distance, isBefore } from './sequence.ts'

/** Payload that goes into one segment at most, for the card to cut. With all headers it must stay under 64 KiB. */
export const PIECE_MAXIMUM = 65_408
/** Unanswered retransmissions or probes before the peer is given up: some thirteen minutes. RFC 9293, section 3.8.3 (R2). */
export const ATTEMPTS_MAXIMUM = 15

/** What a sender needs of its connection. */
export interface SenderLink {
  /** Milliseconds. */
  readonly now: number
  /** What the timestamps option says now. */
  readonly timestamp: number
  /** Sends `length` bytes of the queue from `offset` on. False: the link is full, and `transmit` is called when it no longer is. */
  emit(control: number, sequence: number, offset: number, length: number): boolean
}

export class Sender implements SendSequence {
  readonly queue: ByteRing
  readonly roundTrip = new RoundTrip()
  private readonly congestion: Congestion
  private readonly link: SenderLink
  private readonly recovery: Recovery

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

  private isCongestionLimited = false

  /** When the timer for retransmissions and window probes expires, in ms. */
  expiresAt = Infinity
  private attempts = 0
  /** The end of the segment that is timed, and when it was sent. */
  private isTiming = false
  private timedEnd = 0
  private timedAt = 0
  constructor(link: SenderLink, pool: BufferPool, initialSequence: number, segmentSize: number) {
    this.link = link
    this.queue = new ByteRing(pool)
    this.unacknowledged = initialSequence
    this.next = initialSequence
    this.segmentSize = segmentSize
    this.congestion = new Congestion(segmentSize)
    this.recovery = new Recovery(this, this.congestion)
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
    this.recovery.start()
    this.congestion.setSegmentSize(this.segmentSize, true)
    this.setWindow(segment)
    this.stopProbing()
  }

  finish(): void { this.ending = true }

  /** The path takes only smaller packets: what was under way is lost. */
  reduceSegmentSize(size: number): void {
    this.segmentSize = size
    this.congestion.setSegmentSize(size, false)
    this.recovery.loseAll()
    this.isTiming = false
  }

  /** An acknowledgment that is not beyond `next`. Section 3.10.7.4; what follows from it is sent by `transmit`. */
  acknowledged(segment: Segment): void {
    const bytes = distance(this.unacknowledged, segment.acknowledgment)
    if (bytes < 0) return
    const windowBefore = this.window
    this.updateWindow(segment)
    if (this.usesSack) this.recovery.noteSack(segment)
    if (bytes > 0) this.advanceTo(segment, bytes)
    else if (this.isDuplicate(segment, windowBefore)) this.recovery.noteDuplicate()
    if (this.window === 0) this.attempts = 0
    if (this.recovery.detectLoss()) this.isTiming = false
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
    this.recovery.start()
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

  private advanceTo(segment: Segment, bytes: number): void {
    const { acknowledgment } = segment
    this.finAcknowledged = this.finSent && acknowledgment === this.next
    this.queue.consume(bytes - (this.finAcknowledged ? 1 : 0))
    this.unacknowledged = acknowledgment
    if (this.isTiming && !isBefore(acknowledgment, this.timedEnd)) this.measure()
    this.attempts = 0
    this.roundTrip.undouble()
    this.expiresAt = Infinity
    this.recovery.advance(segment, bytes, this.isCongestionLimited)
  }

  private measure(): void {
    this.isTiming = false
    this.roundTrip.measured(this.link.now - this.timedAt)
  }

  /** RFC 5681, section 2. */
  private isDuplicate(segment: Segment, windowBefore: number): boolean {
    return this.flight > 0 && segment.span === 0 && this.window === windowBefore
  }

  // ── the timer ──

  private timeOut(): void {
    this.recovery.timeOut(this.attempts === 0, this.link.timestamp)
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

  private retransmitPiece(): boolean {
    if (!this.recovery.isActive) return false
    const from = this.recovery.repeatFrom
    const count = this.recovery.repeatableBytes(from, PIECE_MAXIMUM)
    if (count <= 0 || !this.send(from, count)) return false
    if (this.recovery.repeated(from, count)) this.attempts++
    return true
  }

  private sendPiece(): boolean {
    if (!this.hasUnsent) return false
    const { unsent, segmentSize } = this
    const windowRoom = distance(this.next, advance(this.unacknowledged, this.window))
    const congestionRoom = this.congestion.window - this.recovery.pipe
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
    return room >= this.windowMaximum >> 1 && this.congestion.window - this.recovery.pipe > room ? room : 0
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
    if (!this.isTiming && !this.recovery.isActive) {
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
