/**
 * Where the disk's clusters are: lookups in L1 and L2, and changes of their entries (QEMU docs/interop/qcow2.txt, section "Cluster
 * mapping").
 *
 * A lookup works on the cache only: `find` either fills `run`, which is valid until the next `await`, or names in `missing` what
 * has to be loaded first.
 */
import type { StorageFile } from '../storage-file.ts'
import type { Committer } from './commit.ts'
import type { HeaderFile } from './header-file.ts'
import {
  COMPRESSED, compressedPlace, COPIED, corrupt, ENTRY_BYTES, entryOffset, L1_RESERVED_HIGH, L2_RESERVED_HIGH, offsetHigh, offsetLow,
  RESERVED_LOW, ZERO, type Geometry,
} from './layout.ts'
import type { MetadataCache, Page } from './metadata-cache.ts'
import type { Refcounts } from './refcounts.ts'

/** `zero-allocated`: reads as zeros, and has a cluster that may be written to after all. */
export type RunKind = 'unallocated' | 'zero' | 'zero-allocated' | 'data' | 'compressed'

/** A part of the disk that is one part of the file, or none. */
export interface Run {
  kind: RunKind
  /** Bytes. */
  length: number
  /** Where its first byte is in the file. Of `compressed`: the start of the compressed data. */
  host: number
  /** Nothing else refers to its clusters: they may be written to in place. */
  copied: boolean
  /** Of `compressed`: bytes of compressed data at most. */
  compressedLength: number
}

/** What a change of an entry has to wait for: a page that is not loaded, or an L2 table that nothing else refers to. */
type Lack = 'page' | 'own-table'

function isPage(found: Page | Lack): found is Page { return typeof found === 'object' }

/** What becomes of clusters whose content is not needed any more. */
export type Clearing = 'discard' | 'zero' | 'zero-keep'

export class Mapping {
  readonly run: Run = { kind: 'unallocated', length: 0, host: 0, copied: false, compressedLength: 0 }
  /** Where in the file the page is that `find` needs. */
  missing = 0
  private readonly file: StorageFile
  private readonly geometry: Geometry
  private readonly cache: MetadataCache
  private readonly headerFile: HeaderFile
  private readonly refcounts: Refcounts
  private readonly committer: Committer
  private readonly hasBacking: boolean
  private readonly making = new Map<number, Promise<void>>()

  constructor(
    file: StorageFile, geometry: Geometry, cache: MetadataCache, headerFile: HeaderFile, refcounts: Refcounts, committer: Committer,
    hasBacking: boolean,
  ) {
    this.file = file
    this.geometry = geometry
    this.cache = cache
    this.headerFile = headerFile
    this.refcounts = refcounts
    this.committer = committer
    this.hasBacking = hasBacking
  }

  private get hasZeroFlag(): boolean { return this.headerFile.header.version >= 3 }

  /** Looks up a place of the disk, and how far it goes on like that: at most `length` bytes. Throws DISK_CORRUPT. */
  find(offset: number, length: number): boolean {
    const { clusterSize, l2Entries } = this.geometry
    const cluster = Math.floor(offset / clusterSize)
    const within = offset - cluster * clusterSize
    const index = Math.floor(cluster / l2Entries)
    const { l1TableOffset, l1Size } = this.headerFile.header
    if (index >= l1Size) return this.found('unallocated', length)
    const l1 = this.page(l1TableOffset + index * ENTRY_BYTES)
    if (l1 === null) return false
    const table = this.tableOffset(l1, l1TableOffset + index * ENTRY_BYTES - l1.offset)
    if (table === 0) return this.found('unallocated', Math.min(length, this.emptyTables(l1, index) * l2Entries * clusterSize - offset))
    const at = table + (cluster - index * l2Entries) * ENTRY_BYTES
    const l2 = this.page(at)
    if (l2 === null) return false
    this.readRun(l2, at - l2.offset, within, Math.ceil((within + length) / clusterSize))
    this.run.length = Math.min(this.run.length, length)
    return true
  }

  private page(offset: number): Page | null {
    const page = this.cache.peek(offset)
    if (page === null) this.missing = offset
    return page
  }

  private found(kind: RunKind, length: number): boolean {
    const { run } = this
    run.kind = kind
    run.length = length
    run.copied = false
    return true
  }

  /** The index of the first L1 entry after `index`, in the same page, that has a table; or of the page's end. */
  private emptyTables(page: Page, index: number): number {
    const start = this.headerFile.header.l1TableOffset + index * ENTRY_BYTES - page.offset
    let at = start + ENTRY_BYTES
    while (at < page.bytes.length && page.view.getUint32(at) === 0 && page.view.getUint32(at + 4) === 0) at += ENTRY_BYTES
    return index + (at - start) / ENTRY_BYTES
  }

  /** Where the L2 table of an L1 entry is, or 0. */
  private tableOffset(page: Page, at: number): number {
    const high = page.view.getUint32(at)
    const low = page.view.getUint32(at + 4)
    const offset = entryOffset(high, low)
    if ((high & L1_RESERVED_HIGH) !== 0 || (low & RESERVED_LOW) !== 0) throw corrupt(this.file.path, `the L1 entry at ${page.offset + at} has bits that are none`)
    if (offset !== 0) this.checkPlace(offset, this.geometry.clusterSize)
    return offset
  }

  /** Clusters that an entry refers to are inside the file and not those of another table. */
  private checkPlace(offset: number, length: number): void {
    const { clusterSize } = this.geometry
    if (offset % clusterSize !== 0) throw corrupt(this.file.path, `a cluster is said to be at ${offset}, between two`)
    if (offset + length > this.refcounts.end * clusterSize) throw corrupt(this.file.path, `a cluster is said to be at ${offset}, behind the file's end`)
    this.headerFile.checkApart(offset, length)
  }

  /** Reads the L2 entry at `at`, and those after it in the page for as long as they go on alike; `most` entries at most. */
  private readRun(page: Page, at: number, within: number, most: number): void {
    const { run } = this
    const { clusterSize } = this.geometry
    const last = Math.min(at + most * ENTRY_BYTES, page.bytes.length)
    const high = page.view.getUint32(at)
    const low = page.view.getUint32(at + 4)
    run.kind = this.kindOf(high, low)
    run.copied = (high & COPIED) !== 0
    if (run.kind === 'compressed') return this.compressedRun(high, low, within)
    const host = entryOffset(high, low)
    const flags = (high & COPIED) >>> 0
    let count = 1
    for (let next = at + ENTRY_BYTES; next < last; next += ENTRY_BYTES, count++) {
      const place = host === 0 ? 0 : host + count * clusterSize
      if (page.view.getUint32(next + 4) !== offsetLow(place) + (low & ZERO)) break
      if (page.view.getUint32(next) !== offsetHigh(place) + flags) break
    }
    run.host = host + within
    run.length = count * clusterSize - within
    if (host !== 0) this.checkPlace(host, count * clusterSize)
  }

  private kindOf(high: number, low: number): RunKind {
    if ((high & COMPRESSED) !== 0) return 'compressed'
    const isZero = (low & ZERO) !== 0
    if ((high & L2_RESERVED_HIGH) !== 0 || (low & RESERVED_LOW & ~ZERO) !== 0 || (isZero && !this.hasZeroFlag)) {
      throw corrupt(this.file.path, `an L2 entry has bits that are none: 0x${high.toString(16)}, 0x${low.toString(16)}`)
    }
    const hasCluster = entryOffset(high, low) !== 0
    if (isZero) return hasCluster ? 'zero-allocated' : 'zero'
    if (!hasCluster && (high & COPIED) !== 0) throw corrupt(this.file.path, 'an L2 entry counts a cluster that it has not')
    return hasCluster ? 'data' : 'unallocated'
  }

  private compressedRun(high: number, low: number, within: number): void {
    const { run } = this
    const { offset, length } = compressedPlace(this.geometry, high, low)
    if (offset >= this.refcounts.end * this.geometry.clusterSize) throw corrupt(this.file.path, `compressed data is said to be at ${offset}, behind the file's end`)
    run.host = offset
    run.compressedLength = length
    run.copied = false
    run.length = this.geometry.clusterSize - within
  }

  /** Loads what the last `find` missed. */
  load(): Promise<void> { return this.cache.load(this.missing) }

  /**
   * Has up to `count` clusters of the disk refer to as many clusters of the file from `host` on, which are counted once and filled. What
   * they referred to before is given back. Returns how many it has done: those with their entries in one page.
   */
  async link(cluster: number, count: number, host: number): Promise<number> {
    let page
    while (!isPage(page = this.findWritable(cluster))) await this.makeWritable(page, cluster)
    const at = this.entryAt
    const here = Math.min(count, (page.bytes.length - at) / ENTRY_BYTES)
    for (let entry = 0; entry < here; entry++) {
      const offset = (host + entry) * this.geometry.clusterSize
      this.replace(page, at + entry * ENTRY_BYTES, (offsetHigh(offset) | COPIED) >>> 0, offsetLow(offset))
    }
    this.committer.linked()
    return here
  }

  /** As `link`, for one cluster that refers to compressed data. */
  async linkCompressed(cluster: number, high: number, low: number): Promise<void> {
    let page
    while (!isPage(page = this.findWritable(cluster))) await this.makeWritable(page, cluster)
    this.replace(page, this.entryAt, high, low)
    this.committer.linked()
  }

  /** Where the entry is in the page that `findWritable` has returned. */
  private entryAt = 0

  /** What `findWritable` lacks. */
  private async makeWritable(lack: Lack, cluster: number): Promise<void> {
    if (lack === 'own-table') await this.makeTable(Math.floor(cluster / this.geometry.l2Entries))
    else await this.load()
  }

  /** The page with the L2 entry of a cluster of the disk, in a table that nothing else refers to; until the next `await`. */
  private findWritable(cluster: number): Page | Lack {
    const { l2Entries } = this.geometry
    const index = Math.floor(cluster / l2Entries)
    const l1At = this.headerFile.header.l1TableOffset + index * ENTRY_BYTES
    const l1 = this.page(l1At)
    if (l1 === null) return 'page'
    const table = this.tableOffset(l1, l1At - l1.offset)
    if (table === 0 || (l1.view.getUint32(l1At - l1.offset) & COPIED) === 0) return 'own-table'
    const at = table + (cluster - index * l2Entries) * ENTRY_BYTES
    const page = this.page(at)
    if (page === null) return 'page'
    this.entryAt = at - page.offset
    return page
  }

  private replace(page: Page, at: number, high: number, low: number): void {
    const oldHigh = page.view.getUint32(at)
    const oldLow = page.view.getUint32(at + 4)
    this.cache.touch(page, at, 'mappings')
    page.view.setUint32(at, high)
    page.view.setUint32(at + 4, low)
    this.unreference(oldHigh, oldLow, entryOffset(high, low))
  }

  /** Gives back what an entry has referred to, unless it is the cluster at `kept`. */
  private unreference(high: number, low: number, kept: number): void {
    const { geometry } = this
    if ((high & COMPRESSED) !== 0) {
      const { offset, length } = compressedPlace(geometry, high, low)
      const first = geometry.cluster(offset)
      this.committer.free(first, geometry.cluster(offset + length - 1) - first + 1)
      return
    }
    const offset = entryOffset(high, low)
    if (offset !== 0 && offset !== kept) this.committer.free(geometry.cluster(offset), 1)
  }

  /** Gives an L1 entry a table of its own: empty, or a copy of the one that it shares. */
  private makeTable(index: number): Promise<void> {
    const running = this.making.get(index)
    if (running !== undefined) return running
    const making = this.makeTableNow(index).finally(() => { this.making.delete(index) })
    this.making.set(index, making)
    return making
  }

  private async makeTableNow(index: number): Promise<void> {
    const { clusterSize } = this.geometry
    const shared = await this.sharedTable(index)
    const { cluster } = await this.refcounts.allocate(1)
    try {
      const entries = new Uint8Array(clusterSize)
      if (shared !== 0) await this.file.read(shared, [entries])
      this.cache.forget(cluster * clusterSize, clusterSize)
      await this.file.write(cluster * clusterSize, [entries])
      await this.setTable(index, cluster * clusterSize)
    } catch (error) {
      await this.refcounts.giveBack(cluster, 1)
      throw error
    }
    if (shared !== 0) this.committer.free(this.geometry.cluster(shared), 1)
  }

  private async sharedTable(index: number): Promise<number> {
    const at = this.headerFile.header.l1TableOffset + index * ENTRY_BYTES
    let page
    while ((page = this.page(at)) === null) await this.load()
    return this.tableOffset(page, at - page.offset)
  }

  private async setTable(index: number, offset: number): Promise<void> {
    const at = this.headerFile.header.l1TableOffset + index * ENTRY_BYTES
    let page
    while ((page = this.page(at)) === null) await this.load()
    this.cache.touch(page, at - page.offset, 'mappings')
    page.view.setUint32(at - page.offset, (offsetHigh(offset) | COPIED) >>> 0)
    page.view.setUint32(at - page.offset + 4, offsetLow(offset))
    this.committer.linked()
  }

  /**
   * Clears some clusters, from `cluster` on, that have their entries in one page. Returns how many it has dealt with, or a negative
   * number if the first cannot be cleared here: it needs zeros written.
   */
  async clear(cluster: number, count: number, clearing: Clearing): Promise<number> {
    const { clusterSize } = this.geometry
    while (!this.find(cluster * clusterSize, count * clusterSize)) await this.load()
    const run = this.run
    const clusters = Math.ceil(run.length / clusterSize)
    if (this.staysAsItIs(run, clearing)) return clusters
    if (!this.hasZeroFlag && (this.hasBacking || (clearing === 'zero-keep' && run.kind === 'data'))) return clearing === 'discard' ? clusters : -clusters
    let page
    while (!isPage(page = this.findWritable(cluster))) await this.makeWritable(page, cluster)
    const at = this.entryAt
    const here = Math.min(clusters, (page.bytes.length - at) / ENTRY_BYTES)
    for (let entry = 0; entry < here; entry++) this.clearEntry(page, at + entry * ENTRY_BYTES, clearing)
    return here
  }

  private staysAsItIs({ kind }: Run, clearing: Clearing): boolean {
    if (kind === 'unallocated') return clearing === 'discard' || !this.hasBacking
    return kind === 'zero' || (kind === 'zero-allocated' && clearing === 'zero-keep')
  }

  private clearEntry(page: Page, at: number, clearing: Clearing): void {
    const high = page.view.getUint32(at)
    const low = page.view.getUint32(at + 4)
    const keeps = clearing === 'zero-keep' && (high & COPIED) !== 0
    if (keeps) this.replace(page, at, high, (low | ZERO) >>> 0)
    else this.replace(page, at, 0, this.hasBacking ? ZERO : 0)
  }
}
