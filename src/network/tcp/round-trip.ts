/**
 * The retransmission time-out: RFC 6298. Times are in milliseconds.
 *
 * Left out on purpose: the minimum of one second (section 2.4). The guests' link has a round trip of a millisecond, and the common
 * systems use 200 ms as well.
 */
const MINIMUM = 200
const MAXIMUM = 60_000
/** Before there is a measurement. RFC 6298, section 2.1. */
const INITIAL = 1000
const GRANULARITY = 1

export class RoundTrip {
  private smoothed = -1
  private variation = 0
  private base = INITIAL
  private doublings = 0

  /** The time-out as it is now, with its doublings. */
  get timeout(): number { return Math.min(MAXIMUM, this.base * 2 ** this.doublings) }

  /** A measurement, of a segment that was sent once (Karn's algorithm) or is known by its timestamp. It ends the doublings. */
  measured(milliseconds: number): void {
    if (this.smoothed < 0) {
      this.smoothed = milliseconds
      this.variation = milliseconds / 2
    } else {
      this.variation += (Math.abs(this.smoothed - milliseconds) - this.variation) / 4
      this.smoothed += (milliseconds - this.smoothed) / 8
    }
    this.base = Math.max(MINIMUM, Math.round(this.smoothed + Math.max(GRANULARITY, 4 * this.variation)))
    this.doublings = 0
  }

  /** The time-out has passed in vain. Section 5.5. */
  double(): void { this.doublings = Math.min(16, this.doublings + 1) }

  /** The peer has answered, so that what follows is as urgent as ever. */
  undouble(): void { this.doublings = 0 }
}
