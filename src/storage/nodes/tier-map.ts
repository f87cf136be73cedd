/**
 * Which segments of a tiered disk are in which slots of its fast part: in memory, and in a file that a crash leaves consistent.
 *
 *     the file   record: slots, 32 bits; segment size, 32 bits; segments of the disk, 32 bits
 *                then for each slot 32 bits: segment + 1, or 0 if it is free
 *
 * A number changes by one write of its sector of 512 bytes, which happens whole or not at all. If that fails, nobody knows which of the
 * two is in the file: until it has been written again, the segment must not be changed (`settle`).
 */
import { storageError } from '../errors.ts'
import type { StorageFile } from '../storage-file.ts'
import { StateRecord } from './state-record.ts'

const RECORD = { magic: 'TENONTIE', what: 'map of a tiered disk', capacity: 16 }
const SECTOR_ENTRIES = 128

export interface TierLayout {
  readonly slots: number
  readonly segmentSize: number
  readonly segments: number
}

export class TierMap {
  readonly layout: TierLayout
  private readonly file: StorageFile
  private readonly start: number
  private readonly entries: Uint32Array
  private readonly slotOf = new Map<number, number>()
  /** Segments of which the file may say something else, and the slots. */
  private readonly uncertain = new Map<number, number>()
  private storing: Promise<void> = Promise.resolve()

  private constructor(file: StorageFile, start: number, layout: TierLayout) {
    this.file = file
    this.start = start
    this.layout = layout
    this.entries = new Uint32Array(Math.ceil(layout.slots / SECTOR_ENTRIES) * SECTOR_ENTRIES)
  }

  static async create(file: StorageFile, layout: TierLayout): Promise<TierMap> {
    await file.truncate(0)
    const record = StateRecord.create(file, RECORD)
    const map = new TierMap(file, record.size, layout)
    await file.write(record.size, [new Uint8Array(map.entries.buffer)])
    await record.save(() => new Uint8Array(Uint32Array.of(layout.slots, layout.segmentSize, layout.segments, 0).buffer))
    return map
  }

  /** Rejects with DISK_CORRUPT if it is not the map of disks of these sizes. */
  static async open(file: StorageFile, sizes: { readonly fast: number, readonly slow: number }): Promise<TierMap> {
    const { record, payload } = await StateRecord.open(file, RECORD)
    if (payload.length !== RECORD.capacity) throw storageError('DISK_CORRUPT', `${file.path}: the map of a tiered disk has a wrong length`)
    const [slots, segmentSize, segments] = new Uint32Array(payload.buffer)
    checkSegmentSize(file.path, segmentSize)
    if (segments !== Math.ceil(sizes.slow / segmentSize) || slots > Math.floor(sizes.fast / segmentSize)) {
      throw storageError('DISK_CORRUPT', `${file.path} is the map of other disks, with ${slots} and ${segments} segments`)
    }
    const map = new TierMap(file, record.size, { slots, segmentSize, segments })
    await map.load()
    return map
  }

  slot(segment: number): number | undefined { return this.slotOf.get(segment) }

  /** The segment in a slot, or null. */
  segment(slot: number): number | null { return this.entries[slot] === 0 ? null : this.entries[slot] - 1 }

  /** Whether the file may say something else of the slot. */
  isUncertain(slot: number): boolean { return [...this.uncertain.values()].includes(slot) }

  /** A segment is in the slot from now on, or it is free (null). What it was before must be null, or become null. */
  async assign(slot: number, segment: number | null): Promise<void> {
    const before = this.segment(slot)
    const concerned = segment ?? before ?? 0
    this.put(slot, segment)
    try {
      await this.store(slot)
    } catch (error) {
      this.put(slot, before)
      this.uncertain.set(concerned, slot)
      throw error
    }
  }

  /** Before a segment is changed: makes sure that the file says of it what we say. */
  async settle(segment: number): Promise<void> {
    const slot = this.uncertain.get(segment)
    if (slot === undefined) return
    await this.store(slot)
    this.uncertain.delete(segment)
  }

  get hasUncertain(): boolean { return this.uncertain.size > 0 }

  close(): Promise<void> { return this.file.close() }

  private put(slot: number, segment: number | null): void {
    const before = this.segment(slot)
    if (before !== null) this.slotOf.delete(before)
    this.entries[slot] = segment === null ? 0 : segment + 1
    if (segment !== null) this.slotOf.set(segment, slot)
  }

  /** One after another, each with the numbers as they are when its turn comes: an older sector must not follow a newer one. */
  private store(slot: number): Promise<void> {
    const stored = this.storing.then(() => this.storeNow(slot))
    this.storing = stored.catch(() => {})
    return stored
  }

  private async storeNow(slot: number): Promise<void> {
    const first = slot - slot % SECTOR_ENTRIES
    const sector = this.entries.slice(first, first + SECTOR_ENTRIES)
    await this.file.write(this.start + first * 4, [new Uint8Array(sector.buffer)])
    await this.file.flush()
  }

  private async load(): Promise<void> {
    await this.file.read(this.start, [new Uint8Array(this.entries.buffer)])
    for (let slot = 0; slot < this.layout.slots; slot++) {
      const segment = this.segment(slot)
      if (segment === null) continue
      if (segment >= this.layout.segments || this.slotOf.has(segment)) {
        throw storageError('DISK_CORRUPT', `${this.file.path}: slot ${slot} has segment ${segment}, which cannot be`)
      }
      this.slotOf.set(segment, slot)
    }
  }
}

export function checkSegmentSize(path: string, segmentSize: number): void {
  if (segmentSize >= 65536 && segmentSize <= 1 << 26 && Number.isInteger(Math.log2(segmentSize))) return
  throw storageError('DISK_CORRUPT', `${path}: segments have 64 KiB to 64 MiB, a power of two, not ${segmentSize} bytes`)
}
