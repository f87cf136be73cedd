/**
 * How much the segments of a disk are used: a count for each access, halved from time to time, so that what was hot long ago cools
 * down. Bounded: when there are too many segments, those that were used least are forgotten.
 */
export class TierHeat {
  private readonly counts = new Map<number, number>()
  private readonly capacity: number
  private accesses = 0

  /** Remembers some `capacity` segments. */
  constructor(capacity: number) { this.capacity = capacity }

  /** Counts an access. Returns the segment's heat. */
  touch(segment: number): number {
    const count = (this.counts.get(segment) ?? 0) + 1
    this.counts.set(segment, count)
    if (++this.accesses >= this.capacity * 8 || this.counts.size > this.capacity * 2) this.cool()
    return count
  }

  of(segment: number): number { return this.counts.get(segment) ?? 0 }

  private cool(): void {
    this.accesses = 0
    for (const [segment, count] of this.counts) {
      if (count < 2) this.counts.delete(segment)
      else this.counts.set(segment, count >>> 1)
    }
  }
}
