/**
 * The slots of a dedup disk: a file of blocks, in groups of 512, each behind a page with the first 8 bytes of their hashes.
 *
 *     | hashes, 4096 | slot 0 | slot 1 | … | slot 511 | hashes, 4096 | slot 512 | …
 *
 * A slot is written once and then never changed, until nothing refers to it, on stable storage either. So which slots are in use is
 * not stored but found by reading the map: when the disk is opened, and by `beginMarking`…`endMarking` while it is in use. The hashes
 * are hints; they are written in any order, and what a crash leaves of them does no harm.
 */
import type { Buffers } from '../buffers.ts'
import type { StorageFile } from '../storage-file.ts'
import { BitMap } from './bit-map.ts'
import { DedupTable } from './dedup-table.ts'

const GROUP = 512
const HASH_PAGE = 4096
/** Changed pages of hashes that are kept before they are written. */
const DIRTY_PAGES = 64
/** Slot + 1 is a number of 32 bits. */
export const MAXIMUM_SLOTS = 2 ** 32 - 2

export class DedupSlots {
  readonly blockSize: number
  private readonly file: StorageFile
  private readonly table: DedupTable
  private inUse = new BitMap()
  private marking: BitMap | null = null
  private usedCount = 0
  private markedCount = 0
  /** Slots that were allocated and have not got their content yet: what is in them now may change at any moment. */
  private readonly unwritten = new Set<number>()
  /** Slots that a request is about to refer to, and how often. */
  private readonly pending = new Map<number, number>()
  private readonly hashPages = new Map<number, Uint32Array>()
  private count: number
  private cursor = 0

  constructor(file: StorageFile, blockSize: number, tableCapacity: number) {
    this.file = file
    this.blockSize = blockSize
    this.table = new DedupTable(tableCapacity)
    this.count = this.slotsIn(file.size)
  }

  /** Slots that there are, used or not. */
  get total(): number { return this.count }
  get used(): number { return this.usedCount }

  read(slot: number, into: Buffers): Promise<void> { return this.file.read(this.offsetOf(slot), into) }
  write(slot: number, from: Buffers): Promise<void> { return this.file.write(this.offsetOf(slot), from) }

  /** How many slots from `slot` on lie behind each other in the file. */
  contiguous(slot: number): number { return GROUP - slot % GROUP }

  offsetOf(slot: number): number {
    return (Math.floor(slot / GROUP) + 1) * HASH_PAGE + slot * this.blockSize
  }

  /** Slots that may have the content with this hash; each is held until `release`. */
  candidates(hash: Uint32Array): number[] {
    const isSettled = (slot: number): boolean => slot < this.count && this.inUse.has(slot) && !this.unwritten.has(slot)
    return this.table.candidates(hash[0], hash[1]).filter(isSettled).map(slot => this.hold(slot))
  }

  /** A free slot, held until `release`. */
  allocate(): number | null {
    while (this.usedCount < this.count && this.cursor < this.count) {
      const { isSet, end } = this.inUse.run(this.cursor, this.count)
      if (!isSet) break
      this.cursor = end
    }
    const slot = this.cursor < this.count && this.usedCount < this.count ? this.cursor : this.count
    if (slot >= MAXIMUM_SLOTS) return null
    this.cursor = slot + 1
    this.count = Math.max(this.count, slot + 1)
    this.use(slot)
    this.unwritten.add(slot)
    return this.hold(slot)
  }

  /** For another block of the same request. */
  holdAgain(slot: number): void { this.hold(slot) }

  /** The slot was allocated but could not be written. */
  giveUp(slot: number): void {
    if (this.inUse.has(slot)) this.usedCount--
    this.inUse.clear(slot)
    this.unwritten.delete(slot)
    this.cursor = Math.min(this.cursor, slot)
    this.release(slot)
  }

  release(slot: number): void {
    const left = (this.pending.get(slot) ?? 0) - 1
    if (left > 0) this.pending.set(slot, left)
    else this.pending.delete(slot)
  }

  /** The slot has got its content. */
  remember(slot: number, hash: Uint32Array): void {
    this.unwritten.delete(slot)
    this.table.add(hash[0], hash[1], slot)
    const group = Math.floor(slot / GROUP)
    let page = this.hashPages.get(group)
    if (page === undefined) this.hashPages.set(group, page = new Uint32Array(HASH_PAGE / 4))
    page.set(hash.subarray(0, 2), slot % GROUP * 2)
  }

  /** Something refers to the slot. */
  use(slot: number): void {
    if (!this.inUse.has(slot)) this.usedCount++
    this.inUse.set(slot, slot + 1)
    this.mark(slot)
  }

  /** From now on it is found out what is in use. All references are to be passed to `mark`, whether old or new. */
  beginMarking(): void {
    this.marking = new BitMap()
    this.markedCount = 0
    for (const slot of this.pending.keys()) this.mark(slot)
  }

  mark(slot: number): void {
    if (this.marking === null || this.marking.has(slot)) return
    this.marking.set(slot, slot + 1)
    this.markedCount++
  }

  /** What was not marked is free. Returns how many slots that has freed. */
  endMarking(): number {
    const freed = Math.max(0, this.usedCount - this.markedCount)
    this.inUse = this.marking ?? this.inUse
    this.usedCount = this.markedCount
    this.marking = null
    this.cursor = 0
    return freed
  }

  abandonMarking(): void { this.marking = null }

  /** Hints may be lost, so a failure here is none. */
  async writeHashes(all: boolean): Promise<void> {
    if (!all && this.hashPages.size < DIRTY_PAGES) return
    const pages = [...this.hashPages]
    this.hashPages.clear()
    for (const [group, page] of pages) await this.writeHashPage(group, page).catch(() => {})
  }

  /** Reads the hashes of slots in use, of the last ones if there are more than the table holds. */
  async loadHashes(): Promise<void> {
    const groups = Math.ceil(this.count / GROUP)
    const page = new Uint32Array(HASH_PAGE / 4)
    for (let group = Math.max(0, groups - Math.ceil(this.table.capacity / GROUP)); group < groups; group++) {
      await this.file.read(this.hashOffset(group), [new Uint8Array(page.buffer)])
      for (let at = 0; at < GROUP; at++) {
        if (this.inUse.has(group * GROUP + at)) this.table.add(page[at * 2], page[at * 2 + 1], group * GROUP + at)
      }
    }
  }

  /** Gives back what lies behind the last slot in use. Nothing may be under way. */
  async trim(): Promise<void> {
    let end = this.count
    while (end > 0 && !this.inUse.has(end - 1)) end--
    if (end === this.count) return
    this.count = end
    await this.file.truncate(end === 0 ? 0 : this.offsetOf(end - 1) + this.blockSize)
  }

  private hold(slot: number): number {
    this.pending.set(slot, (this.pending.get(slot) ?? 0) + 1)
    this.mark(slot)
    return slot
  }

  private hashOffset(group: number): number { return group * (HASH_PAGE + GROUP * this.blockSize) }

  /** Slots that were remembered before keep their hashes. */
  private async writeHashPage(group: number, page: Uint32Array): Promise<void> {
    const whole = new Uint32Array(HASH_PAGE / 4)
    await this.file.read(this.hashOffset(group), [new Uint8Array(whole.buffer)])
    for (let at = 0; at < page.length; at++) if (page[at] !== 0) whole[at] = page[at]
    await this.file.write(this.hashOffset(group), [new Uint8Array(whole.buffer)])
  }

  /** A last slot that is cut off counts: what refers to it reads what is there, and zeros. */
  private slotsIn(bytes: number): number {
    const groupBytes = HASH_PAGE + GROUP * this.blockSize
    const rest = bytes % groupBytes
    return Math.floor(bytes / groupBytes) * GROUP + Math.ceil(Math.max(0, rest - HASH_PAGE) / this.blockSize)
  }
}
