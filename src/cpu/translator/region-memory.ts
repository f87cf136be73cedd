/**
 * Pool memory for regions' headers and exit tables. Both are packed: the dispatcher touches a header at every entry, and headers at the
 * same place in different pages would all compete for the same few lines of the data cache.
 */
import type { Pool } from '../../machine/pool.ts'
import { RegionHeader } from './exits.ts'

const PAGE_SHIFT = 12
/** Pages taken from the pool at a time. */
const CHUNK_PAGES = 64
const CHUNK_SIZE = CHUNK_PAGES << PAGE_SHIFT
/** Exit tables are rounded up to this. */
const GRANULE = 256

export class RegionMemory {
  private readonly pool: Pool
  private readonly headers: number[] = []
  /** Freed tables by their size in granules. */
  private readonly free = new Map<number, number[]>()
  private next = 0
  private end = 0

  constructor(pool: Pool) { this.pool = pool }

  /** Address of the header of the region at a position of the function table. */
  header(position: number): number {
    const perChunk = Math.floor(CHUNK_SIZE / RegionHeader.SIZE)
    const chunk = Math.floor(position / perChunk)
    while (this.headers.length <= chunk) this.headers.push(this.pool.allocateRun(CHUNK_PAGES))
    return this.headers[chunk] + (position % perChunk) * RegionHeader.SIZE
  }

  allocate(bytes: number): number {
    const granules = Math.ceil(bytes / GRANULE)
    const recycled = this.free.get(granules)?.pop()
    if (recycled !== undefined) return recycled
    if (this.end - this.next < granules * GRANULE) this.takeChunk(granules)
    const address = this.next
    this.next += granules * GRANULE
    return address
  }

  release(address: number, bytes: number): void {
    const granules = Math.ceil(bytes / GRANULE)
    const known = this.free.get(granules) ?? []
    known.push(address)
    this.free.set(granules, known)
  }

  private takeChunk(granules: number): void {
    const pages = Math.max(CHUNK_PAGES, (granules * GRANULE) >> PAGE_SHIFT)
    this.next = this.pool.allocateRun(pages)
    this.end = this.next + (pages << PAGE_SHIFT)
  }
}
