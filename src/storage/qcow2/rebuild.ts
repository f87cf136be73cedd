/**
 * A change of many tables at once: a snapshot is taken, applied or deleted. It happens as a whole or not at all.
 *
 * Everything that changes is written to new clusters behind the file's end: L1 and L2 tables, the refcount blocks that change, the
 * refcount table, the snapshot table. What was there stays as it is, and in force, until one sector of the header is written, which puts
 * all of the new tables in force together. The clusters of the old tables are free in the new refcounts, and those of the new tables
 * in the old ones, so that not even a cluster is lost, whenever a crash comes.
 *
 * Nobody else uses the image meanwhile, and nothing is to be written when it begins.
 */
import { storageError } from '../errors.ts'
import { encodeTables, TABLES_AT, type Header } from './header.ts'
import type { Image } from './image.ts'
import { corrupt, ENTRY_BYTES, MAX_REFCOUNT_TABLE_BYTES, readU64, viewOf, writeU64 } from './layout.ts'
import { readCount, writeCount } from './refcount-entry.ts'

const MAX_FREED = 65536
const BLOCK_CACHE_BYTES = 4 << 20

interface Block {
  readonly bytes: Uint8Array
  readonly view: DataView
  changed: boolean
}

type Tables = Partial<Pick<Header, 'size' | 'l1Size' | 'l1TableOffset' | 'snapshotCount' | 'snapshotsOffset'>>

export class Rebuild {
  private readonly image: Image
  /** The first cluster behind what the image has, and the next that is free. */
  private readonly start: number
  private next: number
  /** Offsets of the refcount blocks, in what becomes the refcount table. */
  private readonly table: Float64Array
  private readonly tableOffset: number
  /** Refcount blocks that were used last, by their index. */
  private readonly blocks = new Map<number, Block>()
  /** Clusters of blocks that have been replaced. */
  private readonly replaced: number[] = []
  /** Clusters whose count has become 0; not all, if there are very many. */
  private readonly freed: { cluster: number, count: number }[] = []
  private lastIndex = -1
  private lastBlock: Block | null = null

  private constructor(image: Image, table: Float64Array) {
    this.image = image
    this.start = image.refcounts.end
    this.next = this.start
    this.table = table
    this.tableOffset = this.take(image.geometry.clusters(table.length * ENTRY_BYTES))
  }

  /** `newClusters`: clusters that the caller will take at most. Rejects with DISK_FULL. */
  static async begin(image: Image, newClusters: number): Promise<Rebuild> {
    const { geometry, header, file, refcounts } = image
    const old = new Uint8Array(header.refcountTableClusters * geometry.clusterSize)
    await file.read(header.refcountTableOffset, [old])
    const clusters = sizeOfTable(image, refcounts.end + newClusters + old.length / ENTRY_BYTES)
    if (clusters * geometry.clusterSize > Math.max(MAX_REFCOUNT_TABLE_BYTES, geometry.clusterSize)) {
      throw storageError('DISK_FULL', `${file.path} cannot grow any further: its refcount table would be above 8 MiB`)
    }
    const table = new Float64Array(clusters * geometry.clusterSize / ENTRY_BYTES)
    for (let index = 0; index < old.length / ENTRY_BYTES; index++) table[index] = readU64(viewOf(old), index * ENTRY_BYTES)
    return new Rebuild(image, table)
  }

  /** Whether a table was made by this change, and may be written to. */
  isNew(offset: number): boolean { return offset >= this.start * this.image.geometry.clusterSize }

  private take(clusters: number): number {
    const offset = this.next * this.image.geometry.clusterSize
    this.next += clusters
    return offset
  }

  /** Writes a table to new clusters, which are counted once; returns where. */
  async write(table: Uint8Array): Promise<number> {
    const { geometry, file } = this.image
    const bytes = new Uint8Array(geometry.roundUp(table.length))
    bytes.set(table)
    const offset = this.take(geometry.clusters(bytes.length))
    await file.write(offset, [bytes])
    return offset
  }

  /** References to a cluster as they will be, without those that the clusters taken here get at the end. */
  count(cluster: number): number | Promise<number> {
    const { blockEntries, refcountOrder } = this.image.geometry
    const index = Math.floor(cluster / blockEntries)
    if (index !== this.lastIndex || this.lastBlock === null) return this.countLoading(cluster, index)
    return readCount(this.lastBlock, cluster, refcountOrder)
  }

  private async countLoading(cluster: number, index: number): Promise<number> {
    if (index >= this.table.length || this.table[index] === 0) return 0
    return readCount(await this.block(index), cluster, this.image.geometry.refcountOrder)
  }

  /** Changes a count. Rejects with DISK_CORRUPT if it would be negative, DISK_UNSUPPORTED if it does not fit. */
  async add(cluster: number, difference: number): Promise<void> {
    const { geometry, file } = this.image
    const index = Math.floor(cluster / geometry.blockEntries)
    const block = index === this.lastIndex && this.lastBlock?.changed === true ? this.lastBlock : await this.ownBlock(index)
    const count = readCount(block, cluster, geometry.refcountOrder) + difference
    if (count < 0) throw corrupt(file.path, `the cluster at ${cluster * geometry.clusterSize} has more references than are counted`)
    if (count > geometry.maxRefcount) {
      throw storageError('DISK_UNSUPPORTED', `${file.path} has refcounts of ${geometry.refcountBits} bits, too few for another snapshot`)
    }
    writeCount(block, cluster, geometry.refcountOrder, count)
    if (count === 0) this.noteFree(cluster)
  }

  private noteFree(cluster: number): void {
    const last = this.freed.at(-1)
    if (last !== undefined && last.cluster + last.count === cluster) last.count++
    else if (this.freed.length < MAX_FREED) this.freed.push({ cluster, count: 1 })
  }

  async addAll(offset: number, bytes: number, difference: number): Promise<void> {
    const { geometry } = this.image
    for (let cluster = 0; cluster < geometry.clusters(bytes); cluster++) await this.add(geometry.cluster(offset) + cluster, difference)
  }

  /** A block in its new place. */
  private async ownBlock(index: number): Promise<Block> {
    if (index >= this.table.length) throw corrupt(this.image.file.path, 'it refers to a cluster that is far behind its end')
    const old = this.table[index]
    const block = await this.block(index)
    block.changed = true
    if (this.isNew(old)) return block
    if (old !== 0) this.replaced.push(this.image.geometry.cluster(old))
    this.table[index] = this.take(1)
    return block
  }

  private async block(index: number): Promise<Block> {
    const found = this.blocks.get(index)
    const block = found ?? await this.loadBlock(index)
    this.lastIndex = index
    this.lastBlock = block
    return block
  }

  private async loadBlock(index: number): Promise<Block> {
    const { geometry, file, refcounts } = this.image
    const bytes = new Uint8Array(geometry.clusterSize)
    const offset = this.table[index]
    if (!geometry.isAligned(offset) || (!this.isNew(offset) && offset >= refcounts.end * geometry.clusterSize)) throw corrupt(file.path, `a refcount block is said to be at ${offset}`)
    await this.makeRoom()
    if (offset !== 0) await file.read(offset, [bytes])
    const block = { bytes, view: viewOf(bytes), changed: false }
    this.blocks.set(index, block)
    return block
  }

  private async makeRoom(): Promise<void> {
    const most = Math.max(4, BLOCK_CACHE_BYTES / this.image.geometry.clusterSize)
    if (this.blocks.size < most) return
    const [[index, block]] = this.blocks
    await this.writeBlock(index, block)
    this.blocks.delete(index)
  }

  private async writeBlock(index: number, block: Block): Promise<void> {
    if (block.changed) await this.image.file.write(this.table[index], [block.bytes])
    block.changed = false
  }

  /** Puts all of it in force, with what the header is to say. */
  async finish(tables: Tables): Promise<void> {
    const { file, header, geometry, refcounts, cache } = this.image
    await this.addAll(header.refcountTableOffset, header.refcountTableClusters * geometry.clusterSize, -1)
    await this.countOwn()
    for (const [index, block] of this.blocks) await this.writeBlock(index, block)
    await this.writeTable()
    await file.flush()
    const next = { ...header, ...tables, refcountTableOffset: this.tableOffset, refcountTableClusters: geometry.clusters(this.table.length * ENTRY_BYTES) }
    this.image.isUncertain = true
    await file.write(TABLES_AT, [encodeTables(next)])
    await file.flush()
    this.image.isUncertain = false
    cache.clear()
    this.image.headerFile.adopt(next)
    refcounts.end = this.next
    refcounts.restart()
    await this.punchFreed()
  }

  /** Gives the room back that the clusters have on the host. It is no loss if the host cannot. */
  private async punchFreed(): Promise<void> {
    const { refcounts, file, geometry: { clusterSize } } = this.image
    for (const { cluster, count } of this.freed) {
      for (let at = cluster; at < cluster + count;) {
        let free = 0
        while (at + free < cluster + count && await refcounts.get(at + free) === 0) free++
        if (free > 0 && !await file.punchHole(at * clusterSize, free * clusterSize).catch(() => false)) return
        at += Math.max(1, free)
      }
    }
  }

  /** Counts the clusters that were taken, and no longer those of blocks that were replaced; that may take and replace more. */
  private async countOwn(): Promise<void> {
    for (let cluster = this.start; cluster < this.next || this.replaced.length > 0;) {
      const old = this.replaced.pop()
      if (old !== undefined) await this.add(old, -1)
      else await this.add(cluster++, 1)
    }
  }

  private async writeTable(): Promise<void> {
    const bytes = new Uint8Array(this.table.length * ENTRY_BYTES)
    for (const [index, offset] of this.table.entries()) writeU64(viewOf(bytes), index * ENTRY_BYTES, offset)
    await this.image.file.write(this.tableOffset, [bytes])
  }

  /** Gives up: nothing has changed. */
  async abandon(): Promise<void> {
    const { file, refcounts, geometry } = this.image
    if (this.image.isUncertain) return
    const size = this.start * geometry.clusterSize
    if (file.size > size) await file.truncate(size).catch(() => {})
    if (file.size > size) refcounts.end = this.next
  }
}

/** Clusters of a refcount table that counts `clusters`, itself, and the blocks. */
function sizeOfTable({ geometry, header }: Image, clusters: number): number {
  let size = header.refcountTableClusters
  for (;;) {
    const entries = Math.ceil((clusters + size) / (geometry.blockEntries - 1)) + 2
    const needed = geometry.clusters(entries * ENTRY_BYTES)
    if (needed <= size) return size
    size = needed
  }
}
