import type { BlockNode, Extent } from '../../storage/block-node.ts'
import { storageError } from '../../storage/errors.ts'

const CHUNK = 64 * 1024

/** A disk in memory: zeros until they are written, chunk by chunk, and gone when it is closed. */
export class MemoryNode implements BlockNode {
  readonly kind = 'memory'
  readonly children = {}
  readonly readOnly = false
  readonly #chunks = new Map<number, Uint8Array>()
  #size: number
  #isOpen = true

  constructor(size: number) { this.#size = size }

  get size(): number { return this.#size }

  async read(offset: number, into: readonly Uint8Array[]): Promise<void> {
    let at = offset
    for (const piece of into) {
      this.#pieces(at, piece.length, (chunk, start, done, count) => {
        const bytes = this.#chunks.get(chunk)
        if (bytes === undefined) piece.fill(0, done, done + count)
        else piece.set(bytes.subarray(start, start + count), done)
      })
      at += piece.length
    }
  }

  async write(offset: number, from: readonly Uint8Array[]): Promise<void> {
    let at = offset
    for (const piece of from) {
      this.#pieces(at, piece.length, (chunk, start, done, count) => this.#chunk(chunk).set(piece.subarray(done, done + count), start))
      at += piece.length
    }
  }

  async flush(): Promise<void> { this.#check(0, 0) }

  async discard(offset: number, length: number): Promise<void> { return this.writeZeroes(offset, length, true) }

  async writeZeroes(offset: number, length: number, _mayUnmap: boolean): Promise<void> {
    this.#pieces(offset, length, (chunk, start, _, count) => {
      if (count === CHUNK) this.#chunks.delete(chunk)
      else this.#chunks.get(chunk)?.fill(0, start, start + count)
    })
  }

  async extent(offset: number, length: number): Promise<Extent> {
    this.#check(offset, length)
    const inChunk = CHUNK - offset % CHUNK
    return { state: this.#chunks.has(Math.floor(offset / CHUNK)) ? 'data' : 'hole', length: Math.min(length, inChunk) }
  }

  async resize(size: number): Promise<void> {
    if (size < this.#size) await this.writeZeroes(size, this.#size - size, true)
    this.#size = size
  }

  async close(): Promise<void> {
    this.#isOpen = false
    this.#chunks.clear()
  }

  #check(offset: number, length: number): void {
    if (!this.#isOpen) throw storageError('DISK_CLOSED', 'the disk in memory was closed: open another one')
    if (offset < 0 || offset + length > this.#size) {
      throw storageError('DISK_OUT_OF_RANGE', `the disk in memory has ${this.#size} bytes; ${length} at ${offset} are not in it`)
    }
  }

  #chunk(number: number): Uint8Array {
    const chunk = this.#chunks.get(number) ?? new Uint8Array(CHUNK)
    this.#chunks.set(number, chunk)
    return chunk
  }

  /** Calls `visit` for the part of a range in each chunk: its number, where in it, how many bytes came before, how many these are. */
  #pieces(offset: number, length: number, visit: (chunk: number, start: number, done: number, count: number) => void): void {
    this.#check(offset, length)
    for (let done = 0; done < length;) {
      const start = (offset + done) % CHUNK
      const count = Math.min(CHUNK - start, length - done)
      visit(Math.floor((offset + done) / CHUNK), start, done, count)
      done += count
    }
  }
}
