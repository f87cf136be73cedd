/**
 * Brings changes of the metadata to the file, in an order in which a crash at any instant leaves a sound image: at worst clusters that
 * are counted and not used.
 *
 *     refcounts                    may be too high
 *     ── flush ──                  with it all data, and tables that nothing points to yet
 *     refcount table, header       point to blocks and tables that are durable
 *     ── flush ──                  (only if there were any)
 *     L1 and L2                    point to clusters that are counted and filled
 *     ── flush ──
 *     clusters are given back      nothing refers to them any more
 *
 * All that changes while a commit runs belongs to the next one: a commit writes copies. A commit that fails leaves its changes to be
 * written by the next.
 *
 * The dirty bit is set before the first change, and cleared at the end: who opens an image for writing that was not closed, QEMU as well,
 * gives lost clusters back (docs/decisions/a-qcow2-is-dirty-while-it-is-written.md). Lazy refcounts are written only when the cache is full
 * of them, and at the end. Version 2 has neither bit.
 */
import type { StorageFile } from '../storage-file.ts'
import type { HeaderFile } from './header-file.ts'
import { DIRTY } from './header.ts'
import type { Geometry } from './layout.ts'
import type { DirtySector, DirtySectors, MetadataCache, Order } from './metadata-cache.ts'
import type { Operations } from './operations.ts'
import { Pending } from './pending.ts'
import type { Refcounts } from './refcounts.ts'

interface Clusters {
  readonly cluster: number
  count: number
}

/** Clusters that nothing refers to any more, not even after a crash; a request of the epoch, or of one before, may still be at them. */
interface Batch {
  readonly epoch: number
  readonly clusters: Clusters[]
}

interface Taken {
  readonly sectors: DirtySectors
  readonly header: Uint8Array | null
  readonly needsBarrier: boolean
  readonly batch: Batch
}

const COUNTS: readonly Order[] = ['counts']
const WITHOUT_COUNTS: readonly Order[] = ['mappings']
const ALL: readonly Order[] = ['counts', 'blocks', 'mappings']
/** Bytes of changes, and ranges to give back, at which writers wait for a commit. */
const MAX_DIRTY = 2 << 20
const MAX_FREED = 65536
/** The part of that at which a commit is started unasked. */
const START_AT = 0.5

export class Committer {
  private readonly file: StorageFile
  private readonly geometry: Geometry
  private readonly cache: MetadataCache
  private readonly headerFile: HeaderFile
  private readonly refcounts: Refcounts
  private readonly operations: Operations
  private readonly maxDirty: number
  /** Told of clusters that are going to be free. */
  onFree: (cluster: number, count: number) => void = () => {}
  /** Clusters that mappings in memory do not refer to any more. */
  private freed: Clusters[] = []
  private batches: Batch[] = []
  private needsBarrier = false
  private running: Promise<void> | null = null
  private next: Promise<void> | null = null

  constructor(
    file: StorageFile, geometry: Geometry, cache: MetadataCache, headerFile: HeaderFile, refcounts: Refcounts, operations: Operations,
  ) {
    this.file = file
    this.geometry = geometry
    this.cache = cache
    this.headerFile = headerFile
    this.refcounts = refcounts
    this.operations = operations
    this.maxDirty = Math.min(MAX_DIRTY, cache.limit / 4)
  }

  /** A mapping in memory refers to clusters that were not used before. */
  linked(): void { this.needsBarrier = true }

  /** A mapping in memory has lost a reference to each of these clusters. */
  free(cluster: number, count: number): void {
    this.onFree(cluster, count)
    const last = this.freed.at(-1)
    if (last !== undefined && last.cluster + last.count === cluster) last.count += count
    else this.freed.push({ cluster, count })
  }

  /** Makes durable all that is in memory when it is called. */
  commit(): Promise<void> {
    if (this.running === null) return this.start(false)
    this.next ??= this.running.catch(() => {}).then(() => {
      this.next = null
      return this.running ?? this.start(false)
    })
    return this.next
  }

  /** Before a change of metadata: starts a commit when much is to be written, and waits when it is too much. */
  async throttle(): Promise<void> {
    const { pressure } = this
    if (pressure >= 1) await this.commit()
    else if (pressure >= START_AT && this.running === null) this.commit().catch(() => {})
  }

  private get pressure(): number { return Math.max(this.cache.dirtyBytes / this.maxDirty, this.freed.length / MAX_FREED) }

  /** Makes everything durable and gives back all that is free. Nobody else may use the image meanwhile. */
  async settle(): Promise<void> {
    while (this.running !== null || this.next !== null) await (this.next ?? this.running)?.catch(() => {})
    await this.start(true)
    if (this.cache.dirtyBytes > 0) await this.start(true)
  }

  /** After `settle`, at the end of the use of an image. */
  async clearDirtyBit(): Promise<void> {
    const { header } = this.headerFile
    if ((header.incompatible & DIRTY) !== 0) await this.headerFile.setIncompatible(header.incompatible & ~DIRTY)
  }

  private start(all: boolean): Promise<void> {
    this.running = this.run(all).finally(() => { this.running = null })
    return this.running
  }

  private async run(all: boolean): Promise<void> {
    const taken = this.take(all)
    let written = false
    try {
      if (changesTables(taken)) await this.setDirtyBit()
      await this.write(taken)
      written = true
    } finally {
      this.cache.settle(taken.sectors, written)
      if (!written) this.takeBack(taken)
    }
    this.batches.push(taken.batch)
    await this.release()
  }

  private take(all: boolean): Taken {
    const lazy = this.headerFile.header.lazyRefcounts && !all && this.pressure < START_AT
    const header = this.headerFile.takeChange()
    const taken = {
      sectors: this.cache.takeDirty(lazy && header === null ? WITHOUT_COUNTS : ALL), header, needsBarrier: this.needsBarrier,
      batch: { epoch: this.operations.newEpoch(), clusters: [...this.freed, ...this.headerFile.released.splice(0)] },
    }
    this.freed = []
    this.needsBarrier = false
    return taken
  }

  private takeBack(taken: Taken): void {
    if (taken.header !== null) this.headerFile.notWritten()
    this.needsBarrier ||= taken.needsBarrier
    this.freed = [...taken.batch.clusters, ...this.freed]
  }

  private async setDirtyBit(): Promise<void> {
    const { header } = this.headerFile
    if (header.version < 3 || (header.incompatible & DIRTY) !== 0) return
    await this.headerFile.setIncompatible(header.incompatible | DIRTY)
  }

  private async write({ sectors, header, needsBarrier }: Taken): Promise<void> {
    await this.writeSectors(sectors.counts)
    const tables = header !== null || sectors.blocks.length > 0
    if (tables || (needsBarrier && sectors.mappings.length > 0)) await this.file.flush()
    if (tables) await this.writeTables(sectors.blocks, header, sectors.mappings.length > 0)
    await this.writeSectors(sectors.mappings)
    await this.file.flush()
  }

  private async writeTables(blocks: readonly DirtySector[], header: Uint8Array | null, flush: boolean): Promise<void> {
    await this.writeSectors(blocks)
    if (header !== null) await this.headerFile.writeTables(header)
    if (flush) await this.file.flush()
  }

  /** Sectors are sorted; those in a row are written together. */
  private async writeSectors(sectors: readonly DirtySector[]): Promise<void> {
    const pending = new Pending()
    for (let at = 0; at < sectors.length;) {
      let end = at + 1
      while (end < sectors.length && sectors[end].offset === sectors[end - 1].offset + sectors[end - 1].bytes.length) end++
      await pending.room()
      pending.add(this.file.write(sectors[at].offset, sectors.slice(at, end).map(({ bytes }) => bytes)))
      at = end
    }
    await pending.done()
  }

  /** Gives back what no request can be at any more. What cannot be given back stays counted: a check finds it. */
  private async release(): Promise<void> {
    const ready = this.batches.filter(({ epoch }) => this.operations.isOver(epoch))
    this.batches = this.batches.filter(batch => !ready.includes(batch))
    const clusters = ready.flatMap(batch => batch.clusters)
    for (const { cluster, count } of clusters) await this.releaseClusters(cluster, count).catch(() => {})
    if (clusters.length > 0 && !this.headerFile.header.lazyRefcounts) await this.writeCounts()
  }

  private async releaseClusters(cluster: number, count: number): Promise<void> {
    const { clusterSize } = this.geometry
    for (let at = cluster; at < cluster + count;) {
      let unused = 0
      while (at + unused < cluster + count && await this.refcounts.get(at + unused) === 1) unused++
      if (unused > 0) await this.file.punchHole(at * clusterSize, unused * clusterSize).catch(() => false)
      for (const end = at + Math.max(unused, 1); at < end; at++) await this.refcounts.add(at, -1)
    }
  }

  /** Without a flush: so that a program that ends here leaves nothing to repair. */
  private async writeCounts(): Promise<void> {
    const sectors = this.cache.takeDirty(COUNTS)
    let written = false
    try {
      await this.writeSectors(sectors.counts)
      written = true
    } finally {
      this.cache.settle(sectors, written)
    }
  }
}

const changesTables = ({ header, sectors }: Taken): boolean => header !== null || Object.values(sectors).some(({ length }) => length > 0)
