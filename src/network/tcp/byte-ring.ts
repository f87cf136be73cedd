import type { BufferPool } from './buffer-pool.ts'

const EMPTY = new Uint8Array(0)

/**
 * Bytes of one direction of a connection: a queue, behind whose end there may be bytes that arrived before their predecessors. Its
 * buffer comes from the pool, grows with what is in it, and goes back when nothing is.
 *
 * Offsets count from the first byte of the queue.
 */
export class ByteRing {
  private readonly pool: BufferPool
  private buffer: Uint8Array = EMPTY
  private head = 0
  private queued = 0
  /** Where the last byte that was placed ends, at least `queued`. */
  private extent = 0

  constructor(pool: BufferPool) { this.pool = pool }

  /** Bytes in the queue. */
  get length(): number { return this.queued }

  /** Bytes of memory. */
  get capacity(): number { return this.buffer.length }

  /**
   * Copies bytes to an offset, in the queue or behind its end, without making the queue longer. False, and nothing has changed, if
   * there is no memory for it; `must` as in `BufferPool.take`.
   */
  place(offset: number, bytes: Uint8Array, start: number, count: number, must = false): boolean {
    const end = offset + count
    if (end > this.buffer.length && !this.grow(end, must)) return false
    const mask = this.buffer.length - 1
    const at = (this.head + offset) & mask
    const first = Math.min(count, this.buffer.length - at)
    copy(bytes, start, this.buffer, at, first)
    if (first < count) copy(bytes, start + first, this.buffer, 0, count - first)
    this.extent = Math.max(this.extent, end)
    return true
  }

  /** The next `count` bytes, which were placed, belong to the queue from now on. */
  extend(count: number): void { this.queued += count }

  append(bytes: Uint8Array, start: number, count: number, must = false): boolean {
    if (!this.place(this.queued, bytes, start, count, must)) return false
    this.extend(count)
    return true
  }

  /** A view of the first bytes, as many as lie together; valid until the ring is changed. */
  peek(): Uint8Array {
    return this.buffer.subarray(this.head, Math.min(this.head + this.queued, this.buffer.length))
  }

  /** Copies `count` bytes from an offset in the queue. */
  copyTo(offset: number, count: number, target: Uint8Array, targetStart: number): void {
    const at = (this.head + offset) & (this.buffer.length - 1)
    const first = Math.min(count, this.buffer.length - at)
    copy(this.buffer, at, target, targetStart, first)
    if (first < count) copy(this.buffer, 0, target, targetStart + first, count - first)
  }

  /** Forgets the first bytes. */
  consume(count: number): void {
    this.queued -= count
    this.extent -= count
    if (this.extent === 0) this.release()
    else this.head = (this.head + count) & (this.buffer.length - 1)
  }

  /** Forgets all. */
  clear(): void {
    this.queued = 0
    this.extent = 0
    this.release()
  }

  private release(): void {
    if (this.buffer.length > 0) this.pool.give(this.buffer)
    this.buffer = EMPTY
    this.head = 0
  }

  private grow(size: number, must: boolean): boolean {
    const larger = this.pool.take(size, must)
    if (larger === null) return false
    const { extent, queued } = this
    if (extent > 0) this.copyTo(0, extent, larger, 0)
    this.release()
    this.buffer = larger
    this.queued = queued
    this.extent = extent
    return true
  }
}

/** Copies without a view for what is short: most pieces of a conversation are. */
function copy(source: Uint8Array, start: number, target: Uint8Array, targetStart: number, count: number): void {
  if (count >= 64) target.set(source.subarray(start, start + count), targetStart)
  else for (let at = 0; at < count; at++) target[targetStart + at] = source[start + at]
}
