/**
 * The receiving half of a connection: RFC 9293, sections 3.4 and 3.8.6; SACK as its receiver, RFC 2018; delayed acknowledgments, RFC 1122,
 * section 4.2.3.2.
 *
 *      next                       edge
 *   ────┼───────────────────────────┼────
 *    in the queue, or with the user │ window │ not welcome
 *
 * Data in order goes to the user at once; what he does not take stays in the queue, and makes the window smaller. Data out of order is
 * put behind the queue where it belongs. Left out: D-SACK (RFC 2883).
 */
import { ALLOWANCE_MAXIMUM } from './buffer-pool.ts'
import type { BufferPool } from './buffer-pool.ts'
import { ByteRing } from './byte-ring.ts'
import { Control, SACK_BLOCKS_MAXIMUM } from './segment.ts'
import type { Segment } from './segment.ts'
import { advance, distance, isBefore, later } from './sequence.ts'
import { RANGES_MAXIMUM, SequenceRanges } from './sequence-ranges.ts'

/** Shifts a window of ALLOWANCE_MAXIMUM into 16 bits. */
export const WINDOW_SCALE = 5
/** Milliseconds that an acknowledgment may wait for data to go with. RFC 1122 allows 500; a guest is near. */
const ACKNOWLEDGMENT_DELAY = 20

export interface ReceiverLink {
  /** Milliseconds. */
  readonly now: number
  /** Gives the user bytes in order, and returns how many he took; the array is not his. */
  deliver(bytes: Uint8Array): number
  /** There will be no more: FIN was received, and everything before it delivered. */
  deliverEnd(): void
}

export class Receiver {
  private readonly link: ReceiverLink
  private readonly pool: BufferPool
  readonly queue: ByteRing
  private readonly early = new SequenceRanges()
  /** Where data out of order arrived last, most recent first. */
  private recent: number[] = []

  /** RCV.NXT */
  next = 0
  /** The right edge of the window, as the peer knows it. */
  private edge = 0
  windowScale = 0
  /** The largest payload of a segment of the peer's, as far as we know. */
  private segmentSize = 536

  /** FIN is at `finAt`; it was received in order; the user knows. */
  private hasFin = false
  private finAt = 0
  finReceived = false
  private finDelivered = false

  /** When the acknowledgment must be sent, in ms; 0: at once. */
  acknowledgeAt = Infinity
  private unacknowledged = 0

  constructor(link: ReceiverLink, pool: BufferPool) {
    this.link = link
    this.pool = pool
    this.queue = new ByteRing(pool)
  }

  /** After the peer's SYN. */
  start(initialSequence: number, segmentSize: number): void {
    this.next = advance(initialSequence, 1)
    this.edge = this.next
    this.segmentSize = segmentSize
  }

  get window(): number { return distance(this.next, this.edge) }

  get hasEarly(): boolean { return this.early.length > 0 }

  /** RFC 9293, section 3.10.7.4, first step, but for a shut window, where acknowledgments are welcome as ever. */
  isAcceptable(segment: Segment): boolean {
    const end = advance(segment.sequence, segment.span)
    return distance(this.next, end) >= 0 && distance(segment.sequence, this.edge) >= 0
  }

  /** The payload and FIN of an acceptable segment. */
  receive(segment: Segment): void {
    if (segment.payloadLength > this.segmentSize) this.segmentSize = Math.min(segment.payloadLength, 65535)
    if (segment.has(Control.FIN)) this.noteFin(segment)
    const skip = Math.max(0, distance(segment.sequence, this.next))
    const from = advance(segment.sequence, skip)
    const limit = this.hasFin && isBefore(this.finAt, this.edge) ? this.finAt : this.edge
    const count = Math.min(segment.payloadLength - skip, distance(from, limit))
    if (count <= 0) this.acknowledgeAt = 0
    else if (from === this.next) this.receiveNext(segment, segment.payloadStart + skip, count)
    else this.receiveEarly(segment, from, count)
    this.checkFin()
  }

  /** The user takes bytes again. True if the window has become so much larger that the peer should know. */
  drain(): boolean {
    this.deliverQueue()
    const { window } = this
    const growth = this.available - window
    return window < this.segmentSize ? growth >= Math.min(this.segmentSize, this.allowance >> 1) : growth >= this.allowance >> 1
  }

  /**
   * The window field for a segment that is about to be sent. The right edge never goes back, and moves in steps that are worth it
   * (section 3.8.6.2.2).
   */
  advertise(isScaled: boolean): number {
    const scale = isScaled ? this.windowScale : 0
    const available = Math.min(this.available, 65535 << scale)
    const { window } = this
    const step = Math.min(this.segmentSize, this.allowance >> 1)
    if (available - window >= step) this.edge = advance(this.next, available)
    const field = Math.min(65535, (this.window + (1 << scale) - 1) >> scale)
    this.edge = later(this.edge, advance(this.next, field << scale))
    return field
  }

  /** A segment with an acknowledgment was sent. */
  acknowledged(): void {
    this.acknowledgeAt = Infinity
    this.unacknowledged = 0
  }

  /** Writes the blocks of the SACK option, and returns how many. RFC 2018, section 4: the most recent first. */
  sackBlocks(into: Int32Array, maximum: number): number {
    let count = 0
    for (const sequence of this.recent) {
      const index = this.early.indexOf(sequence)
      if (index < 0 || count === maximum || includes(into, count, this.early.start(index))) continue
      into[2 * count] = this.early.start(index)
      into[2 * count + 1] = this.early.end(index)
      count++
    }
    return count
  }

  clear(): void {
    this.queue.clear()
    this.early.clear()
    this.acknowledgeAt = Infinity
  }

  private get allowance(): number { return Math.min(this.pool.allowance, ALLOWANCE_MAXIMUM, 65535 << this.windowScale) }

  private get available(): number { return Math.max(0, this.allowance - this.queue.length) }

  private receiveNext(segment: Segment, start: number, count: number): void {
    const taken = this.queue.length === 0 && this.early.length === 0 ? this.deliverDirectly(segment, start, count) : 0
    if (taken < count && !this.queue.append(segment.bytes, start + taken, count - taken)) {
      this.advanceBy(taken)
      this.acknowledgeAt = 0
      return
    }
    this.advanceBy(count)
    if (this.early.length > 0) this.joinEarly()
    if (taken < count) this.deliverQueue()
  }

  private deliverDirectly(segment: Segment, start: number, count: number): number {
    return this.link.deliver(segment.bytes.subarray(start, start + count))
  }

  /** Every second segment is acknowledged at once, and what fills a gap. */
  private advanceBy(count: number): void {
    this.next = advance(this.next, count)
    this.unacknowledged += count
    if (this.unacknowledged >= 2 * Math.min(this.segmentSize, 1460) || this.early.length > 0) this.acknowledgeAt = 0
    else if (count > 0) this.acknowledgeAt = Math.min(this.acknowledgeAt, this.link.now + ACKNOWLEDGMENT_DELAY)
  }

  private joinEarly(): void {
    if (isBefore(this.next, this.early.start(0))) return
    const more = Math.max(0, distance(this.next, this.early.end(0)))
    this.queue.extend(more)
    this.next = advance(this.next, more)
    this.early.removeBefore(this.next)
    if (this.early.length === 0) this.recent = []
  }

  /** Without memory for it, or for its range, it is as if it had been lost. */
  private receiveEarly(segment: Segment, from: number, count: number): void {
    this.acknowledgeAt = 0
    const skip = distance(segment.sequence, from)
    const offset = this.queue.length + distance(this.next, from)
    if (this.early.length === RANGES_MAXIMUM || !this.queue.place(offset, segment.bytes, segment.payloadStart + skip, count)) return
    this.early.add(from, advance(from, count))
    if (this.recent.length === SACK_BLOCKS_MAXIMUM) this.recent.pop()
    this.recent.unshift(from)
  }

  private noteFin(segment: Segment): void {
    const at = advance(segment.sequence, segment.payloadLength)
    if (this.hasFin || isBefore(at, this.next) || isBefore(this.edge, at)) return
    this.hasFin = true
    this.finAt = at
  }

  private checkFin(): void {
    if (!this.hasFin || this.finReceived || this.next !== this.finAt) return
    this.next = advance(this.next, 1)
    this.edge = later(this.edge, this.next)
    this.finReceived = true
    this.acknowledgeAt = 0
    this.deliverFin()
  }

  private deliverQueue(): void {
    while (this.queue.length > 0) {
      const bytes = this.queue.peek()
      const taken = this.link.deliver(bytes)
      this.queue.consume(taken)
      if (taken < bytes.length) return
    }
    this.deliverFin()
  }

  private deliverFin(): void {
    if (!this.finReceived || this.finDelivered || this.queue.length > 0) return
    this.finDelivered = true
    this.link.deliverEnd()
  }
}

function includes(blocks: Int32Array, count: number, start: number): boolean {
  for (let index = 0; index < count; index++) if (blocks[2 * index] === start) return true
  return false
}
