import { PAGE_SHIFT, PAGE_SIZE } from '../base/addresses.ts'
import { TenonError } from '../base/errors.ts'
import type { ReleasableMemory } from './balloon.ts'
import type { Pool, PoolErrorCode } from './pool.ts'
import { TransferLedger } from './transfers.ts'

/**
 * A VM's map from guest-physical pages to machine frames: one 32-bit entry a page, in the pool, the same for every thread.
 *
 * An entry is the frame's pool address (bits 12 to 31) and its state (bits 0 to 11). A page that was never written shows the pool's
 * zero frame and takes a frame of its own at its first write. A zero entry is no memory: a device's registers, or nothing at all.
 */

/** State bits of an entry. The bits not named here are kept for states that other rooms' features will need (sharing, swapping). */
export const FrameState = {
  PRESENT: 1,
  /** Shows the zero frame; the first write allocates. */
  ZERO: 2,
  /** Writes are ignored (ROM). */
  READ_ONLY: 4,
  /** Decoded code came from here: writes are reported to the code watchers. */
  WATCHED: 8,
} as const
export const FRAME_STATE_MASK = 0xfff
export const FRAME_ADDRESS_MASK = ~FRAME_STATE_MASK

/** Guest-physical pages below 4 GiB; RAM that does not fit below the PCI hole continues at this page. */
export const HIGH_MEMORY_PAGE = 1 << 20
/** MAXPHYADDR is 40: guest-physical page numbers have 28 bits. */
export const PHYSICAL_ADDRESS_BITS = 40

/** Told when bytes of a page that holds decoded code have changed. */
export interface CodeWatcher {
  /** `frame` is the frame's number in the pool, `page` the guest-physical page number; the bytes are written already. */
  codeWritten(frame: number, offset: number, length: number, page: number): void
  /** The page has lost its frame, which may soon be another's. Its state does not say WATCHED any more. */
  pageReleased(page: number): void
}

/** Told when cached translations to a page are no longer right. */
export interface TranslationObserver {
  /** Pages that showed the zero frame may have frames of their own now. */
  zeroFrameReplaced(): void
  /** No cached translation may write to the frame at this pool address directly any more. */
  frameProtected(address: number): void
  /** Pages have lost their frames: no cached translation, for reading or writing, may lead to one of them any more. */
  framesReleased(): void
}

export interface FrameMapLayout {
  /** Pages of RAM from guest-physical address 0, and from 4 GiB. */
  readonly lowPages: number
  readonly highPages: number
}

export class FrameMap implements ReleasableMemory {
  readonly pool: Pool
  readonly lowPages: number
  readonly highPages: number
  /** Entries in the table: guest-physical pages from 0. */
  readonly length: number
  /** The table as a typed array over the pool, indexed by guest-physical page number. */
  readonly entries: Uint32Array
  /** Pool address of the table, for another thread's `FrameMap.attach`. */
  readonly address: number
  /** Transfers by back ends, to and from this map's frames. */
  readonly transfers = new TransferLedger()
  private readonly codeWatchers: CodeWatcher[] = []
  private readonly observers: TranslationObserver[] = []

  private constructor(pool: Pool, layout: FrameMapLayout, address: number) {
    this.pool = pool
    this.lowPages = layout.lowPages
    this.highPages = layout.highPages
    this.length = HIGH_MEMORY_PAGE + layout.highPages
    this.address = address
    this.entries = new Uint32Array(pool.buffer, address, this.length)
  }

  /**
   * @throws TenonError POOL_EXHAUSTED when the pool could not hold all of the RAM.
   */
  static create(pool: Pool, layout: FrameMapLayout): FrameMap {
    const tablePages = tableSize(layout)
    const needed = layout.lowPages + layout.highPages + tablePages
    if (needed > pool.freePages) {
      const message = `a machine with ${needed >> 8} MiB does not fit: the memory pool has ${pool.freePages >> 8} MiB free`
      throw new TenonError<PoolErrorCode>('POOL_EXHAUSTED', message)
    }
    const map = new FrameMap(pool, layout, pool.allocateRun(tablePages))
    const unwritten = pool.zeroFrameAddress | FrameState.PRESENT | FrameState.ZERO
    map.entries.fill(unwritten, 0, layout.lowPages)
    map.entries.fill(unwritten, HIGH_MEMORY_PAGE, map.length)
    return map
  }

  /** The map that another thread created at `address`. */
  static attach(pool: Pool, layout: FrameMapLayout, address: number): FrameMap {
    return new FrameMap(pool, layout, address)
  }

  /** Gives every frame and the table back to the pool. The map must not be used afterwards. */
  destroy(): void {
    for (let page = 0; page < this.length; page++) {
      const entry = this.entries[page]
      if ((entry & (FrameState.PRESENT | FrameState.ZERO)) === FrameState.PRESENT) this.pool.freeFrame(frameAddress(entry))
    }
    this.reclaim()
    this.pool.freeRun(this.address, tableSize(this))
  }

  addCodeWatcher(watcher: CodeWatcher): void {
    this.codeWatchers.push(watcher)
  }

  addObserver(observer: TranslationObserver): void {
    this.observers.push(observer)
  }

  /** The entry of a guest-physical page; 0 for every page without memory. */
  entry(page: number): number {
    return page < this.length ? this.entries[page] : 0
  }

  /**
   * Pool address of a frame that may be written, for a page that is present and not read-only; allocates it at the first write.
   * @throws TenonError POOL_EXHAUSTED
   */
  writableFrame(page: number): number {
    const entry = this.entries[page]
    return (entry & FrameState.ZERO) === 0 ? frameAddress(entry) : this.replaceZeroFrame(page, entry)
  }

  /**
   * Takes the frames of pages away, as far as they are RAM with frames of their own: the guest does not need what is in them. The pages
   * read as zeros until they are written again. `ranges` are pairs of a first page and a count.
   */
  releasePages(ranges: readonly number[]): void {
    let released = false
    for (let range = 0; range < ranges.length; range += 2) {
      const end = Math.min(ranges[range] + ranges[range + 1], this.length)
      for (let page = ranges[range]; page < end; page++) released = this.releasePage(page) || released
    }
    if (released) for (const observer of this.observers) observer.framesReleased()
  }

  /** Gives released frames to the pool, those that no transfer can reach any more. Between instructions only. */
  reclaim(): void { this.transfers.reclaim((address) => this.pool.freeFrame(address)) }

  /** Adds ROM (a copy of `content`, padded with zeros to whole pages) at a guest-physical page below 4 GiB. */
  addRom(firstPage: number, content: Uint8Array): void {
    for (let offset = 0; offset < content.length; offset += PAGE_SIZE) {
      const address = this.newFrame()
      this.pool.u8.set(content.subarray(offset, offset + PAGE_SIZE), address)
      const page = firstPage + offset / PAGE_SIZE
      const old = this.entries[page]
      this.entries[page] = address | FrameState.PRESENT | FrameState.READ_ONLY
      if ((old & FrameState.PRESENT) !== 0) this.withdraw(old)
    }
  }

  /**
   * Marks a page as holding decoded code, so that every later write to it is reported.
   * @returns the pool address of its frame, or 0 where there is no memory to execute from.
   */
  watchCode(page: number): number {
    const entry = this.entry(page)
    if ((entry & FrameState.PRESENT) === 0) return 0
    if ((entry & (FrameState.WATCHED | FrameState.READ_ONLY)) !== 0) return frameAddress(entry)
    const address = this.writableFrame(page)
    this.entries[page] |= FrameState.WATCHED
    for (const observer of this.observers) observer.frameProtected(address)
    return address
  }

  /** No decoded code is left in this page. */
  unwatchCode(page: number): void {
    this.entries[page] &= ~FrameState.WATCHED
  }

  /** Reports a write that was made to a watched page. */
  codeWritten(page: number, offset: number, length: number): void {
    const frame = this.entries[page] >>> PAGE_SHIFT
    for (const watcher of this.codeWatchers) watcher.codeWritten(frame, offset, length, page)
  }

  private releasePage(page: number): boolean {
    const entry = this.entries[page]
    if ((entry & (FrameState.PRESENT | FrameState.ZERO | FrameState.READ_ONLY)) !== FrameState.PRESENT) return false
    this.entries[page] = this.pool.zeroFrameAddress | FrameState.PRESENT | FrameState.ZERO
    if ((entry & FrameState.WATCHED) !== 0) for (const watcher of this.codeWatchers) watcher.pageReleased(page)
    this.transfers.retire(frameAddress(entry))
    return true
  }

  private replaceZeroFrame(page: number, entry: number): number {
    const address = this.newFrame()
    const replaced = (address | (entry & FRAME_STATE_MASK & ~FrameState.ZERO)) >>> 0
    const seen = Atomics.compareExchange(this.entries, page, entry, replaced)
    if (seen !== entry) {
      this.pool.freeFrame(address)
      return frameAddress(seen)
    }
    for (const observer of this.observers) observer.zeroFrameReplaced()
    return address
  }

  private newFrame(): number {
    const address = this.pool.allocateFrame()
    if (address === 0) {
      const message = 'the memory pool has no frame left for a guest page: give it more memory'
      throw new TenonError<PoolErrorCode>('POOL_EXHAUSTED', message)
    }
    return address
  }

  private withdraw(entry: number): void {
    if ((entry & FrameState.ZERO) !== 0) for (const observer of this.observers) observer.zeroFrameReplaced()
    else this.pool.freeFrame(frameAddress(entry))
  }
}

/** The pool address in an entry. */
export function frameAddress(entry: number): number {
  return (entry & FRAME_ADDRESS_MASK) >>> 0
}

function tableSize(layout: FrameMapLayout): number {
  return Math.ceil((HIGH_MEMORY_PAGE + layout.highPages) * 4 / PAGE_SIZE)
}
