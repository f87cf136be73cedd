/**
 * Whether an image agrees with itself, and repairs of its refcounts.
 *
 * The references to all clusters are counted in windows of the file, so that the memory does not grow with the image; each window walks
 * all tables again. Nobody else uses the image meanwhile.
 */
import { TenonError } from '../../base/errors.ts'
import { storageError } from '../errors.ts'
import { COMPRESSED, COPIED, ENTRY_BYTES, entryOffset } from './layout.ts'
import type { Image } from './image.ts'
import { References, type Visitor } from './references.ts'

export interface CheckReport {
  /** What is wrong, as sentences; the first 100. */
  readonly errors: readonly string[]
  readonly errorCount: number
  /** Clusters that are counted more often than they are used: they are lost room, and no danger. */
  readonly leaks: number
  /** Clusters of the disk that have data, and how many of them compressed. */
  readonly allocatedClusters: number
  readonly compressedClusters: number
  /** Clusters of the disk. */
  readonly totalClusters: number
  /** Leaks and errors that were repaired, and are not among the others. */
  readonly repaired: number
}

/** `leaks`: lowers counts that are too high. `all`: makes counts right, and flags that follow from them. */
export type Repair = 'none' | 'leaks' | 'all'

const WINDOW = 8 << 20
const MAX_WINDOWS = 1024
const MAX_ERRORS = 100

export async function checkImage(image: Image, repair: Repair): Promise<CheckReport> {
  const check = new Check(image, repair)
  await check.run()
  return check.report()
}

/** Makes all refcounts right, after an end in the middle of writing. */
export async function repairRefcounts(image: Image): Promise<void> {
  const { errorCount, errors } = await checkImage(image, 'all')
  if (errorCount > 0) throw storageError('DISK_CORRUPT', `${image.file.path} was not closed and cannot be repaired: ${errors[0]}`)
}

class Check implements Visitor {
  private readonly image: Image
  private readonly repair: Repair
  private readonly errors: string[] = []
  private errorCount = 0
  private leaks = 0
  private repaired = 0
  private allocated = 0
  private compressed = 0
  private windowStart = 0
  private counts = new Uint32Array(0)
  private isFirst = true
  /** Clusters that are said to be the disk's own in the window, and those that are said not to be. */
  private flags = new Uint8Array(0)

  constructor(image: Image, repair: Repair) {
    this.image = image
    this.repair = repair
  }

  async run(): Promise<void> {
    const { refcounts, file, geometry, header, committer } = this.image
    if (this.repair === 'all') {
      await refcounts.coverAll()
      await committer.settle()
    }
    const { end } = refcounts
    if (end > WINDOW * MAX_WINDOWS) throw storageError('DISK_UNSUPPORTED', `${file.path} is too large to be checked`)
    // Behind the file's end a crash may have left counts of clusters that were never written: who repairs takes them back as well.
    const last = this.repair === 'none' ? end : Math.ceil(end / geometry.blockEntries) * geometry.blockEntries
    this.counts = new Uint32Array(Math.min(WINDOW, last))
    this.flags = new Uint8Array(Math.min(WINDOW, last))
    const references = new References(file, geometry, header, end)
    for (this.windowStart = 0; this.windowStart < last; this.windowStart += WINDOW) {
      this.counts.fill(0)
      this.flags.fill(0)
      await references.walk(this)
      this.isFirst = false
      await this.compare(Math.min(WINDOW, last - this.windowStart))
    }
    if (this.repair === 'all') await this.repairFlags()
  }

  report(): CheckReport {
    const { errors, errorCount, leaks, repaired, allocated, compressed, image } = this
    const totalClusters = image.geometry.clusters(image.header.size)
    return { errors, errorCount, leaks, repaired, allocatedClusters: allocated, compressedClusters: compressed, totalClusters }
  }

  refer(cluster: number, count: number): void {
    const first = Math.max(cluster, this.windowStart) - this.windowStart
    const last = Math.min(cluster + count - this.windowStart, this.counts.length)
    for (let index = first; index < last; index++) this.counts[index]++
  }

  damage(what: string): void { if (this.isFirst) this.error(what) }

  flag(cluster: number, copied: boolean): void {
    const index = cluster - this.windowStart
    if (index >= 0 && index < this.flags.length) this.flags[index] |= copied ? OWN : SHARED
  }

  data(compressed: boolean): void {
    if (!this.isFirst) return
    this.allocated++
    if (compressed) this.compressed++
  }

  private error(what: string): void {
    if (this.errorCount++ < MAX_ERRORS) this.errors.push(what)
  }

  private async compare(clusters: number): Promise<void> {
    const counted = new Uint32Array(4096)
    for (let index = 0; index < clusters;) {
      const here = Math.min(await this.readCounts(this.windowStart + index, counted), clusters - index)
      for (let at = 0; at < here; at++, index++) {
        if (counted[at] !== this.counts[index] || this.flags[index] !== 0) await this.compareCluster(index, counted[at])
      }
    }
  }

  /** Where the refcount block cannot be, nothing is counted. */
  private async readCounts(cluster: number, into: Uint32Array): Promise<number> {
    try {
      return await this.image.refcounts.read(cluster, into)
    } catch (error) {
      if (!(error instanceof TenonError) || error.code !== 'DISK_CORRUPT') throw error
      this.error(error.message)
      into.fill(0)
      return Math.min(into.length, this.image.geometry.blockEntries - cluster % this.image.geometry.blockEntries)
    }
  }

  private async compareCluster(index: number, counted: number): Promise<void> {
    const used = this.counts[index]
    const offset = (this.windowStart + index) * this.image.geometry.clusterSize
    const mends = this.repair === 'all' || (this.repair === 'leaks' && counted > used)
    if (counted !== used && mends) {
      await this.image.refcounts.add(this.windowStart + index, used - counted)
      this.repaired++
      await this.image.committer.throttle()
    } else if (counted > used) this.leaks++
    else if (counted < used) this.error(`the cluster at ${offset} is used ${used} times and counted ${counted} times`)
    const isOwn = (mends ? used : counted) === 1
    if (this.repair !== 'all' && (this.flags[index] & (isOwn ? SHARED : OWN)) !== 0) {
      this.error(`the cluster at ${offset} is counted ${counted} times, and its entry says ${isOwn ? 'several' : 'once'}`)
    }
  }

  /** Sets the flags of the disk's own tables from the counts. */
  private async repairFlags(): Promise<void> {
    const { header } = this.image
    await this.eachEntry(header.l1TableOffset, header.l1Size, async (high, low) => {
      const offset = entryOffset(high, low)
      if (offset !== 0 && this.isInside(offset)) await this.eachEntry(offset, this.image.geometry.l2Entries, async () => {})
    })
  }

  private isInside(offset: number): boolean {
    const { geometry, refcounts } = this.image
    return geometry.isAligned(offset) && geometry.cluster(offset) < refcounts.end
  }

  /** Corrects the flags of a table's entries, and visits them. */
  private async eachEntry(table: number, entries: number, visit: (high: number, low: number) => Promise<void>): Promise<void> {
    const { cache, committer } = this.image
    for (let entry = 0; entry < entries; entry++) {
      const at = table + entry * ENTRY_BYTES
      let page
      while ((page = cache.peek(at)) === null) await cache.load(at)
      const [high, low] = [page.view.getUint32(at - page.offset), page.view.getUint32(at - page.offset + 4)]
      if (high === 0 && low === 0) continue
      await this.correct(at, high, low)
      await committer.throttle()
      await visit(high, low)
    }
  }

  private async correct(at: number, high: number, low: number): Promise<void> {
    const offset = entryOffset(high, low)
    const { cache, refcounts, geometry } = this.image
    if ((high & COMPRESSED) !== 0 || offset === 0 || !this.isInside(offset)) return
    const flag = await refcounts.get(geometry.cluster(offset)) === 1 ? COPIED : 0
    if ((high & COPIED) >>> 0 === flag) return
    let page
    while ((page = cache.peek(at)) === null) await cache.load(at)
    cache.touch(page, at - page.offset, 'mappings')
    page.view.setUint32(at - page.offset, ((high & ~COPIED) | flag) >>> 0)
    this.image.committer.linked()
    this.repaired++
  }
}

const OWN = 1
const SHARED = 2
