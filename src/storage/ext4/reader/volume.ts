/**
 * Blocks of a file system that is only read: with those in a journal's place of the ones on the disk, if the file system was not
 * unmounted, and with a small cache for metadata.
 */
import type { BlockNode } from '../../block-node.ts'
import { storageError } from '../../errors.ts'
import { decodeSuperblock, SUPERBLOCK_OFFSET, SUPERBLOCK_SIZE } from './superblock.ts'
import type { Superblock } from './superblock.ts'

export type Ext4Source = Pick<BlockNode, 'size' | 'read'>

const CACHED_BLOCKS = 64

export class Volume {
  readonly superblock: Superblock
  private readonly source: Ext4Source
  private readonly cache = new Map<number, Uint8Array>()
  /** Blocks whose newest content is elsewhere: block to block. */
  private moved: ReadonlyMap<number, JournalBlock> = new Map()

  private constructor(source: Ext4Source, superblock: Superblock) {
    this.source = source
    this.superblock = superblock
  }

  static async open(source: Ext4Source): Promise<Volume> {
    const bytes = new Uint8Array(SUPERBLOCK_SIZE)
    if (source.size >= SUPERBLOCK_OFFSET + SUPERBLOCK_SIZE) await source.read(SUPERBLOCK_OFFSET, [bytes])
    return new Volume(source, decodeSuperblock(bytes, source.size))
  }

  /** From now on, these blocks are read from the journal. */
  overlay(moved: ReadonlyMap<number, JournalBlock>): void {
    this.moved = moved
    this.cache.clear()
  }

  /** A block of metadata. Not to be changed. */
  async block(number: number): Promise<Uint8Array> {
    const known = this.cache.get(number)
    this.cache.delete(number)
    const bytes = known ?? await this.read(number, 1)
    this.cache.set(number, bytes)
    if (this.cache.size > CACHED_BLOCKS) this.cache.delete(this.cache.keys().next().value!)
    return bytes
  }

  /** Blocks that follow each other, as one array. Throws TenonError DISK_CORRUPT outside the file system, and what the source throws. */
  async read(first: number, count: number): Promise<Uint8Array> {
    const { blockSize, blocks } = this.superblock
    if (first < 0 || count < 1 || first + count > blocks) throw this.corrupt(`block ${first} is outside of it`)
    const bytes = new Uint8Array(count * blockSize)
    await this.source.read(first * blockSize, [bytes])
    if (this.moved.size > 0) await this.patch(first, count, bytes)
    return bytes
  }

  corrupt(what: string): Error {
    return storageError('DISK_CORRUPT', `the ext4 file system ${this.superblock.label} cannot be read, ${what}: have e2fsck look at it`)
  }

  private async patch(first: number, count: number, bytes: Uint8Array): Promise<void> {
    const { blockSize } = this.superblock
    for (let index = 0; index < count; index++) {
      const journal = this.moved.get(first + index)
      if (journal === undefined) continue
      const into = bytes.subarray(index * blockSize, (index + 1) * blockSize)
      await this.source.read(journal.block * blockSize, [into])
      if (journal.isEscaped) into.set(JOURNAL_MAGIC)
    }
  }
}

/** What all blocks of a journal's own begin with. */
export const JOURNAL_MAGIC = Uint8Array.of(0xc0, 0x3b, 0x39, 0x98)

export interface JournalBlock {
  readonly block: number
  /** Its first four bytes were the journal's magic number, and were cleared. */
  readonly isEscaped: boolean
}
