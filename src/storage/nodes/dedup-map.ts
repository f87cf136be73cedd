/**
 * Which slot each block of a dedup disk is in: an array of 32-bit numbers in a file, slot + 1, or 0 for a block of zeros. Pages of it
 * are kept in memory, a bounded number.
 *
 * A change goes to the file in `commit` only, and only after `barrier` (the slots' data is on stable storage) has been waited for. A
 * sector of 512 bytes is written whole or not at all, so after a crash each number is an old one or the new one, never a mixture.
 */
import { settleAll } from '../settle.ts'
import type { StorageFile } from '../storage-file.ts'

const PAGE_BYTES = 4096
export const PAGE_ENTRIES = PAGE_BYTES / 4
const SCAN_PAGES = 256

interface Page {
  readonly index: number
  readonly entries: Uint32Array
  isDirty: boolean
  /** Copies of it that are on their way to the file: until then the file is older than the page. */
  writing: number
}

export class DedupMap {
  private readonly file: StorageFile
  private readonly start: number
  private readonly limit: number
  private readonly barrier: () => Promise<void>
  /** In the order of their last use. */
  private readonly pages = new Map<number, Page>()
  private readonly loading = new Map<number, Promise<Page>>()
  private committing: Promise<void> = Promise.resolve()
  private nextCommit: Promise<void> | null = null

  /** The numbers begin at the byte `start` of the file. At most `limit` pages are kept. */
  constructor(file: StorageFile, start: number, limit: number, barrier: () => Promise<void>) {
    this.file = file
    this.start = start
    this.limit = limit
    this.barrier = barrier
  }

  async get(block: number): Promise<number> {
    const page = await this.page(Math.floor(block / PAGE_ENTRIES))
    return page.entries[block % PAGE_ENTRIES]
  }

  /** Returns what was there. The slot's data must be written, though not flushed. */
  async set(block: number, entry: number): Promise<number> {
    const index = Math.floor(block / PAGE_ENTRIES)
    let page = await this.page(index)
    // It may have gone while we waited for it.
    while (this.pages.get(index) !== page) page = await this.page(index)
    const before = page.entries[block % PAGE_ENTRIES]
    if (before !== entry) {
      page.entries[block % PAGE_ENTRIES] = entry
      page.isDirty = true
    }
    return before
  }

  /** Sets the numbers from `first` to before `end` to 0. Returns how many were not. */
  async clear(first: number, end: number): Promise<number> {
    let cleared = 0
    for (let block = first; block < end;) {
      const last = Math.min(end, (Math.floor(block / PAGE_ENTRIES) + 1) * PAGE_ENTRIES)
      const skipped = await this.hole(block, end)
      if (skipped === 0) for (let each = block; each < last; each++) if (await this.set(each, 0) !== 0) cleared++
      block = skipped === 0 ? last : block + skipped
    }
    return cleared
  }

  /** All changes made before are on stable storage. Calls that come meanwhile share the next round. */
  commit(): Promise<void> {
    this.nextCommit ??= this.committing.then(() => {
      this.nextCommit = null
      const committed = this.commitNow()
      this.committing = committed.catch(() => {})
      return committed
    })
    return this.nextCommit
  }

  /**
   * Visits all numbers of the first `blocks` blocks that are not 0, by parts of the map; a part that is a hole is skipped. What is changed
   * meanwhile may be seen as it was or as it is.
   */
  async scan(blocks: number, visit: (block: number, entry: number) => void): Promise<void> {
    const pages = Math.ceil(blocks / PAGE_ENTRIES)
    for (let first = 0; first < pages;) {
      const { data, length } = await this.file.extent(this.start + first * PAGE_BYTES, (pages - first) * PAGE_BYTES)
      const known = Math.max(1, Math.floor(length / PAGE_BYTES))
      const count = data ? Math.min(SCAN_PAGES, known, pages - first) : known
      const bytes = new Uint32Array(data ? count * PAGE_ENTRIES : 0)
      if (data) await this.file.read(this.start + first * PAGE_BYTES, [new Uint8Array(bytes.buffer)])
      this.visitPages(first, count, bytes, blocks, visit)
      first += count
    }
  }

  /** How many numbers from `block` on are 0 because their pages are neither in the file nor in memory. */
  private async hole(block: number, end: number): Promise<number> {
    const first = Math.floor(block / PAGE_ENTRIES)
    const { data, length } = await this.file.extent(this.start + first * PAGE_BYTES, Math.ceil((end - first * PAGE_ENTRIES) * 4))
    if (data) return 0
    let page = first + Math.ceil(length / PAGE_BYTES)
    for (const index of [...this.pages.keys(), ...this.loading.keys()]) if (index >= first) page = Math.min(page, index)
    return Math.max(0, Math.min(end, page * PAGE_ENTRIES) - block)
  }

  private visitPages(
    first: number, count: number, stored: Uint32Array, blocks: number, visit: (block: number, entry: number) => void,
  ): void {
    const kept = stored.length === 0 ? [...this.pages.values()].filter(page => page.index >= first && page.index < first + count) : []
    const indices = stored.length === 0 ? kept.map(page => page.index) : Array.from({ length: count }, (_, at) => first + at)
    for (const index of indices) {
      const at = (index - first) * PAGE_ENTRIES
      const entries = this.pages.get(index)?.entries ?? stored.subarray(at, at + PAGE_ENTRIES)
      for (let each = 0; each < entries.length && index * PAGE_ENTRIES + each < blocks; each++) {
        if (entries[each] !== 0) visit(index * PAGE_ENTRIES + each, entries[each])
      }
    }
  }

  private async page(index: number): Promise<Page> {
    const found = this.pages.get(index)
    if (found !== undefined) {
      this.pages.delete(index)
      this.pages.set(index, found)
      return found
    }
    const loading = this.loading.get(index) ?? this.load(index).finally(() => this.loading.delete(index))
    this.loading.set(index, loading)
    return loading
  }

  private async load(index: number): Promise<Page> {
    await this.makeRoom()
    const page = { index, entries: new Uint32Array(PAGE_ENTRIES), isDirty: false, writing: 0 }
    await this.file.read(this.start + index * PAGE_BYTES, [new Uint8Array(page.entries.buffer)])
    this.pages.set(index, page)
    return page
  }

  /** Pages that the file has as they are go first; if there are none, changes are committed. */
  private async makeRoom(): Promise<void> {
    for (let attempt = 0; attempt < 2 && this.pages.size >= this.limit; attempt++) {
      for (const page of this.pages.values()) {
        if (this.pages.size < this.limit) break
        if (!page.isDirty && page.writing === 0) this.pages.delete(page.index)
      }
      if (this.pages.size >= this.limit) await this.commit()
    }
  }

  private async commitNow(): Promise<void> {
    const pages = [...this.pages.values()].filter(page => page.isDirty)
    // As they are now: what is changed from here on may speak of data that the barrier does not cover.
    const copies = pages.map(page => page.entries.slice())
    for (const page of pages) {
      page.isDirty = false
      page.writing++
    }
    try {
      await this.barrier()
      await settleAll(pages.map((page, at) => this.file.write(this.start + page.index * PAGE_BYTES, [new Uint8Array(copies[at].buffer)])))
      await this.file.flush()
    } catch (error) {
      for (const page of pages) page.isDirty = true
      throw error
    } finally {
      for (const page of pages) page.writing--
    }
  }
}
