/**
 * Congestion control: NewReno, RFC 5681 and 6582, with the initial window of RFC 6928 and byte counting (RFC 3465). Its limit for
 * slow start is left out: a guest that takes 64 KiB at once acknowledges them at once.
 *
 * What is congested here is a guest: its card's ring is full, or its kernel has no memory. The round trip is so short that CUBIC (RFC
 * 9438) would run in its Reno-friendly region, and be the same.
 */

const WINDOW_MAXIMUM = 1 << 24

export class Congestion {
  private segmentSize: number
  private threshold = WINDOW_MAXIMUM
  private bytes: number
  /** Bytes acknowledged since the window last grew in congestion avoidance. */
  private counted = 0
  private windowBefore = 0
  private thresholdBefore = 0

  constructor(segmentSize: number) {
    this.segmentSize = segmentSize
    this.bytes = initialWindow(segmentSize)
  }

  /** cwnd, in bytes. */
  get window(): number { return this.bytes }

  /** The link's packets are smaller than thought, or the handshake has said how large they are. */
  setSegmentSize(size: number, isInitial: boolean): void {
    this.segmentSize = size
    if (isInitial) this.bytes = initialWindow(size)
  }

  /** New bytes were acknowledged, and the window was what held the sender back. */
  acknowledged(bytes: number): void {
    if (this.bytes < this.threshold) {
      this.setWindow(Math.min(this.bytes + bytes, this.threshold))
      return
    }
    this.counted += bytes
    if (this.counted < this.bytes) return
    this.counted -= this.bytes
    this.setWindow(this.bytes + this.segmentSize)
  }

  /**
   * Loss, seen by duplicate acknowledgments or SACK. `flight`: bytes that are not acknowledged. RFC 5681, equation 4, but for
   * what recovery has sent beyond the window while the first bytes were missing.
   */
  enterRecovery(flight: number): void {
    this.reduceThreshold(flight)
    this.bytes = this.threshold
  }

  leaveRecovery(): void { this.bytes = Math.min(this.bytes, this.threshold) }

  /** The retransmission timer has expired, for the first time for these bytes. */
  timedOut(flight: number): void {
    this.reduceThreshold(flight)
    this.bytes = this.segmentSize
  }

  /** It was not loss but a guest that stood still for a while. RFC 4015, section 3.2. */
  undo(): void {
    this.threshold = this.thresholdBefore
    this.bytes = this.windowBefore
  }

  private reduceThreshold(flight: number): void {
    this.windowBefore = this.bytes
    this.thresholdBefore = this.threshold
    this.threshold = Math.max(Math.min(flight, this.bytes) >> 1, 2 * this.segmentSize)
    this.counted = 0
  }

  private setWindow(bytes: number): void { this.bytes = Math.min(WINDOW_MAXIMUM, bytes) }
}

/** RFC 6928, section 2. */
function initialWindow(segmentSize: number): number {
  return Math.min(10 * segmentSize, Math.max(2 * segmentSize, 14600))
}
