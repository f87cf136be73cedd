import { distance, isAfter, isBefore, later, earlier } from './sequence.ts'

/** Ranges that are remembered at most. What a peer says beyond that is forgotten, and retransmission does the rest. */
export const RANGES_MAXIMUM = 32

const EMPTY = new Int32Array(0)

/**
 * Disjoint ranges of sequence numbers, in order: what arrived out of order, or what the peer said that it has (the scoreboard of RFC
 * 6675). Bounded, and without memory while it is empty. All numbers in it are less than 2^31 apart.
 */
export class SequenceRanges {
  private pairs: Int32Array = EMPTY
  private count = 0
  private sum = 0

  get length(): number { return this.count }

  /** Bytes in all ranges. */
  get bytes(): number { return this.sum }

  start(index: number): number { return this.pairs[2 * index] }

  /** The number after the range's last. */
  end(index: number): number { return this.pairs[2 * index + 1] }

  /** Adds from `start` to before `end`; false if that would be one range too many. */
  add(start: number, end: number): boolean {
    let first = 0
    while (first < this.count && isBefore(this.end(first), start)) first++
    let after = first
    while (after < this.count && !isAfter(this.start(after), end)) after++
    if (first === after) return this.insert(first, start, end)
    this.merge(first, after, start, end)
    return true
  }

  /** Forgets everything before `sequence`. */
  removeBefore(sequence: number): void {
    let gone = 0
    while (gone < this.count && !isAfter(this.end(gone), sequence)) this.sum -= distance(this.start(gone), this.end(gone++))
    if (gone > 0) this.remove(0, gone)
    if (this.count > 0 && isBefore(this.start(0), sequence)) {
      this.sum -= distance(this.start(0), sequence)
      this.pairs[0] = sequence
    }
  }

  clear(): void {
    this.pairs = EMPTY
    this.count = 0
    this.sum = 0
  }

  /** The range that holds `sequence`, or -1. */
  indexOf(sequence: number): number {
    for (let index = 0; index < this.count; index++) {
      if (!isAfter(this.start(index), sequence) && isAfter(this.end(index), sequence)) return index
    }
    return -1
  }

  /** Bytes between two numbers that are in a range. */
  bytesBetween(from: number, to: number): number {
    let bytes = 0
    for (let index = 0; index < this.count; index++) {
      bytes += Math.max(0, distance(later(this.start(index), from), earlier(this.end(index), to)))
    }
    return bytes
  }

  /** The first number from `from` on that is in no range. */
  firstMissing(from: number): number {
    const index = this.indexOf(from)
    return index < 0 ? from : this.end(index)
  }

  /** The first number from `from` on that is in a range; `limit` if that comes first, or there is none. */
  firstPresent(from: number, limit: number): number {
    for (let index = 0; index < this.count; index++) {
      if (isAfter(this.end(index), from)) return earlier(later(this.start(index), from), limit)
    }
    return limit
  }

  private insert(at: number, start: number, end: number): boolean {
    if (this.count === RANGES_MAXIMUM) return false
    if (2 * this.count === this.pairs.length) this.grow()
    this.pairs.copyWithin(2 * at + 2, 2 * at, 2 * this.count)
    this.pairs[2 * at] = start
    this.pairs[2 * at + 1] = end
    this.count++
    this.sum += distance(start, end)
    return true
  }

  /** The ranges from `first` to before `after` touch the new one. */
  private merge(first: number, after: number, start: number, end: number): void {
    for (let index = first; index < after; index++) this.sum -= distance(this.start(index), this.end(index))
    this.pairs[2 * first] = earlier(start, this.start(first))
    this.pairs[2 * first + 1] = later(end, this.end(after - 1))
    this.sum += distance(this.start(first), this.end(first))
    if (after > first + 1) this.remove(first + 1, after)
  }

  private remove(first: number, after: number): void {
    this.pairs.copyWithin(2 * first, 2 * after, 2 * this.count)
    this.count -= after - first
    if (this.count === 0) this.pairs = EMPTY
  }

  private grow(): void {
    const larger = new Int32Array(Math.max(8, 2 * this.pairs.length))
    larger.set(this.pairs)
    this.pairs = larger
  }
}
