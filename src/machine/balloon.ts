/**
 * A memory balloon: guests give memory back through it, and say how they are.
 */

/** Where pages are given back to. */
export interface ReleasableMemory {
  /**
   * The guest does not need what is in these pages, pairs of a first guest-physical page and a count; it may still use them, and finds
   * zeros then. Pages that are not RAM are left alone.
   */
  releasePages(ranges: readonly number[]): void
}

/** Bytes, and events since the guest started; what a guest does not tell is left out. */
export interface BalloonStatistics {
  readonly swapIn?: bigint
  readonly swapOut?: bigint
  readonly majorFaults?: bigint
  readonly minorFaults?: bigint
  readonly free?: bigint
  readonly total?: bigint
  readonly available?: bigint
  readonly caches?: bigint
  readonly hugePageAllocations?: bigint
  readonly hugePageFailures?: bigint
}

/** What the host hears. */
export interface BalloonBackend {
  /** The guest has so many bytes in the balloon now. */
  resized?(bytes: number): void
  /** The answer to `Balloon.requestStatistics`, and once when the driver starts. */
  statistics?(statistics: BalloonStatistics): void
}

/** What the host may ask. */
export interface Balloon {
  /** Bytes in the balloon, as the guest says. */
  readonly size: number
  /** Asks the guest to have so many bytes in the balloon, in whole pages. It may never get there. */
  setTarget(bytes: number): void
  /** False: the guest has no driver that tells, or has not answered the last request yet. */
  requestStatistics(): boolean
}
