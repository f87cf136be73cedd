/**
 * Reference counts of the file's clusters, and the allocation of clusters (QEMU docs/interop/qcow2.txt, section "Host cluster
 * management").
 *
 * Counts in memory are always such that they may be written at any time: they are raised before anything refers to a cluster, and
 * lowered when nothing on the disk does any more. Clusters are taken from the lowest free place on. A part of the file that has no
 * refcount block yet gets one at its own start, where it counts itself; when the refcount table is full, a larger one is made.
 */
import { storageError } from '../errors.ts'
import type { StorageFile } from '../storage-file.ts'
import type { HeaderFile } from './header-file.ts'
import { corrupt, ENTRY_BYTES, MAX_OFFSET, MAX_REFCOUNT_TABLE_BYTES, viewOf, writeU64, type Geometry } from './layout.ts'
import type { MetadataCache, Page } from './metadata-cache.ts'
import { readCount, writeCount } from './refcount-entry.ts'

/** Clusters in a row. */
export interface Allocation {
  readonly cluster: number
  readonly count: number
  /** They have never been used, and read as zeros. */
  readonly pristine: boolean
}

type Place = 'here' | 'not-loaded' | 'no-block'

export class Refcounts {
  /** The first cluster behind all that were ever used. */
  end: number
  private readonly file: StorageFile
  private readonly geometry: Geometry
  private readonly cache: MetadataCache
  private readonly headerFile: HeaderFile
  /** No cluster below is free. */
  private lowest = 1
  private changing: Promise<void> = Promise.resolve()
  /** Results of `find`: valid at once after it. */
  private page!: Page
  private missing = 0

  constructor(file: StorageFile, geometry: Geometry, cache: MetadataCache, headerFile: HeaderFile) {
    this.file = file
    this.geometry = geometry
    this.cache = cache
    this.headerFile = headerFile
    this.end = geometry.clusters(file.size)
  }

  private get tableEntries(): number {
    return this.headerFile.header.refcountTableClusters * this.geometry.clusterSize / ENTRY_BYTES
  }

  /** Finds the page that has the count of a cluster. */
  private find(cluster: number): Place {
    const index = Math.floor(cluster / this.geometry.blockEntries)
    if (index >= this.tableEntries) return 'no-block'
    const at = this.headerFile.header.refcountTableOffset + index * ENTRY_BYTES
    const table = this.cache.peek(at)
    if (table === null) return this.notLoaded(at)
    const block = this.blockOffset(table, at)
    if (block === 0) return 'no-block'
    const place = block + Math.floor(cluster % this.geometry.blockEntries * this.geometry.refcountBits / 8)
    const page = this.cache.peek(place)
    if (page === null) return this.notLoaded(place)
    this.page = page
    return 'here'
  }

  private notLoaded(offset: number): Place {
    this.missing = offset
    return 'not-loaded'
  }

  private blockOffset(table: Page, at: number): number {
    const high = table.view.getUint32(at - table.offset)
    const low = table.view.getUint32(at - table.offset + 4)
    const offset = high * 2 ** 32 + low
    if (offset % this.geometry.clusterSize !== 0 || offset + this.geometry.clusterSize > this.end * this.geometry.clusterSize) {
      throw corrupt(this.file.path, `a refcount block is said to be at ${offset}`)
    }
    return offset
  }

  /** References to a cluster, as they are in memory. */
  async get(cluster: number): Promise<number> {
    let place
    while ((place = this.find(cluster)) === 'not-loaded') await this.cache.load(this.missing)
    return place === 'here' ? readCount(this.page, cluster, this.geometry.refcountOrder) : 0
  }

  /** Fills `into` with the counts of clusters from `first` on; returns how many it has filled, at least one. */
  async read(first: number, into: Float64Array | Uint32Array): Promise<number> {
    let place
    while ((place = this.find(first)) === 'not-loaded') await this.cache.load(this.missing)
    const { refcountOrder, refcountBits } = this.geometry
    const perPage = this.cache.pageBytes * 8 / refcountBits
    const count = Math.min(into.length, perPage - first % perPage)
    for (let index = 0; index < count; index++) into[index] = place === 'here' ? readCount(this.page, first + index, refcountOrder) : 0
    return count
  }

  /** Changes a count. Rejects with DISK_CORRUPT if it would be negative, DISK_UNSUPPORTED if it does not fit. */
  async add(cluster: number, difference: number): Promise<number> {
    let place
    while ((place = this.find(cluster)) !== 'here') {
      if (place === 'not-loaded') await this.cache.load(this.missing)
      else if (difference < 0) throw corrupt(this.file.path, `the cluster at ${cluster * this.geometry.clusterSize} is in use and not counted`)
      else await this.cover(cluster)
    }
    const count = readCount(this.page, cluster, this.geometry.refcountOrder) + difference
    if (count < 0) throw corrupt(this.file.path, `the cluster at ${cluster * this.geometry.clusterSize} has more references than are counted`)
    if (count > this.geometry.maxRefcount) throw this.tooMany()
    this.set(this.page, cluster, count)
    if (count === 0) this.lowest = Math.min(this.lowest, cluster)
    return count
  }

  private tooMany(): Error {
    return storageError('DISK_UNSUPPORTED', `${this.file.path} has refcounts of ${this.geometry.refcountBits} bits, too few for another reference to a cluster`)
  }

  private set(page: Page, cluster: number, count: number): void {
    this.cache.touch(page, Math.floor(cluster * this.geometry.refcountBits / 8) % this.cache.pageBytes, 'counts')
    writeCount(page, cluster, this.geometry.refcountOrder, count)
  }

  /** Takes up to `most` free clusters in a row, and counts one reference to each. Rejects with DISK_FULL. */
  async allocate(most: number): Promise<Allocation> {
    for (;;) {
      const place = this.findFree()
      if (place === 'here') return this.take(most)
      if (place === 'not-loaded') await this.cache.load(this.missing)
      else await this.cover(this.lowest)
    }
  }

  /** Moves `lowest` to the first free cluster. */
  private findFree(): Place {
    const { refcountOrder, refcountBits } = this.geometry
    const perPage = this.cache.pageBytes * 8 / refcountBits
    for (;;) {
      const place = this.find(this.lowest)
      if (place !== 'here') return place
      const stop = this.lowest - this.lowest % perPage + perPage
      while (this.lowest < stop && readCount(this.page, this.lowest, refcountOrder) !== 0) this.lowest++
      if (this.lowest < stop) return 'here'
    }
  }

  private take(most: number): Allocation {
    const { refcountOrder, refcountBits, clusterSize } = this.geometry
    const perPage = this.cache.pageBytes * 8 / refcountBits
    const cluster = this.lowest
    // A run is either all pristine or not at all.
    const pristine = cluster >= this.end
    const stop = Math.min(cluster + most, cluster - cluster % perPage + perPage, pristine ? Infinity : Math.max(this.end, cluster + 1))
    if (stop * clusterSize > MAX_OFFSET) throw storageError('DISK_FULL', `${this.file.path} cannot grow any further: 8 PiB are the most`)
    let next = cluster + 1
    while (next < stop && readCount(this.page, next, refcountOrder) === 0) next++
    this.headerFile.checkApart(cluster * clusterSize, (next - cluster) * clusterSize)
    for (let taken = cluster; taken < next; taken++) this.set(this.page, taken, 1)
    this.lowest = next
    this.end = Math.max(this.end, next)
    return { cluster, count: next - cluster, pristine }
  }

  /** Takes `count` free clusters in a row, for a table. Rejects with DISK_FULL. */
  async allocateRow(count: number): Promise<number> {
    const taken = await this.allocate(count)
    if (taken.count === count) return taken.cluster
    await this.giveBack(taken.cluster, taken.count)
    return this.exclusively(() => this.allocateWithBlocks(count))
  }

  /** Takes a row behind all that is used, with the blocks that count it at its start: no other block can come to lie in it. */
  private async allocateWithBlocks(count: number): Promise<number> {
    const { blockEntries, clusterSize } = this.geometry
    let blocks = 1
    while (blocks < Math.ceil((blocks + count) / blockEntries)) blocks++
    let index = Math.ceil(this.end / blockEntries)
    while (index + blocks > this.tableEntries) {
      await this.growTable()
      index = Math.ceil(this.end / blockEntries)
    }
    const first = index * blockEntries
    await this.writeNew(first, this.selfCounting(blocks, blocks + count))
    for (let block = 0; block < blocks; block++) await this.setBlock(index + block, (first + block) * clusterSize)
    this.end = Math.max(this.end, first + blocks + count)
    return first + blocks
  }

  /**
   * Gives a block to every part of the file that has none, at the file's end. For an image whose refcounts are wrong: a place that is
   * not counted may be in use.
   */
  async coverAll(): Promise<void> {
    const { blockEntries, clusterSize } = this.geometry
    const uncovered: number[] = []
    while (this.end > this.tableEntries * blockEntries) await this.exclusively(() => this.growTable())
    for (let index = 0; index * blockEntries < this.end; index++) {
      if (await this.blockOf(index) === 0) uncovered.push(index)
    }
    if (uncovered.length === 0) return
    const first = await this.exclusively(() => this.allocateWithBlocks(uncovered.length))
    for (const [at, index] of uncovered.entries()) {
      await this.writeNew(first + at, new Uint8Array(clusterSize))
      await this.setBlock(index, (first + at) * clusterSize)
    }
  }

  private async blockOf(index: number): Promise<number> {
    const at = this.headerFile.header.refcountTableOffset + index * ENTRY_BYTES
    let page
    while ((page = this.cache.peek(at)) === null) await this.cache.load(at)
    return this.blockOffset(page, at)
  }

  /** Gives back clusters that nothing has ever referred to. */
  async giveBack(cluster: number, count: number): Promise<void> {
    for (let next = cluster; next < cluster + count; next++) await this.add(next, -1)
  }

  /** All counts may have changed. */
  restart(): void { this.lowest = 1 }

  /** Makes sure that a cluster has a refcount block. */
  private async cover(cluster: number): Promise<void> {
    await this.exclusively(() => this.coverNow(cluster))
  }

  /** One change of the refcount table at a time. */
  private exclusively<Result>(work: () => Promise<Result>): Promise<Result> {
    const result = this.changing.then(work)
    this.changing = result.then(() => undefined, () => undefined)
    return result
  }

  private async coverNow(cluster: number): Promise<void> {
    let place
    while ((place = this.find(cluster)) === 'not-loaded') await this.cache.load(this.missing)
    if (place === 'here') return
    const index = Math.floor(cluster / this.geometry.blockEntries)
    if (index < this.tableEntries) await this.addBlock(index)
    else await this.growTable()
  }

  /** The block is on the file before the table points to it in memory; the table's page is written when the block is durable. */
  private async addBlock(index: number): Promise<void> {
    const { blockEntries, clusterSize } = this.geometry
    const cluster = index * blockEntries
    this.headerFile.checkApart(cluster * clusterSize, clusterSize)
    await this.writeNew(cluster, this.selfCounting(1, 1))
    await this.setBlock(index, cluster * clusterSize)
  }

  private async setBlock(index: number, offset: number): Promise<void> {
    const at = this.headerFile.header.refcountTableOffset + index * ENTRY_BYTES
    let page
    while ((page = this.cache.peek(at)) === null) await this.cache.load(at)
    this.cache.touch(page, at - page.offset, 'blocks')
    writeU64(page.view, at - page.offset, offset)
  }

  private async writeNew(cluster: number, bytes: Uint8Array): Promise<void> {
    this.cache.forget(cluster * this.geometry.clusterSize, bytes.length)
    this.end = Math.max(this.end, cluster + this.geometry.clusters(bytes.length))
    await this.file.write(cluster * this.geometry.clusterSize, [bytes])
  }

  /** `blocks` refcount blocks in a row, of which the first `used` clusters are counted once. */
  private selfCounting(blocks: number, used: number): Uint8Array {
    const bytes = new Uint8Array(blocks * this.geometry.clusterSize)
    for (let cluster = 0; cluster < used; cluster++) writeCount({ bytes, view: viewOf(bytes) }, cluster, this.geometry.refcountOrder, 1)
    return bytes
  }

  /**
   * Makes a larger refcount table behind everything that is used and that the old one covers, with the blocks that count it. The header
   * that points to it is written with the next commit, and the old table given back after that.
   */
  private async growTable(): Promise<void> {
    const { blockEntries, clusterSize } = this.geometry
    const { header } = this.headerFile
    const index = Math.max(this.tableEntries, Math.ceil(this.end / blockEntries))
    const { blocks, tableClusters } = this.sizeOfNext(index)
    const first = index * blockEntries
    const table = new Uint8Array(tableClusters * clusterSize)
    await this.copyTable(table)
    for (let block = 0; block < blocks; block++) writeU64(viewOf(table), (index + block) * ENTRY_BYTES, (first + block) * clusterSize)
    await this.writeNew(first, this.selfCounting(blocks, blocks + tableClusters))
    await this.writeNew(first + blocks, table)
    const { refcountTableOffset, refcountTableClusters } = header
    this.cache.forget(refcountTableOffset, refcountTableClusters * clusterSize)
    this.headerFile.changeTables({ refcountTableOffset: (first + blocks) * clusterSize, refcountTableClusters: tableClusters })
    this.headerFile.released.push({ cluster: refcountTableOffset / clusterSize, count: refcountTableClusters })
  }

  private async copyTable(into: Uint8Array): Promise<void> {
    const { refcountTableOffset, refcountTableClusters } = this.headerFile.header
    for (let at = 0; at < refcountTableClusters * this.geometry.clusterSize; at += this.cache.pageBytes) {
      let page
      while ((page = this.cache.peek(refcountTableOffset + at)) === null) await this.cache.load(refcountTableOffset + at)
      into.set(page.bytes, at)
    }
  }

  /** `index`: of the first block to add. */
  private sizeOfNext(index: number): { blocks: number, tableClusters: number } {
    const { blockEntries, clusterSize } = this.geometry
    let blocks = 1
    for (;;) {
      const entries = Math.max(Math.ceil(this.tableEntries * 1.5), index + blocks)
      const tableClusters = this.geometry.clusters(entries * ENTRY_BYTES)
      if (tableClusters * clusterSize > Math.max(MAX_REFCOUNT_TABLE_BYTES, clusterSize)) {
        throw storageError('DISK_FULL', `${this.file.path} cannot grow any further: its refcount table has reached 8 MiB`)
      }
      const needed = Math.ceil((blocks + tableClusters) / blockEntries)
      if (needed <= blocks) return { blocks, tableClusters }
      blocks = needed
    }
  }
}
