/**
 * A copy of an image without the clusters that it does not use. The others keep their order and move together, so that where a cluster
 * goes follows from how many used ones are before it; compressed data keeps its place in its clusters. All snapshots are kept.
 *
 * What is not moved but made anew, behind the rest: snapshot table, refcount blocks, refcount table. The header comes last.
 */
import { storageError } from '../errors.ts'
import { checkWritable } from '../gate.ts'
import type { StorageFile } from '../storage-file.ts'
import { DIRTY, encodeTables, TABLES_AT, type Header } from './header.ts'
import type { Image } from './image.ts'
import {
  COMPRESSED, compressedPlace, corrupt, ENTRY_BYTES, entryOffset, offsetHigh, offsetLow, readU64, viewOf, writeU64, type Geometry,
} from './layout.ts'
import { writeCount } from './refcount-entry.ts'
import { encodeSnapshots, readSnapshots } from './snapshot-table.ts'

const GROUP = 4096
/** Clusters that can be told apart with 128 MiB of memory. */
const MAX_CLUSTERS = 2 ** 30
const AUTOCLEAR_AT = 88
const COPIED_AT_ONCE = 1 << 20

/**
 * Writes the image to another file; all that had is lost. Nobody else uses the image meanwhile, nothing is to be written, and its
 * refcounts are right.
 */
export async function compactInto(image: Image, target: StorageFile): Promise<void> {
  checkWritable(target.path, target)
  const used = await UsedClusters.find(image)
  await target.truncate(0)
  await new Compaction(image, target, used).run()
}

/** Which clusters are moved, and where to. */
class UsedClusters {
  private readonly bits: Uint8Array
  /** Used clusters before each group. */
  private readonly before: Float64Array
  private readonly path: string
  count = 0

  private constructor(path: string, clusters: number) {
    this.path = path
    this.bits = new Uint8Array(Math.ceil(clusters / 8))
    this.before = new Float64Array(Math.ceil(clusters / GROUP))
  }

  static async find(image: Image): Promise<UsedClusters> {
    const { refcounts, file, header, geometry } = image
    const { end } = refcounts
    if (end > MAX_CLUSTERS) throw storageError('DISK_UNSUPPORTED', `${file.path} has too many clusters to be compacted: convert it instead`)
    const used = new UsedClusters(file.path, end)
    const counts = new Uint32Array(GROUP)
    for (let cluster = 0; cluster < end;) {
      const read = await refcounts.read(cluster, counts)
      for (let index = 0; index < read && cluster < end; index++, cluster++) if (counts[index] > 0) used.set(cluster, true)
    }
    for (const offset of await refcountClusters(image)) used.set(offset / geometry.clusterSize, false)
    const table = await readSnapshots(file, header)
    for (let at = 0; at < table.bytes; at += geometry.clusterSize) used.set(geometry.cluster(header.snapshotsOffset + at), false)
    used.sum()
    return used
  }

  private set(cluster: number, isUsed: boolean): void {
    const bit = 1 << (cluster & 7)
    if (isUsed) this.bits[cluster >>> 3] |= bit
    else this.bits[cluster >>> 3] &= ~bit
  }

  private sum(): void {
    for (let group = 0; group < this.before.length; group++) {
      this.before[group] = this.count
      this.count += this.countIn(group * GROUP / 8, (group + 1) * GROUP / 8)
    }
  }

  private countIn(start: number, end: number): number {
    let count = 0
    for (let byte = start; byte < Math.min(end, this.bits.length); byte++) count += ONES[this.bits[byte]]
    return count
  }

  has(cluster: number): boolean { return (this.bits[cluster >>> 3] & (1 << (cluster & 7))) !== 0 }

  /** The number of a cluster in the copy. Throws DISK_CORRUPT for one that is not counted. */
  moved(cluster: number): number {
    if (!this.has(cluster)) throw corrupt(this.path, `the cluster ${cluster} is in use and not counted`)
    const group = Math.floor(cluster / GROUP)
    const last = this.bits[cluster >>> 3] & ((1 << (cluster & 7)) - 1)
    return this.before[group] + this.countIn(group * GROUP / 8, cluster >>> 3) + ONES[last]
  }

  /** The next used cluster from `cluster` on, and how many follow each other there; null if there is none. */
  run(cluster: number, most: number): { readonly first: number, readonly count: number } | null {
    const end = this.bits.length * 8
    let first = cluster
    while (first < end && !this.has(first)) first++
    if (first >= end) return null
    let count = 1
    while (count < most && first + count < end && this.has(first + count)) count++
    return { first, count }
  }
}

const ONES = Uint8Array.from({ length: 256 }, (_, value) => value.toString(2).replaceAll('0', '').length)

/** Offsets of the clusters of the refcount table and of all blocks. */
async function refcountClusters({ file, header, geometry }: Image): Promise<number[]> {
  const bytes = new Uint8Array(header.refcountTableClusters * geometry.clusterSize)
  await file.read(header.refcountTableOffset, [bytes])
  const offsets = Array.from({ length: header.refcountTableClusters }, (_, index) => header.refcountTableOffset + index * geometry.clusterSize)
  for (let at = 0; at < bytes.length; at += ENTRY_BYTES) {
    const offset = readU64(viewOf(bytes), at)
    if (offset !== 0) offsets.push(offset)
  }
  return offsets
}

class Compaction {
  private readonly image: Image
  private readonly source: StorageFile
  private readonly target: StorageFile
  private readonly geometry: Geometry
  private readonly used: UsedClusters
  /** The next cluster of the copy. */
  private next: number

  constructor(image: Image, target: StorageFile, used: UsedClusters) {
    this.image = image
    this.source = image.file
    this.target = target
    this.geometry = image.geometry
    this.used = used
    this.next = used.count
  }

  async run(): Promise<void> {
    const { header } = this.image
    await this.copyClusters()
    await this.moveL1(header.l1TableOffset, header.l1Size)
    const tables = { ...header, l1TableOffset: this.movedOffset(header.l1TableOffset), ...await this.moveSnapshots() }
    Object.assign(tables, await this.writeRefcounts())
    await this.target.flush()
    await this.writeHeader(tables)
    await this.target.flush()
  }

  /** All but the header's cluster. */
  private async copyClusters(): Promise<void> {
    const { clusterSize } = this.geometry
    const most = Math.max(1, COPIED_AT_ONCE / clusterSize)
    const buffer = new Uint8Array(most * clusterSize)
    for (let run = this.used.run(1, most); run !== null; run = this.used.run(run.first + run.count, most)) {
      const bytes = buffer.subarray(0, run.count * clusterSize)
      await this.source.read(run.first * clusterSize, [bytes])
      await this.target.write(this.used.moved(run.first) * clusterSize, [bytes])
    }
  }

  private movedOffset(offset: number): number {
    const cluster = this.geometry.cluster(offset)
    return offset + (this.used.moved(cluster) - cluster) * this.geometry.clusterSize
  }

  private async moveL1(offset: number, entries: number): Promise<void> {
    const l1 = new Uint8Array(entries * ENTRY_BYTES)
    if (entries === 0) return
    await this.source.read(offset, [l1])
    const view = viewOf(l1)
    for (let at = 0; at < l1.length; at += ENTRY_BYTES) {
      const table = entryOffset(view.getUint32(at), view.getUint32(at + 4))
      if (table === 0) continue
      await this.moveL2(table)
      this.moveEntry(view, at, table)
    }
    await this.target.write(this.movedOffset(offset), [l1])
  }

  private async moveL2(offset: number): Promise<void> {
    const table = new Uint8Array(this.geometry.clusterSize)
    await this.source.read(offset, [table])
    const view = viewOf(table)
    for (let at = 0; at < table.length; at += ENTRY_BYTES) {
      const [high, low] = [view.getUint32(at), view.getUint32(at + 4)]
      if ((high & COMPRESSED) !== 0) this.moveCompressed(view, at, high, low)
      else if (entryOffset(high, low) !== 0) this.moveEntry(view, at, entryOffset(high, low))
    }
    await this.target.write(this.movedOffset(offset), [table])
  }

  /** The new offset has the flags of the old. */
  private moveEntry(view: DataView, at: number, offset: number): void {
    const moved = this.movedOffset(offset)
    view.setUint32(at, view.getUint32(at) - offsetHigh(offset) + offsetHigh(moved))
    view.setUint32(at + 4, view.getUint32(at + 4) - offsetLow(offset) + offsetLow(moved))
  }

  /** The offset is in the low bits, and gets smaller: the length's bits stay. */
  private moveCompressed(view: DataView, at: number, high: number, low: number): void {
    const { offset } = compressedPlace(this.geometry, high, low)
    const moved = this.movedOffset(offset)
    view.setUint32(at, high - offsetHigh(offset) + offsetHigh(moved))
    view.setUint32(at + 4, offsetLow(moved))
  }

  private async moveSnapshots(): Promise<Partial<Header>> {
    const { snapshots } = await readSnapshots(this.source, this.image.header)
    for (const { l1TableOffset, l1Size } of snapshots) await this.moveL1(l1TableOffset, l1Size)
    const moved = snapshots.map(each => ({ ...each, l1TableOffset: each.l1Size === 0 ? 0 : this.movedOffset(each.l1TableOffset) }))
    return { snapshotsOffset: snapshots.length === 0 ? 0 : await this.append(encodeSnapshots(this.target.path, moved)) }
  }

  private async append(bytes: Uint8Array): Promise<number> {
    const { clusterSize } = this.geometry
    const whole = new Uint8Array(this.geometry.roundUp(bytes.length))
    whole.set(bytes)
    const offset = this.next * clusterSize
    this.next += whole.length / clusterSize
    await this.target.write(offset, [whole])
    return offset
  }

  /** Blocks with the counts in their new order, and a table of them; both count themselves. */
  private async writeRefcounts(): Promise<Partial<Header>> {
    const { blockEntries, clusterSize } = this.geometry
    let blocks = 1
    let tableClusters = 1
    const own = this.next
    while (blocks < Math.ceil((own + blocks + tableClusters) / blockEntries)) {
      blocks = Math.ceil((own + blocks + tableClusters) / blockEntries)
      tableClusters = this.geometry.clusters(blocks * ENTRY_BYTES)
    }
    const table = new Uint8Array(tableClusters * clusterSize)
    const counts = this.countsInOrder(own + blocks + tableClusters)
    for (let index = 0; index < blocks; index++) {
      writeU64(viewOf(table), index * ENTRY_BYTES, await this.append(await this.nextBlock(counts, index * blockEntries)))
    }
    return { refcountTableOffset: await this.append(table), refcountTableClusters: tableClusters }
  }

  private async nextBlock(counts: AsyncGenerator<number>, first: number): Promise<Uint8Array> {
    const { blockEntries, clusterSize, refcountOrder } = this.geometry
    const bytes = new Uint8Array(clusterSize)
    const view = viewOf(bytes)
    for (let cluster = first; cluster < first + blockEntries; cluster++) {
      const next = await counts.next()
      if (next.done === true) break
      writeCount({ bytes, view }, cluster, refcountOrder, next.value)
    }
    return bytes
  }

  /** The counts of the copy's clusters, `total` of them: first those that were moved. */
  private async * countsInOrder(total: number): AsyncGenerator<number> {
    for (let run = this.used.run(0, GROUP); run !== null; run = this.used.run(run.first + run.count, GROUP)) {
      for (let index = 0; index < run.count; index++) yield await this.image.refcounts.get(run.first + index)
    }
    for (let cluster = this.used.count; cluster < total; cluster++) yield 1
  }

  /** Bitmaps are not moved, and not valid in the copy. */
  private async writeHeader(header: Header): Promise<void> {
    const cluster = new Uint8Array(this.geometry.clusterSize)
    await this.source.read(0, [cluster])
    cluster.set(encodeTables(header), TABLES_AT)
    if (header.version >= 3) {
      viewOf(cluster).setUint32(76, header.incompatible & ~DIRTY)
      cluster.fill(0, AUTOCLEAR_AT, AUTOCLEAR_AT + 8)
    }
    await this.target.write(0, [cluster])
  }
}
