import { storageError } from '../errors.ts'
import { RangeLock } from '../range-lock.ts'
import type { StorageFile } from '../storage-file.ts'
import { FOOTER_LENGTH, putU32, SECTOR, u32, UNUSED_BLOCK } from './layout.ts'
import { SectorBitmap } from './sector-bitmap.ts'

export interface BlocksLayout {
  readonly tableOffset: number
  /** Bytes of a block's data. */
  readonly blockSize: number
  /** Blocks that the disk has. */
  readonly count: number
  /** Where the first block can be, at the earliest: behind header, table and locators. */
  readonly firstPosition: number
  /** The footer's bytes, which are written behind the last block again and again. */
  readonly footer: Uint8Array
  /** New blocks have all their sectors: those of a dynamic disk, which are zeros. */
  readonly isNewBlockFull: boolean
}

/** Bytes of bitmaps that are kept. */
const CACHE_BYTES = 4 << 20
const ENTRIES_PER_SECTOR = SECTOR / 4

/**
 * The blocks of a dynamic disk: the allocation table, which is in memory as a whole, and a bounded number of sector bitmaps.
 *
 * What a crash leaves is right because table and bitmaps are written by `commit` only, between two flushes: what they lead to is on
 * stable storage before they are. A new block is behind all others, where the footer was. Until the footer is written again behind it,
 * and after a crash that loses it, the copy at the file's start stands in.
 */
export class Blocks {
  private readonly file: StorageFile
  private readonly layout: BlocksLayout
  private readonly table: Uint32Array
  /** Where the next block goes, and the footer is. */
  private end: number
  /** There is no footer at `end`, or something behind it. */
  private isTailDirty: boolean
  private readonly bitmaps = new Map<number, SectorBitmap>()
  private readonly loading = new Map<number, Promise<SectorBitmap>>()
  private readonly allocating = new RangeLock()
  private readonly committing = new RangeLock()
  /** What differs from the file. */
  private dirtyEntries = new Set<number>()
  private dirtyBitmaps = new Set<number>()
  /** Are being written: like dirty ones, they must not be read from the file. */
  private writtenBitmaps: ReadonlySet<number> = new Set()

  private constructor(file: StorageFile, layout: BlocksLayout, table: Uint32Array, end: number, isTailDirty: boolean) {
    this.file = file
    this.layout = layout
    this.table = table
    this.end = end
    this.isTailDirty = isTailDirty
  }

  /** Reads the table. Rejects with DISK_CORRUPT if blocks lie over each other or where they cannot be. */
  static async load(file: StorageFile, layout: BlocksLayout): Promise<Blocks> {
    const bytes = new Uint8Array(layout.count * 4)
    await file.read(layout.tableOffset, [bytes])
    const table = Uint32Array.from({ length: layout.count }, (_, index) => u32(bytes, index * 4))
    const end = checkTable(file, layout, table)
    return new Blocks(file, layout, table, end, file.size !== end + FOOTER_LENGTH)
  }

  get sectorsPerBlock(): number { return this.layout.blockSize / SECTOR }

  isAllocated(block: number): boolean { return this.table[block] !== UNUSED_BLOCK }

  /** Where the data of an allocated block starts in the file. */
  dataPosition(block: number): number { return this.table[block] * SECTOR + bitmapLength(this.layout.blockSize) }

  /** The bitmap of an allocated block. It may be another object after the next await. */
  async bitmap(block: number): Promise<SectorBitmap> {
    const known = this.bitmaps.get(block)
    if (known === undefined) return this.load(block)
    this.bitmaps.delete(block)
    this.bitmaps.set(block, known)
    return known
  }

  /** Notes that sectors have been written. Its data must have been written before. */
  async markWritten(block: number, start: number, end: number): Promise<void> {
    const bitmap = await this.bitmap(block)
    if (bitmap.set(start, end)) this.dirtyBitmaps.add(block)
    if (this.dirtyBitmaps.size * bitmap.bytes.length > CACHE_BYTES / 2) await this.commit()
  }

  /** Makes room for a block that has none. It is zeros, or all the parent's. */
  allocate(block: number): Promise<void> {
    return this.allocating.run(0, 1, true, async () => {
      if (this.isAllocated(block)) return
      if (this.isTailDirty) await this.restoreTail()
      const length = bitmapLength(this.layout.blockSize)
      const position = this.end
      const end = position + length + this.layout.blockSize
      if (end / SECTOR >= UNUSED_BLOCK) throw storageError('DISK_FULL', `${this.file.path} has reached 2 TiB, the most that a VHD can have`)
      const bytes = new Uint8Array(length).fill(this.layout.isNewBlockFull ? 0xff : 0)
      this.isTailDirty = true
      await this.file.write(end, [this.layout.footer])
      await this.file.write(position, [bytes])
      this.isTailDirty = false
      this.end = end
      this.table[block] = position / SECTOR
      this.dirtyEntries.add(block)
      this.keep(block, new SectorBitmap(bytes, this.sectorsPerBlock))
    })
  }

  /** All that was written before is on stable storage afterwards. */
  commit(): Promise<void> {
    return this.committing.run(0, 1, true, async () => {
      const entries = this.dirtyEntries
      const bitmaps = [...this.dirtyBitmaps].map(block => ({ block, bytes: this.bitmaps.get(block)!.bytes.slice() }))
      this.writtenBitmaps = this.dirtyBitmaps
      this.dirtyEntries = new Set()
      this.dirtyBitmaps = new Set()
      try {
        await this.file.flush()
        if (entries.size + bitmaps.length === 0) return
        for (const { block, bytes } of bitmaps) await this.file.write(this.table[block] * SECTOR, [bytes])
        await this.writeEntries(entries)
        await this.file.flush()
      } catch (error) {
        for (const block of entries) this.dirtyEntries.add(block)
        for (const { block } of bitmaps) this.dirtyBitmaps.add(block)
        throw error
      } finally {
        this.writtenBitmaps = new Set()
      }
    })
  }

  /** Commits, and leaves a footer at the end where an earlier failure did not. */
  async finish(): Promise<void> {
    if (this.isTailDirty) await this.allocating.run(0, 1, true, () => this.restoreTail())
    await this.commit()
  }

  private async load(block: number): Promise<SectorBitmap> {
    const underWay = this.loading.get(block)
    if (underWay !== undefined) return underWay
    const loaded = this.read(block).finally(() => this.loading.delete(block))
    this.loading.set(block, loaded)
    return loaded
  }

  private async read(block: number): Promise<SectorBitmap> {
    const bytes = new Uint8Array(bitmapLength(this.layout.blockSize))
    await this.file.read(this.table[block] * SECTOR, [bytes])
    const bitmap = new SectorBitmap(bytes, this.sectorsPerBlock)
    this.keep(block, bitmap)
    return bitmap
  }

  private keep(block: number, bitmap: SectorBitmap): void {
    this.bitmaps.set(block, bitmap)
    let excess = this.bitmaps.size - Math.max(2, CACHE_BYTES / bitmap.bytes.length)
    for (const old of this.bitmaps.keys()) {
      if (excess <= 0) break
      if (this.dirtyBitmaps.has(old) || this.writtenBitmaps.has(old) || old === block) continue
      this.bitmaps.delete(old)
      excess--
    }
  }

  /** Cuts off what is behind the last block, so that the next one is zeros, and puts the footer there. */
  private async restoreTail(): Promise<void> {
    await this.file.truncate(this.end)
    await this.file.write(this.end, [this.layout.footer])
    this.isTailDirty = false
  }

  /** Writes whole sectors of the table; entries that are newer than `entries` are left out, their blocks were not flushed. */
  private async writeEntries(entries: ReadonlySet<number>): Promise<void> {
    for (const sector of new Set([...entries].map(block => Math.floor(block / ENTRIES_PER_SECTOR)))) {
      const first = sector * ENTRIES_PER_SECTOR
      const count = Math.min(ENTRIES_PER_SECTOR, this.layout.count - first)
      const bytes = new Uint8Array(count * 4)
      for (let index = 0; index < count; index++) {
        putU32(bytes, index * 4, this.dirtyEntries.has(first + index) ? UNUSED_BLOCK : this.table[first + index])
      }
      await this.file.write(this.layout.tableOffset + first * 4, [bytes])
    }
  }
}

/** Bytes of a block's bitmap in the file: whole sectors. */
export function bitmapLength(blockSize: number): number { return Math.ceil(blockSize / SECTOR / 8 / SECTOR) * SECTOR }

/** Returns where the last block ends. */
function checkTable(file: StorageFile, layout: BlocksLayout, table: Uint32Array): number {
  const positions = table.filter(entry => entry !== UNUSED_BLOCK).sort()
  const span = bitmapLength(layout.blockSize) + layout.blockSize
  let end = layout.firstPosition
  for (const position of positions) {
    if (position * SECTOR < end) throw storageError('DISK_CORRUPT', `${file.path}: blocks of the disk lie over each other, or over its header`)
    end = position * SECTOR + span
  }
  if (end > file.size) throw storageError('DISK_CORRUPT', `${file.path}: the file ends before its last block does: it was cut off`)
  return Math.ceil(end / SECTOR) * SECTOR
}
