import { RangeLock } from '../range-lock.ts'
import { storageError } from '../errors.ts'
import type { StorageFile } from '../storage-file.ts'
import {
  corrupt, directoryLength, ENTRIES_PER_TABLE, formatEntries, HeaderFlag, parseEntries, SECTOR, type SparseHeader, TABLE_SECTORS,
} from './layout.ts'

/** Room in the file for a grain. */
export interface GrainRoom {
  readonly sector: number
  readonly isZero: boolean
}

/** Tables that are kept: 4 MiB of them, which lead to 64 GiB. */
const CACHED_TABLES = 2048
const NO_TABLE: Uint32Array = new Uint32Array(ENTRIES_PER_TABLE)

/**
 * Directory and tables of a sparse extent. The directory is in memory as a whole, of the tables a bounded number.
 *
 * What a crash leaves is right because tables are written by `commit` only, between two flushes: the grains that they lead to are on
 * stable storage before they are. New grains and tables go to the file's end, always; those that a crash has cut off from their table
 * stay unused.
 */
export class GrainTables {
  private readonly file: StorageFile
  private readonly header: SparseHeader & { readonly gdOffset: number }
  private readonly directory: Uint32Array
  /** That of the copies; null where there are none. */
  private readonly redundant: Uint32Array | null
  /** Bytes: where the next grain goes. */
  private end: number
  private readonly spare: number[] = []
  private readonly tables = new Map<number, Uint32Array>()
  private readonly loading = new Map<number, Promise<Uint32Array>>()
  private readonly growing = new RangeLock()
  private readonly committing = new RangeLock()
  private dirtyTables = new Set<number>()
  private dirtyDirectory = new Set<number>()
  /** Are being written: like dirty ones, they must not be read from the file. */
  private writtenTables: ReadonlySet<number> = new Set()

  private constructor(file: StorageFile, header: SparseHeader & { readonly gdOffset: number }, directory: Uint32Array, redundant: Uint32Array | null) {
    this.file = file
    this.header = header
    this.directory = directory
    this.redundant = redundant
    const alignment = header.grainSize * SECTOR
    this.end = Math.ceil(Math.max(file.size, header.overHead * SECTOR) / alignment) * alignment
  }

  /** Rejects with DISK_CORRUPT if a table lies outside of the file. */
  static async load(file: StorageFile, header: SparseHeader & { readonly gdOffset: number }): Promise<GrainTables> {
    const directory = await readDirectory(file, header, header.gdOffset)
    const hasCopies = (header.flags & HeaderFlag.REDUNDANT_TABLE) !== 0 && header.rgdOffset !== 0
    const redundant = hasCopies ? await readDirectory(file, header, header.rgdOffset) : null
    return new GrainTables(file, header, directory, redundant)
  }

  /** The entry of a grain. */
  async entry(grain: number): Promise<number> {
    return (await this.table(Math.floor(grain / ENTRIES_PER_TABLE)))[grain % ENTRIES_PER_TABLE]
  }

  /**
   * The entry of a grain, and how many grains from it on, up to `limit`, are of its kind: there, not there, or zeros. Looks no further
   * than one table. Both are of one instant, as long as nobody waits in between.
   */
  async run(grain: number, limit: number): Promise<{ readonly entry: number, readonly length: number }> {
    const table = await this.table(Math.floor(grain / ENTRIES_PER_TABLE))
    const first = grain % ENTRIES_PER_TABLE
    const kind = Math.min(table[first], 2)
    let end = first + 1
    while (end < ENTRIES_PER_TABLE && end - first < limit && Math.min(table[end], 2) === kind) end++
    return { entry: table[first], length: end - first }
  }

  /** Room for one more grain: at the end of the file, where it reads as zeros, or where a grain could not be written before. */
  async reserveGrain(): Promise<GrainRoom> {
    const sector = this.spare.pop()
    return sector === undefined ? { sector: await this.grow(this.header.grainSize), isZero: true } : { sector, isZero: false }
  }

  /** Takes back room for which there was no use. */
  returnGrain({ sector }: GrainRoom): void { this.spare.push(sector) }

  /** Has a grain's entry lead to where the grain is. The grain must have been written. */
  async setEntry(grain: number, sector: number): Promise<void> {
    const index = Math.floor(grain / ENTRIES_PER_TABLE)
    if (this.directory[index] === 0) await this.addTable(index)
    const table = await this.table(index)
    table[grain % ENTRIES_PER_TABLE] = sector
    this.dirtyTables.add(index)
    if (this.dirtyTables.size > CACHED_TABLES / 2) await this.commit()
  }

  /** All that was written before is on stable storage afterwards. */
  commit(): Promise<void> {
    return this.committing.run(0, 1, true, async () => {
      const tables = [...this.dirtyTables].map(index => ({ index, bytes: formatEntries(this.tables.get(index)!) }))
      const directory = this.dirtyDirectory
      this.writtenTables = this.dirtyTables
      this.dirtyTables = new Set()
      this.dirtyDirectory = new Set()
      try {
        await this.file.flush()
        if (tables.length + directory.size === 0) return
        for (const { index, bytes } of tables) await this.writeTable(index, bytes)
        for (const index of directory) await this.writeDirectoryEntry(index)
        await this.file.flush()
      } catch (error) {
        for (const { index } of tables) this.dirtyTables.add(index)
        for (const index of directory) this.dirtyDirectory.add(index)
        throw error
      } finally {
        this.writtenTables = new Set()
      }
    })
  }

  private async writeTable(index: number, bytes: Uint8Array): Promise<void> {
    if (this.redundant !== null && this.redundant[index] !== 0) await this.file.write(this.redundant[index] * SECTOR, [bytes])
    await this.file.write(this.directory[index] * SECTOR, [bytes])
  }

  private async writeDirectoryEntry(index: number): Promise<void> {
    if (this.redundant !== null) await this.file.write(this.header.rgdOffset * SECTOR + index * 4, [formatEntries([this.redundant[index]])])
    await this.file.write(this.header.gdOffset * SECTOR + index * 4, [formatEntries([this.directory[index]])])
  }

  private async table(index: number): Promise<Uint32Array> {
    if (this.directory[index] === 0) return NO_TABLE
    const known = this.tables.get(index)
    if (known !== undefined) {
      this.tables.delete(index)
      this.tables.set(index, known)
      return known
    }
    const underWay = this.loading.get(index)
    if (underWay !== undefined) return underWay
    const loaded = this.read(index).finally(() => this.loading.delete(index))
    this.loading.set(index, loaded)
    return loaded
  }

  private async read(index: number): Promise<Uint32Array> {
    const bytes = new Uint8Array(ENTRIES_PER_TABLE * 4)
    await this.file.read(this.directory[index] * SECTOR, [bytes])
    const table = parseEntries(bytes)
    this.keep(index, table)
    return table
  }

  private keep(index: number, table: Uint32Array): void {
    this.tables.set(index, table)
    let excess = this.tables.size - CACHED_TABLES
    for (const old of this.tables.keys()) {
      if (excess <= 0) break
      if (this.dirtyTables.has(old) || this.writtenTables.has(old) || old === index) continue
      this.tables.delete(old)
      excess--
    }
  }

  /** A table where there was none, and its copy. */
  private async addTable(index: number): Promise<void> {
    const copies = this.redundant === null ? 1 : 2
    const sector = await this.grow(TABLE_SECTORS * copies)
    if (this.directory[index] !== 0) return
    this.directory[index] = sector
    if (this.redundant !== null) this.redundant[index] = sector + TABLE_SECTORS
    this.dirtyDirectory.add(index)
    this.keep(index, new Uint32Array(ENTRIES_PER_TABLE))
    this.dirtyTables.add(index)
  }

  /** Makes the file longer. Returns the sector where the new part begins. */
  private grow(sectors: number): Promise<number> {
    return this.growing.run(0, 1, true, async () => {
      const sector = this.end / SECTOR
      if (sector + sectors > 0xffffffff) throw storageError('DISK_FULL', `${this.file.path} has reached 2 TiB, the most that a sparse extent can have`)
      await this.file.truncate(this.end + sectors * SECTOR)
      this.end += sectors * SECTOR
      return sector
    })
  }
}

async function readDirectory(file: StorageFile, header: SparseHeader, sector: number): Promise<Uint32Array> {
  const bytes = new Uint8Array(directoryLength(header.capacity, header.grainSize) * 4)
  if (sector * SECTOR + bytes.length > file.size) throw corrupt(file.path, 'its grain directory lies outside of it')
  await file.read(sector * SECTOR, [bytes])
  const directory = parseEntries(bytes)
  const isOutside = directory.some(table => table !== 0 && (table + TABLE_SECTORS) * SECTOR > file.size)
  if (isOutside) throw corrupt(file.path, 'a grain table lies outside of it')
  return directory
}
