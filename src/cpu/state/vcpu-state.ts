import { Block, Gpr, SEGMENT_CACHE_SIZE, Segment, SegmentCache, Slot } from './layout.ts'
import type { SegmentIndex } from './layout.ts'

/** Present, not a system segment, writable data that does not expand down. */
const FLAT_DATA_MASK = 0x9e
const FLAT_DATA = 0x92
const SEGMENT_BIG = 0x4000

/**
 * Typed access to one vCPU's state in the pool. Holds no state of its own.
 *
 * Hot paths read the views directly (`u32[(slot + Slot.X) >> 2]`); everything else uses the accessors.
 */
export class VcpuState {
  readonly u8: Uint8Array
  readonly u16: Uint16Array
  readonly i32: Int32Array
  readonly u32: Uint32Array
  readonly u64: BigUint64Array
  readonly view: DataView
  /** Addresses of the slot and the block in the pool. */
  readonly slot: number
  readonly block: number

  constructor(buffer: ArrayBuffer | SharedArrayBuffer, slot: number, block: number) {
    this.u8 = new Uint8Array(buffer)
    this.u16 = new Uint16Array(buffer)
    this.i32 = new Int32Array(buffer)
    this.u32 = new Uint32Array(buffer)
    this.u64 = new BigUint64Array(buffer)
    this.view = new DataView(buffer)
    this.slot = slot
    this.block = block
    this.u32[(slot + Slot.BLOCK) >> 2] = block
  }

  /** A general-purpose register, all 64 bits. */
  gpr(index: number): bigint { return this.u64[(this.slot + Slot.GPR + index * 8) >> 3] }
  setGpr(index: number, value: bigint): void { this.u64[(this.slot + Slot.GPR + index * 8) >> 3] = value }
  /** The low half, unsigned. */
  gpr32(index: number): number { return this.u32[(this.slot + Slot.GPR + index * 8) >> 2] }
  /** Writes the low half and clears the high half, as a 32-bit write does in every mode here. */
  setGpr32(index: number, value: number): void {
    const at = (this.slot + Slot.GPR + index * 8) >> 2
    this.u32[at] = value
    this.u32[at + 1] = 0
  }
  gpr16(index: number): number { return this.u16[(this.slot + Slot.GPR + index * 8) >> 1] }
  setGpr16(index: number, value: number): void { this.u16[(this.slot + Slot.GPR + index * 8) >> 1] = value }

  get rip(): bigint { return this.u64[(this.slot + Slot.RIP) >> 3] }
  set rip(value: bigint) { this.u64[(this.slot + Slot.RIP) >> 3] = value }
  get rsp(): bigint { return this.gpr(Gpr.RSP) }
  set rsp(value: bigint) { this.setGpr(Gpr.RSP, value) }

  slotU16(offset: number): number { return this.u16[(this.slot + offset) >> 1] }
  setSlotU16(offset: number, value: number): void { this.u16[(this.slot + offset) >> 1] = value }
  slotU32(offset: number): number { return this.u32[(this.slot + offset) >> 2] }
  setSlotU32(offset: number, value: number): void { this.u32[(this.slot + offset) >> 2] = value }
  slotU64(offset: number): bigint { return this.u64[(this.slot + offset) >> 3] }
  setSlotU64(offset: number, value: bigint): void { this.u64[(this.slot + offset) >> 3] = value }

  blockU32(offset: number): number { return this.u32[(this.block + offset) >> 2] }
  setBlockU32(offset: number, value: number): void { this.u32[(this.block + offset) >> 2] = value }
  blockU64(offset: number): bigint { return this.u64[(this.block + offset) >> 3] }
  setBlockU64(offset: number, value: bigint): void { this.u64[(this.block + offset) >> 3] = value }

  get cpl(): number { return this.blockU32(Block.CPL) }
  get cr0(): number { return this.blockU32(Block.CR0) }
  get cr4(): number { return this.blockU32(Block.CR4) }
  get efer(): number { return this.blockU32(Block.EFER) }

  segmentBase(index: SegmentIndex): bigint {
    if (index < 6) return this.slotU64(Slot.SEGMENT_BASE + index * 8)
    return this.blockU64(index === 6 ? Block.LDTR_BASE : Block.TR_BASE)
  }
  setSegmentBase(index: SegmentIndex, base: bigint): void {
    if (index < 6) this.setSlotU64(Slot.SEGMENT_BASE + index * 8, base)
    else this.setBlockU64(index === 6 ? Block.LDTR_BASE : Block.TR_BASE, base)
  }
  segmentSelector(index: SegmentIndex): number { return this.u16[(this.segmentCache(index) + SegmentCache.SELECTOR) >> 1] }
  setSegmentSelector(index: SegmentIndex, value: number): void { this.u16[(this.segmentCache(index) + SegmentCache.SELECTOR) >> 1] = value }
  /**
   * Descriptor attributes as in bits 8 to 23 of the descriptor's high dword: type 0-3, S 4, DPL 5-6, P 7, AVL 12, L 13, D/B 14, G 15.
   * A null selector's cache has P clear.
   */
  segmentAttributes(index: SegmentIndex): number { return this.u16[(this.segmentCache(index) + SegmentCache.ATTRIBUTES) >> 1] }
  setSegmentAttributes(index: SegmentIndex, value: number): void {
    this.u16[(this.segmentCache(index) + SegmentCache.ATTRIBUTES) >> 1] = value
    this.refreshSegment(index)
  }
  /** Limit in bytes (granularity applied), 0 to 0xffffffff. */
  segmentLimit(index: SegmentIndex): number { return this.u32[(this.segmentCache(index) + SegmentCache.LIMIT) >> 2] }
  setSegmentLimit(index: SegmentIndex, value: number): void {
    this.u32[(this.segmentCache(index) + SegmentCache.LIMIT) >> 2] = value
    this.refreshSegment(index)
  }

  /** Keeps what handlers read instead of a segment cache: whether accesses need checks, and the width of the stack pointer. */
  private refreshSegment(index: SegmentIndex): void {
    const attributes = this.segmentAttributes(index)
    const checks = this.slotU32(Slot.SEGMENT_CHECKS)
    const free = (attributes & FLAT_DATA_MASK) === FLAT_DATA && this.segmentLimit(index) === 0xffffffff
    this.setSlotU32(Slot.SEGMENT_CHECKS, free ? checks & ~(1 << index) : checks | (1 << index))
    if (index === Segment.SS) this.setSlotU64(Slot.STACK_MASK, (attributes & SEGMENT_BIG) !== 0 ? 0xffffffffn : 0xffffn)
  }

  private segmentCache(index: number): number { return this.block + Block.SEGMENTS + index * SEGMENT_CACHE_SIZE }
}
