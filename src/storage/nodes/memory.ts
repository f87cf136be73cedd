/**
 * A disk in memory, for temporary data and tests. Only blocks of 64 KiB that were written take room; it is gone when it is closed.
 *
 * It never takes more than `limit` bytes: a write beyond it is refused with DISK_FULL.
 */
import type { BlockNode, Extent } from '../block-node.ts'
import { byteLength, type Buffers } from '../buffers.ts'
import { storageError } from '../errors.ts'
import { checkSize, checkWritable, Gate } from '../gate.ts'

const BLOCK = 65536

export interface MemoryOptions {
  readonly size: number
  readonly readOnly?: boolean
  /** What it holds at first, from its start on; default: zeros. */
  readonly content?: Uint8Array
  /** Bytes of data at most; default: as many as the disk has. */
  readonly limit?: number
}

export class MemoryNode implements BlockNode {
  readonly kind = 'memory'
  readonly readOnly: boolean
  readonly children = {}
  private bytes: number
  private readonly limit: number
  private readonly blocks = new Map<number, Uint8Array>()
  private readonly gate = new Gate('the disk in memory')

  constructor(options: MemoryOptions) {
    checkSize('a disk in memory', options.size)
    this.bytes = options.size
    this.readOnly = options.readOnly === true
    this.limit = options.limit ?? Infinity
    const { content } = options
    if (content !== undefined) this.eachPart(0, [content], (block, start, part) => this.blockToWrite(block).set(part, start))
  }

  get size(): number { return this.bytes }

  /** Bytes of memory that its data takes. */
  get occupied(): number { return this.blocks.size * BLOCK }

  read(offset: number, into: Buffers): Promise<void> {
    return this.gate.access(this, offset, byteLength(into), false, async () => {
      this.eachPart(offset, into, (block, start, part) => {
        const bytes = this.blocks.get(block)
        if (bytes === undefined) part.fill(0)
        else part.set(bytes.subarray(start, start + part.length))
      })
    })
  }

  write(offset: number, from: Buffers): Promise<void> {
    return this.gate.access(this, offset, byteLength(from), true, async () => {
      this.eachPart(offset, from, (block, start, part) => this.blockToWrite(block).set(part, start))
    })
  }

  flush(): Promise<void> { return this.gate.run(async () => {}) }

  discard(offset: number, length: number): Promise<void> { return this.writeZeroes(offset, length) }

  writeZeroes(offset: number, length: number): Promise<void> {
    return this.gate.access(this, offset, length, true, async () => this.clear(offset, offset + length))
  }

  extent(offset: number, length: number): Promise<Extent> {
    return this.gate.access(this, offset, length, false, async () => {
      const data = this.blocks.has(Math.floor(offset / BLOCK))
      const end = data ? this.endOfData(offset, length) : this.endOfHole(offset)
      return { state: data ? 'data' : 'hole', length: Math.min(end, this.bytes) - offset }
    })
  }

  resize(size: number): Promise<void> {
    return this.gate.run(async () => {
      checkWritable('the disk in memory', this)
      checkSize('the disk in memory', size)
      if (size < this.bytes) this.clear(size, this.bytes)
      this.bytes = size
    })
  }

  close(): Promise<void> { return this.gate.close(async () => this.blocks.clear()) }

  private blockToWrite(block: number): Uint8Array {
    const found = this.blocks.get(block)
    if (found !== undefined) return found
    if (this.occupied + BLOCK > this.limit) {
      throw storageError('DISK_FULL', `the disk in memory has reached its limit of ${this.limit} bytes`)
    }
    const bytes = new Uint8Array(BLOCK)
    this.blocks.set(block, bytes)
    return bytes
  }

  private endOfData(offset: number, length: number): number {
    let next = Math.floor(offset / BLOCK) + 1
    while (next * BLOCK < offset + length && this.blocks.has(next)) next++
    return next * BLOCK
  }

  /** By what there is, not by what there is not: a hole may be of any length. */
  private endOfHole(offset: number): number {
    let end = this.bytes
    for (const block of this.blocks.keys()) if (block * BLOCK > offset) end = Math.min(end, block * BLOCK)
    return end
  }

  private clear(start: number, end: number): void {
    if ((end - start) / BLOCK > this.blocks.size) for (const block of this.blocks.keys()) this.clearBlock(block, start, end)
    else for (let block = Math.floor(start / BLOCK); block * BLOCK < end; block++) this.clearBlock(block, start, end)
  }

  private clearBlock(block: number, start: number, end: number): void {
    const from = Math.max(0, start - block * BLOCK)
    const to = Math.min(BLOCK, end - block * BLOCK)
    if (from >= to) return
    if (from === 0 && (to === BLOCK || end === this.bytes)) this.blocks.delete(block)
    else this.blocks.get(block)?.fill(0, from, to)
  }

  private eachPart(offset: number, buffers: Buffers, visit: (block: number, start: number, part: Uint8Array) => void): void {
    let at = offset
    for (const buffer of buffers) {
      for (let done = 0; done < buffer.length;) {
        const start = at % BLOCK
        const part = buffer.subarray(done, done + BLOCK - start)
        visit(Math.floor(at / BLOCK), start, part)
        done += part.length
        at += part.length
      }
    }
  }
}
