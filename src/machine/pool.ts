import { PAGE_SHIFT, PAGE_SIZE } from '../base/addresses.ts'
import { TenonError } from '../base/errors.ts'

/**
 * The memory of one trust domain: one `WebAssembly.Memory` that holds vCPU slots and blocks, decoded code and the guests' frames.
 *
 * The first 64 KiB are the pool's header (1 KiB) and the vCPU slots. Above them, contiguous *runs* (vCPU blocks, arenas, frame
 * maps) are given out from the bottom up and single *frames* (guest RAM) from the top down, so that runs have low addresses, and
 * memory that was never used is never touched. What is freed goes to lists kept inside the free pages themselves. Everything
 * mutable is in the memory, under one spin lock, so that any thread may attach to a pool and allocate from it.
 */

/** Largest pool: all of a 32-bit WebAssembly memory. */
export const MAX_POOL_SIZE = 2 ** 32
const MIN_POOL_SIZE = 1 << 20
const WASM_PAGE_SIZE = 65536
const FIRST_PAGE = WASM_PAGE_SIZE >> PAGE_SHIFT

/** Indices of the header's 32-bit words. Page numbers are those of 4 KiB pages; 0 ends a list. */
const Header = {
  MAGIC: 0,
  LOCK: 1,
  TOTAL_PAGES: 2,
  /** The untouched pages are RUN_TOP (inclusive) to FRAME_BOTTOM (exclusive). */
  RUN_TOP: 3,
  FRAME_BOTTOM: 4,
  FREE_FRAMES: 5,
  FREE_FRAME_COUNT: 6,
  FREE_RUNS: 7,
  FREE_RUN_PAGES: 8,
  /** Slots in use, one bit each (bit 0 is the header's own place). */
  SLOTS_LOW: 9,
  SLOTS_HIGH: 10,
  /** The page that every unwritten guest page shows. */
  ZERO_FRAME: 11,
} as const
const MAGIC = 0x6c6f6f70

/** Words at the start of a free page. */
const FreePage = { NEXT: 0, PAGES: 1 } as const

export type PoolErrorCode = 'POOL_SIZE_INVALID' | 'POOL_EXHAUSTED'

export class Pool {
  readonly memory: WebAssembly.Memory
  readonly buffer: ArrayBuffer | SharedArrayBuffer
  readonly u8: Uint8Array
  readonly i32: Int32Array
  readonly u32: Uint32Array
  /** Pool address of the frame of zeros. Nothing may ever be written there. */
  readonly zeroFrameAddress: number

  private constructor(memory: WebAssembly.Memory) {
    this.memory = memory
    this.buffer = memory.buffer
    this.u8 = new Uint8Array(memory.buffer)
    this.i32 = new Int32Array(memory.buffer)
    this.u32 = new Uint32Array(memory.buffer)
    if (this.i32[Header.MAGIC] !== MAGIC) this.initialize()
    this.zeroFrameAddress = pageAddress(this.u32[Header.ZERO_FRAME])
  }

  /**
   * Creates a pool of `bytes` (1 MiB to 4 GiB, rounded up to 64 KiB). The host commits memory only as it is touched.
   * @throws TenonError POOL_SIZE_INVALID or POOL_EXHAUSTED (the host refuses to reserve that much).
   */
  static create(bytes: number): Pool {
    if (!(bytes >= MIN_POOL_SIZE && bytes <= MAX_POOL_SIZE)) {
      throw new TenonError<PoolErrorCode>('POOL_SIZE_INVALID', `a memory pool has 1 MiB to 4 GiB, not ${bytes} bytes`)
    }
    const pages = Math.ceil(bytes / WASM_PAGE_SIZE)
    try {
      return new Pool(new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true }))
    } catch (cause) {
      const message = `the host cannot reserve a memory pool of ${pages >> 4} MiB: give the machines less memory`
      throw new TenonError<PoolErrorCode>('POOL_EXHAUSTED', message, { cause })
    }
  }

  /** The pool in a memory that another thread created. */
  static attach(memory: WebAssembly.Memory): Pool {
    return new Pool(memory)
  }

  /** Pages that allocateFrame can still give. */
  get freePages(): number {
    const word = (index: number): number => Atomics.load(this.i32, index)
    return word(Header.FRAME_BOTTOM) - word(Header.RUN_TOP) + word(Header.FREE_FRAME_COUNT) + word(Header.FREE_RUN_PAGES)
  }

  /** Pool address of a zeroed frame; 0 when the pool is exhausted. */
  allocateFrame(): number {
    this.lock()
    const recycled = this.popFrame()
    const fresh = recycled === 0 ? this.takeFreshFrame() : 0
    this.unlock()
    if (recycled !== 0) this.u8.fill(0, pageAddress(recycled), pageAddress(recycled) + PAGE_SIZE)
    return pageAddress(recycled + fresh)
  }

  freeFrame(address: number): void {
    const page = address >>> PAGE_SHIFT
    this.lock()
    this.u32[(address >>> 2) + FreePage.NEXT] = this.u32[Header.FREE_FRAMES]
    this.u32[Header.FREE_FRAMES] = page
    this.u32[Header.FREE_FRAME_COUNT]++
    this.unlock()
  }

  /**
   * Pool address of `pages` contiguous zeroed pages.
   * @throws TenonError POOL_EXHAUSTED
   */
  allocateRun(pages: number): number {
    this.lock()
    const recycled = this.takeFreeRun(pages)
    const fresh = recycled === 0 ? this.takeFreshRun(pages) : 0
    this.unlock()
    if (recycled + fresh === 0) throw exhausted(pages)
    if (recycled !== 0) this.u8.fill(0, pageAddress(recycled), pageAddress(recycled + pages))
    return pageAddress(recycled + fresh)
  }

  /** Gives a run, or the tail of one, back. */
  freeRun(address: number, pages: number): void {
    this.lock()
    this.pushRun(address >>> PAGE_SHIFT, pages)
    this.unlock()
  }

  /**
   * Number of a free vCPU slot, 1 to 63; the slot's memory is zero.
   * @throws TenonError POOL_EXHAUSTED
   */
  allocateSlot(slotSize: number): number {
    this.lock()
    const slot = this.takeSlot()
    this.unlock()
    if (slot === 0) throw new TenonError<PoolErrorCode>('POOL_EXHAUSTED', 'a memory pool serves at most 63 vCPUs: use another pool')
    this.u8.fill(0, slot * slotSize, (slot + 1) * slotSize)
    return slot
  }

  freeSlot(slot: number): void {
    this.lock()
    this.u32[slot < 32 ? Header.SLOTS_LOW : Header.SLOTS_HIGH] &= ~(1 << (slot & 31))
    this.unlock()
  }

  private initialize(): void {
    const pages = this.buffer.byteLength / PAGE_SIZE
    const words = this.u32
    words[Header.TOTAL_PAGES] = pages
    words[Header.RUN_TOP] = FIRST_PAGE + 1
    words[Header.FRAME_BOTTOM] = pages
    words[Header.SLOTS_LOW] = 1
    words[Header.ZERO_FRAME] = FIRST_PAGE
    words[Header.MAGIC] = MAGIC
  }

  private lock(): void {
    while (Atomics.compareExchange(this.i32, Header.LOCK, 0, 1) !== 0);
  }

  private unlock(): void {
    Atomics.store(this.i32, Header.LOCK, 0)
  }

  private popFrame(): number {
    const page = this.u32[Header.FREE_FRAMES]
    if (page === 0) return 0
    this.u32[Header.FREE_FRAMES] = this.u32[(page << (PAGE_SHIFT - 2)) + FreePage.NEXT]
    this.u32[Header.FREE_FRAME_COUNT]--
    return page
  }

  private takeFreshFrame(): number {
    if (this.u32[Header.FRAME_BOTTOM] === this.u32[Header.RUN_TOP]) return this.takeFreeRunZeroed()
    return --this.u32[Header.FRAME_BOTTOM]
  }

  /** A single page from the free runs, when nothing else is left. */
  private takeFreeRunZeroed(): number {
    const page = this.takeFreeRun(1)
    if (page !== 0) this.u8.fill(0, pageAddress(page), pageAddress(page) + PAGE_SIZE)
    return page
  }

  private takeFreshRun(pages: number): number {
    const first = this.u32[Header.RUN_TOP]
    if (this.u32[Header.FRAME_BOTTOM] - first < pages) return 0
    this.u32[Header.RUN_TOP] = first + pages
    return first
  }

  /** First fit; what is left of the run stays free. */
  private takeFreeRun(pages: number): number {
    let link: number = Header.FREE_RUNS
    for (let page = this.u32[link]; page !== 0; page = this.u32[link]) {
      const words = page << (PAGE_SHIFT - 2)
      const size = this.u32[words + FreePage.PAGES]
      if (size >= pages) {
        this.u32[link] = this.u32[words + FreePage.NEXT]
        this.u32[Header.FREE_RUN_PAGES] -= size
        if (size > pages) this.pushRun(page + pages, size - pages)
        return page
      }
      link = words + FreePage.NEXT
    }
    return 0
  }

  private pushRun(page: number, pages: number): void {
    const words = page << (PAGE_SHIFT - 2)
    this.u32[words + FreePage.NEXT] = this.u32[Header.FREE_RUNS]
    this.u32[words + FreePage.PAGES] = pages
    this.u32[Header.FREE_RUNS] = page
    this.u32[Header.FREE_RUN_PAGES] += pages
  }

  private takeSlot(): number {
    for (let slot = 1; slot < 64; slot++) {
      const word = slot < 32 ? Header.SLOTS_LOW : Header.SLOTS_HIGH
      const bit = 1 << (slot & 31)
      if ((this.u32[word] & bit) !== 0) continue
      this.u32[word] |= bit
      return slot
    }
    return 0
  }
}

function pageAddress(page: number): number {
  return page * PAGE_SIZE
}

function exhausted(pages: number): TenonError<PoolErrorCode> {
  const message = `the memory pool has no ${pages} contiguous pages left: give it more memory, or its machines less`
  return new TenonError<PoolErrorCode>('POOL_EXHAUSTED', message)
}
