import { PAGE_SIZE } from '../../base/addresses.ts'
import type { FrameMap } from '../../machine/frame-map.ts'
import { Block, Slot } from '../state/layout.ts'
import type { VcpuState } from '../state/vcpu-state.ts'
import { PhysicalAccess } from './physical.ts'
import type { MemoryBus } from './physical.ts'

/**
 * Accesses that no TLB entry can serve.
 *
 * Their bytes are put together in scratch memory, and what the instruction stores there reaches its real places at the commit. A
 * write to a watched frame goes to the frame itself, but the watchers hear of it at the commit. One instruction may have several
 * such accesses; places in scratch memory are given out in turn.
 */

const PLACE_SIZE = 64
const PLACES = Block.SCRATCH_SIZE / PLACE_SIZE
/** MODIFY of AccessKind: the old bytes matter, even a device's. */
const MODIFIES = 2
const WRITES = 1

export class SlowAccess {
  private readonly state: VcpuState
  private readonly frames: FrameMap
  private readonly physical: PhysicalAccess
  private nextPlace = 0
  /** Pending stores: two pages (the second for what goes past the first's end), offset and size in bytes, scratch (0: in place). */
  private readonly firstPages = new Uint32Array(PLACES)
  private readonly secondPages = new Uint32Array(PLACES)
  private readonly offsets = new Uint32Array(PLACES)
  private readonly sizes = new Uint32Array(PLACES)
  private readonly scratches = new Uint32Array(PLACES)

  constructor(state: VcpuState, frames: FrameMap, bus: MemoryBus) {
    this.state = state
    this.frames = frames
    this.physical = new PhysicalAccess(frames, bus)
  }

  /** Bytes of one page without memory, for reading. */
  read(page: number, offset: number, size: number): number {
    const scratch = this.takePlace()
    this.physical.load(page, offset, size, scratch, true)
    return scratch
  }

  /** Bytes of one page without writable memory, for writing. */
  write(page: number, offset: number, size: number, kind: number): number {
    const scratch = this.takePlace()
    this.physical.load(page, offset, size, scratch, (kind & MODIFIES) !== 0)
    this.note(page, page, offset, size, scratch)
    return scratch
  }

  /** Bytes that begin in one page and end in another. */
  twoPages(first: number, second: number, offset: number, size: number, kind: number): number {
    const scratch = this.takePlace()
    const head = PAGE_SIZE - offset
    const devices = (kind & WRITES) === 0 || (kind & MODIFIES) !== 0
    this.physical.load(first, offset, head, scratch, devices)
    this.physical.load(second, 0, size - head, scratch + head, devices)
    if ((kind & WRITES) !== 0) this.note(first, second, offset, size, scratch)
    return scratch
  }

  /** A write that the instruction makes in place, to a page that holds decoded code. */
  noteWatched(page: number, offset: number, size: number): void {
    this.note(page, page, offset, size, 0)
  }

  commit(): void {
    const count = this.state.slotU32(Slot.SLOW_STORES)
    this.state.setSlotU32(Slot.SLOW_STORES, 0)
    for (let n = 0; n < count; n++) this.commitOne(n)
  }

  private commitOne(n: number): void {
    const page = this.firstPages[n]
    const offset = this.offsets[n]
    const size = this.sizes[n]
    const scratch = this.scratches[n]
    if (scratch === 0) return this.frames.codeWritten(page, offset, size)
    const head = Math.min(size, PAGE_SIZE - offset)
    this.physical.store(page, offset, head, scratch)
    if (size > head) this.physical.store(this.secondPages[n], 0, size - head, scratch + head)
  }

  private takePlace(): number {
    const place = this.nextPlace
    this.nextPlace = (place + 1) % PLACES
    return this.state.block + Block.SCRATCH + place * PLACE_SIZE
  }

  private note(first: number, second: number, offset: number, size: number, scratch: number): void {
    const n = this.state.slotU32(Slot.SLOW_STORES)
    this.state.setSlotU32(Slot.SLOW_STORES, n + 1)
    this.firstPages[n] = first
    this.secondPages[n] = second
    this.offsets[n] = offset
    this.sizes[n] = size
    this.scratches[n] = scratch
  }
}
