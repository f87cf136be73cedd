/**
 * The tables of an image, in pages: L1, L2, refcount table and refcount blocks alike, keyed by their place in the file. What is not in
 * use is not in memory, so that opening an image reads its header only, and the memory is bounded however large the image is.
 *
 * A page that was changed is dirty by sectors of 512 bytes and stays until it was written. `takeDirty` hands out copies of the dirty
 * sectors, sorted by when they may be written; the pages remain pinned until `settle` says how that went.
 *
 * Who reads or changes a page does so at once after `peek`: a page found is the page only until the next `await`.
 *
 *     let page
 *     while ((page = cache.peek(offset)) === null) await cache.load(offset)
 */
import { storageError } from '../errors.ts'
import type { StorageFile } from '../storage-file.ts'
import { viewOf } from './layout.ts'

const PAGE_BYTES = 4096
const SECTOR = 512
const MIN_PAGES = 64

/**
 * When a change may reach the file: `counts` (refcounts, which may be too high) at any time; `blocks` (the refcount table) after the
 * blocks it points to; `mappings` (L1 and L2) after everything they refer to.
 */
export type Order = 'counts' | 'blocks' | 'mappings'

export interface Page {
  readonly offset: number
  readonly bytes: Uint8Array
  readonly view: DataView
  /** A flag for each sector. */
  readonly dirty: Uint8Array
  dirtyCount: number
  order: Order
  /** Taken for writing and not settled. */
  writing: number
  /** Looked at since the hand passed. */
  recent: boolean
}

/** A sector as it was when it was taken. */
export interface DirtySector {
  readonly page: Page
  readonly sector: number
  readonly offset: number
  readonly bytes: Uint8Array
}

export type DirtySectors = Readonly<Record<Order, DirtySector[]>>

export class MetadataCache {
  readonly pageBytes: number
  private readonly file: StorageFile
  private readonly maxPages: number
  private readonly pages = new Map<number, Page>()
  /** The pages in a ring, for the hand that looks for one to give up (the CLOCK algorithm). */
  private readonly ring: Page[] = []
  private hand = 0
  private readonly loading = new Map<number, Promise<void>>()
  private dirtyPages = 0
  private last: Page | null = null

  /** `limit`: bytes of pages that it may have, at least 64 pages. */
  constructor(file: StorageFile, clusterSize: number, limit: number) {
    this.file = file
    this.pageBytes = Math.min(PAGE_BYTES, clusterSize)
    this.maxPages = Math.max(MIN_PAGES, Math.floor(limit / this.pageBytes))
  }

  /** Bytes of changes that are to be written, by whole pages. */
  get dirtyBytes(): number { return this.dirtyPages * this.pageBytes }

  get bytes(): number { return this.ring.length * this.pageBytes }

  get limit(): number { return this.maxPages * this.pageBytes }

  /** The page with the byte `offset`, if it is here. */
  peek(offset: number): Page | null {
    const start = offset - offset % this.pageBytes
    const { last } = this
    if (last !== null && last.offset === start) return last
    const page = this.pages.get(start)
    if (page === undefined) return null
    page.recent = true
    this.last = page
    return page
  }

  /** Reads the page with the byte `offset`. */
  load(offset: number): Promise<void> {
    const start = offset - offset % this.pageBytes
    const running = this.loading.get(start)
    if (running !== undefined) return running
    const loading = this.read(start).finally(() => { this.loading.delete(start) })
    this.loading.set(start, loading)
    return loading
  }

  private async read(start: number): Promise<void> {
    const bytes = new Uint8Array(this.pageBytes)
    await this.file.read(start, [bytes])
    if (!this.pages.has(start)) this.add(start, bytes)
  }

  /** Puts a page there without reading the file: its bytes are `bytes`, which the cache keeps. */
  add(start: number, bytes: Uint8Array): Page {
    if (this.pages.has(start)) throw storageError('DISK_CORRUPT', `${this.file.path} uses the metadata at ${start} for two purposes`)
    const page: Page = {
      offset: start, bytes, view: viewOf(bytes), dirty: new Uint8Array(Math.ceil(bytes.length / SECTOR)), dirtyCount: 0, order: 'counts',
      writing: 0, recent: true,
    }
    this.makeRoom()
    this.ring.push(page)
    this.pages.set(start, page)
    return page
  }

  /** The bytes from `at` on, in the page, are about to be changed. They lie in one sector. Throws DISK_CORRUPT for a page of two tables. */
  touch(page: Page, at: number, order: Order): void {
    const sector = Math.floor(at / SECTOR)
    if (page.order !== order && (page.dirtyCount > 0 || page.writing > 0)) {
      throw storageError('DISK_CORRUPT', `${this.file.path} uses the table at ${page.offset} for two purposes`)
    }
    page.order = order
    if (page.dirty[sector] !== 0) return
    page.dirty[sector] = 1
    if (page.dirtyCount++ === 0) this.dirtyPages++
  }

  /** Copies the dirty sectors of some orders; they count as clean from now on, and their pages are pinned. */
  takeDirty(orders: readonly Order[]): DirtySectors {
    const taken: Record<Order, DirtySector[]> = { counts: [], blocks: [], mappings: [] }
    if (this.dirtyPages === 0) return taken
    for (const page of this.ring) {
      if (page.dirtyCount > 0 && orders.includes(page.order)) this.take(page, taken[page.order])
    }
    for (const order of orders) taken[order].sort((one, other) => one.offset - other.offset)
    return taken
  }

  private take(page: Page, into: DirtySector[]): void {
    for (let sector = 0; sector < page.dirty.length; sector++) {
      if (page.dirty[sector] === 0) continue
      const at = sector * SECTOR
      into.push({ page, sector, offset: page.offset + at, bytes: page.bytes.slice(at, at + SECTOR) })
    }
    page.writing++
    this.clean(page)
  }

  /** What `takeDirty` handed out was written, or was not: then it is dirty again. */
  settle(taken: DirtySectors, written: boolean): void {
    for (const [order, sectors] of Object.entries(taken)) {
      const pages = new Set(sectors.map(({ page }) => page))
      for (const page of pages) page.writing--
      if (written) continue
      for (const { page, sector } of sectors) if (this.pages.get(page.offset) === page) this.touch(page, sector * SECTOR, order as Order)
    }
  }

  /** Forgets the pages of a range, changes included: it is not metadata any more, or not yet. */
  forget(offset: number, length: number): void {
    for (let at = offset; at < offset + length; at += this.pageBytes) {
      const page = this.pages.get(at)
      if (page !== undefined) this.remove(page)
    }
  }

  /** Forgets everything, changes included. */
  clear(): void { for (const page of Array.from(this.ring)) this.remove(page) }

  private clean(page: Page): void {
    if (page.dirtyCount > 0) this.dirtyPages--
    page.dirty.fill(0)
    page.dirtyCount = 0
  }

  private makeRoom(): void {
    for (let looked = 0; this.ring.length >= this.maxPages && looked < 2 * this.ring.length; looked++) {
      if (this.hand >= this.ring.length) this.hand = 0
      const page = this.ring[this.hand]
      if (page.dirtyCount > 0 || page.writing > 0 || page.recent) this.hand++
      else this.remove(page)
      page.recent = false
    }
  }

  private remove(page: Page): void {
    this.clean(page)
    this.pages.delete(page.offset)
    if (this.last === page) this.last = null
    const at = this.ring[this.hand] === page ? this.hand : this.ring.indexOf(page)
    const end = this.ring.pop()
    if (end !== undefined && end !== page) this.ring[at] = end
  }
}
