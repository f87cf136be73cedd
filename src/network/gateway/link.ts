import type { Frame, FrameEnd, Segmentation } from '../../machine/frame.ts'
import type { Counters } from './counters.ts'
import type { HeldFrame } from './neighbours.ts'

/** The gateway's cable: one frame object and one buffer for all that is sent. */
export class Link {
  /**
   * A payload of up to 64 KiB is written at `PAYLOAD`; headers go right before it: 40 bytes of IPv6 and 14 of Ethernet, or what
   * fragments need.
   */
  readonly buffer = new Uint8Array(PAYLOAD + 0x10000)
  private readonly frame: Frame
  private readonly counters: Counters
  private readonly onReady: () => void
  private end: FrameEnd | null = null
  private refused = false

  constructor(counters: Counters, onReady: () => void) {
    this.counters = counters
    this.onReady = onReady
    this.frame = {
      bytes: this.buffer, start: 0, length: 0, checksumStart: -1, checksumOffset: 0, checksumValid: true, segmentation: 'none',
      segmentSize: 0,
    }
  }

  connect(end: FrameEnd): void { this.end = end }

  disconnect(): void { this.end = null }

  /** The other end has room again. */
  ready(): void {
    if (!this.refused) return
    this.refused = false
    this.onReady()
  }

  /** Sends a finished frame. False: there was no room. */
  send(bytes: Uint8Array, start: number, length: number): boolean {
    return this.sendPartial(bytes, start, length, -1, 0, 'none', 0)
  }

  sendHeld(held: HeldFrame): void {
    const { bytes, checksumStart, checksumOffset, segmentation, segmentSize } = held
    if (!this.sendPartial(bytes, 0, bytes.length, checksumStart, checksumOffset, segmentation, segmentSize)) this.counters.drop('link-full')
  }

  /** Sends a frame that lacks a checksum, and is to be cut perhaps: see machine/frame.ts. */
  sendPartial(
    bytes: Uint8Array, start: number, length: number, checksumStart: number, checksumOffset: number, segmentation: Segmentation,
    segmentSize: number): boolean {
    const { frame } = this
    frame.bytes = bytes
    frame.start = start
    frame.length = length
    frame.checksumStart = checksumStart
    frame.checksumOffset = checksumOffset
    frame.segmentation = segmentation
    frame.segmentSize = segmentSize
    if (this.end === null || !this.end.receive(frame)) {
      this.refused = true
      return false
    }
    this.counters.framesSent++
    return true
  }
}

export const PAYLOAD = 64
