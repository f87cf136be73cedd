/**
 * The memory of all connections' data, with one bound for all. A buffer is taken when there is something to put into it, and given back
 * when it is empty, so that an idle connection has none.
 *
 * Sizes are powers of two. How much one connection may hold shrinks with what is left (`allowance`): some hundred greedy connections
 * leave room for the next one, without anybody counting shares.
 */
export const BUFFER_SIZE_MINIMUM = 2048
export const BUFFER_SIZE_MAXIMUM = 1 << 20
/** What a connection's direction holds at most. The buffer has room for one more piece of data that is already under way. */
export const ALLOWANCE_MAXIMUM = BUFFER_SIZE_MAXIMUM - 65536
/** What a connection may have whatever the others hold: less, and none of them would move on. */
export const ALLOWANCE_MINIMUM = 4096

/** Bytes of unused buffers that are kept; the others are left to the garbage collector. */
const KEPT_MAXIMUM = 8 << 20

export class BufferPool {
  /** Bytes, beyond which there are only buffers of `ALLOWANCE_MINIMUM`. */
  readonly limit: number
  private taken = 0
  private kept = 0
  private readonly unused: Uint8Array[][] = Array.from({ length: sizeClass(BUFFER_SIZE_MAXIMUM) + 1 }, () => [])

  constructor(limit: number) { this.limit = limit }

  /** Bytes that are in use. */
  get used(): number { return this.taken }

  /** Bytes that one direction of a connection should hold at most, as things stand. */
  get allowance(): number {
    const share = (this.limit - this.taken) >> 2
    return Math.max(ALLOWANCE_MINIMUM, Math.min(ALLOWANCE_MAXIMUM, share))
  }

  /**
   * A buffer of at least `size` bytes; its bytes are anything. Null if that is more than BUFFER_SIZE_MAXIMUM or would be too much memory,
   * unless it `must` be: for data that has arrived and cannot be refused.
   */
  take(size: number, must = false): Uint8Array | null {
    if (size > BUFFER_SIZE_MAXIMUM) return null
    const index = sizeClass(size)
    const bytes = BUFFER_SIZE_MINIMUM << index
    if (this.taken + bytes > this.limit && bytes > ALLOWANCE_MINIMUM && !must) return null
    this.taken += bytes
    const buffer = this.unused[index].pop()
    if (buffer === undefined) return new Uint8Array(bytes)
    this.kept -= bytes
    return buffer
  }

  /** Gives back what `take` gave. */
  give(buffer: Uint8Array): void {
    this.taken -= buffer.length
    if (this.kept + buffer.length > KEPT_MAXIMUM) return
    this.kept += buffer.length
    this.unused[sizeClass(buffer.length)].push(buffer)
  }
}

function sizeClass(size: number): number {
  return size <= BUFFER_SIZE_MINIMUM ? 0 : 32 - Math.clz32((size - 1) / BUFFER_SIZE_MINIMUM)
}
