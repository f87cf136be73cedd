/**
 * Who refers to which cluster of the file: a walk through all tables of an image, for checks. It never trusts an entry, and visits a
 * table once for each L1 table that refers to it.
 */
import type { StorageFile } from '../storage-file.ts'
import type { Header } from './header.ts'
import {
  COMPRESSED, compressedPlace, COPIED, ENTRY_BYTES, entryOffset, L1_RESERVED_HIGH, L2_RESERVED_HIGH, readU64, RESERVED_LOW, viewOf, ZERO,
  type Geometry,
} from './layout.ts'
import { readSnapshots, type Snapshot } from './snapshot-table.ts'

export interface Visitor {
  /** A range of the file is referred to once. The clusters are inside the file. */
  refer(cluster: number, count: number): void
  /** An entry that cannot be. */
  damage(what: string): void
  /** A standard entry of the disk's own tables says whether its cluster is its own. */
  flag(cluster: number, copied: boolean, what: string): void
  /** A cluster of the disk (not of a snapshot). */
  data(compressed: boolean): void
}

export class References {
  private readonly file: StorageFile
  private readonly geometry: Geometry
  private readonly header: Header
  private readonly end: number

  /** `end`: the number of clusters in the file. */
  constructor(file: StorageFile, geometry: Geometry, header: Header, end: number) {
    this.file = file
    this.geometry = geometry
    this.header = header
    this.end = end
  }

  async walk(visitor: Visitor): Promise<void> {
    const { header } = this
    visitor.refer(0, 1)
    await this.walkRefcounts(visitor)
    await this.walkL1(visitor, header.l1TableOffset, header.l1Size, true)
    const { snapshots, bytes } = await readSnapshots(this.file, header)
    this.refer(visitor, header.snapshotsOffset, bytes, 'snapshot table')
    for (const snapshot of snapshots) await this.walkSnapshot(visitor, snapshot)
    if (header.bitmaps !== null) await this.walkBitmaps(visitor)
  }

  private async walkSnapshot(visitor: Visitor, { l1TableOffset, l1Size }: Snapshot): Promise<void> {
    await this.walkL1(visitor, l1TableOffset, l1Size, false)
  }

  private refer(visitor: Visitor, offset: number, bytes: number, what: string): boolean {
    if (bytes === 0) return true
    const first = this.geometry.cluster(offset)
    const last = this.geometry.cluster(offset + bytes - 1)
    if (last < this.end) visitor.refer(first, last - first + 1)
    else visitor.damage(`${what} at ${offset} is behind the file's end`)
    return last < this.end
  }

  private async walkRefcounts(visitor: Visitor): Promise<void> {
    const { refcountTableOffset, refcountTableClusters } = this.header
    const { clusterSize } = this.geometry
    this.refer(visitor, refcountTableOffset, refcountTableClusters * clusterSize, 'the refcount table')
    await this.eachEntry(refcountTableOffset, refcountTableClusters * clusterSize / ENTRY_BYTES, (view, at) => {
      const offset = readU64(view, at)
      if (offset === 0) return
      if (!this.geometry.isAligned(offset)) visitor.damage(`a refcount block is said to be at ${offset}`)
      else this.refer(visitor, offset, clusterSize, 'the refcount block')
    })
  }

  private async walkL1(visitor: Visitor, offset: number, entries: number, isDisk: boolean): Promise<void> {
    this.refer(visitor, offset, entries * ENTRY_BYTES, 'the L1 table')
    const tables = new Float64Array(entries)
    let count = 0
    await this.eachEntry(offset, entries, (view, at) => {
      const table = this.readL1Entry(visitor, view.getUint32(at), view.getUint32(at + 4), isDisk)
      if (table > 0) tables[count++] = table
    })
    const found = tables.subarray(0, count).sort()
    for (let index = 0; index < count; index++) {
      if (found[index] === found[index - 1]) visitor.damage(`the L2 table at ${found[index]} is used for two parts of the disk`)
      else await this.walkL2(visitor, found[index], isDisk)
    }
  }

  /** Returns where the table is, or 0. */
  private readL1Entry(visitor: Visitor, high: number, low: number, isDisk: boolean): number {
    const offset = entryOffset(high, low)
    if ((high & L1_RESERVED_HIGH) !== 0 || (low & RESERVED_LOW) !== 0) visitor.damage(`an L1 entry has bits that are none`)
    if (offset === 0) return 0
    if (!this.geometry.isAligned(offset)) visitor.damage(`an L2 table is said to be at ${offset}`)
    else if (this.refer(visitor, offset, this.geometry.clusterSize, 'the L2 table')) {
      if (isDisk) visitor.flag(this.geometry.cluster(offset), (high & COPIED) !== 0, 'L2 table')
      return offset
    }
    return 0
  }

  private async walkL2(visitor: Visitor, table: number, isDisk: boolean): Promise<void> {
    await this.eachEntry(table, this.geometry.l2Entries, (view, at) => {
      const high = view.getUint32(at)
      const low = view.getUint32(at + 4)
      if ((high & COMPRESSED) === 0) this.standardEntry(visitor, high, low, isDisk)
      else {
        const { offset, length } = compressedPlace(this.geometry, high, low)
        this.refer(visitor, offset, length, 'compressed data')
        if (isDisk) visitor.data(true)
      }
    })
  }

  private standardEntry(visitor: Visitor, high: number, low: number, isDisk: boolean): void {
    const offset = entryOffset(high, low)
    if ((high & L2_RESERVED_HIGH) !== 0 || (low & RESERVED_LOW & ~ZERO) !== 0 || (this.header.version === 2 && (low & ZERO) !== 0)) {
      visitor.damage('an L2 entry has bits that are none')
    }
    if (offset === 0) {
      if ((high & COPIED) !== 0) visitor.damage('an L2 entry counts a cluster that it has not')
      return
    }
    if (!this.geometry.isAligned(offset)) visitor.damage(`a cluster is said to be at ${offset}`)
    else if (this.refer(visitor, offset, this.geometry.clusterSize, 'the cluster') && isDisk) {
      visitor.flag(this.geometry.cluster(offset), (high & COPIED) !== 0, 'cluster')
      visitor.data(false)
    }
  }

  /** Of bitmaps that are in force: the directory, the tables and their clusters (section "Bitmaps"). */
  private async walkBitmaps(visitor: Visitor): Promise<void> {
    const { count, directoryOffset, directorySize } = this.header.bitmaps ?? { count: 0, directoryOffset: 0, directorySize: 0 }
    if (directorySize > MAX_DIRECTORY || !this.refer(visitor, directoryOffset, directorySize, 'the bitmap directory')) {
      return visitor.damage('the bitmap directory is too large')
    }
    const directory = new Uint8Array(directorySize)
    await this.file.read(directoryOffset, [directory])
    const view = viewOf(directory)
    let at = 0
    for (let index = 0; index < count; index++) {
      if (at + 24 > directorySize) return visitor.damage('the bitmap directory is cut off')
      await this.walkBitmap(visitor, readU64(view, at), view.getUint32(at + 8))
      at += Math.ceil((24 + view.getUint16(at + 18) + view.getUint32(at + 20)) / 8) * 8
    }
  }

  private async walkBitmap(visitor: Visitor, offset: number, entries: number): Promise<void> {
    if (!this.refer(visitor, offset, entries * ENTRY_BYTES, 'a bitmap table')) return
    await this.eachEntry(offset, entries, (view, at) => {
      const cluster = entryOffset(view.getUint32(at), view.getUint32(at + 4))
      if (cluster !== 0) this.refer(visitor, cluster, this.geometry.clusterSize, 'a bitmap')
    })
  }

  /** Reads a table in pieces. */
  private async eachEntry(offset: number, entries: number, visit: (view: DataView, at: number) => void): Promise<void> {
    for (let done = 0; done < entries;) {
      const bytes = new Uint8Array(Math.min(entries - done, PIECE) * ENTRY_BYTES)
      await this.file.read(offset + done * ENTRY_BYTES, [bytes])
      const view = viewOf(bytes)
      for (let at = 0; at < bytes.length; at += ENTRY_BYTES) {
        if (view.getUint32(at) !== 0 || view.getUint32(at + 4) !== 0) visit(view, at)
      }
      done += bytes.length / ENTRY_BYTES
    }
  }
}

const PIECE = 8192
const MAX_DIRECTORY = 64 << 20
