import { Vector } from '../mmu/faults.ts'
import { Block, Segment } from '../state/layout.ts'
import type { SegmentIndex } from '../state/layout.ts'
import { Attribute } from './mode.ts'
import type { Processor } from './processor.ts'

/**
 * Segment and system descriptors as they lie in the GDT and LDT (SDM Vol. 3A §3.4.5, §3.5).
 */
export interface Descriptor {
  /** Linear address of the descriptor, for setting its accessed or busy bit. */
  readonly address: bigint
  readonly low: number
  readonly high: number
  /** Bits 32 to 63 of the base or offset: system descriptors in long mode have 16 bytes. */
  readonly upper: number
}

/** Types of system descriptors (SDM Vol. 3A table 3-2). */
export const SystemType = {
  TSS16_AVAILABLE: 1, LDT: 2, TSS16_BUSY: 3, CALL_GATE16: 4, TASK_GATE: 5, INTERRUPT_GATE16: 6, TRAP_GATE16: 7,
  TSS32_AVAILABLE: 9, TSS32_BUSY: 11, CALL_GATE32: 12, INTERRUPT_GATE32: 14, TRAP_GATE32: 15,
} as const
/** The bit that makes an available TSS busy. */
export const BUSY = 2

export const baseOf = (d: Descriptor): bigint =>
  BigInt(((d.low >>> 16) | ((d.high & 0xff) << 16) | (d.high & 0xff000000)) >>> 0) | (BigInt(d.upper) << 32n)
export const attributesOf = (d: Descriptor): number => (d.high >>> 8) & 0xf0ff
export const limitOf = (d: Descriptor): number => {
  const limit = (d.low & 0xffff) | (d.high & 0xf0000)
  return (d.high & 0x800000) !== 0 ? ((limit << 12) | 0xfff) >>> 0 : limit
}
export const typeOf = (d: Descriptor): number => (d.high >>> 8) & 15
export const dplOf = (d: Descriptor): number => (d.high >>> 13) & 3
export const isPresent = (d: Descriptor): boolean => (d.high & 0x8000) !== 0
export const isSystem = (d: Descriptor): boolean => (d.high & 0x1000) === 0
export const isCode = (d: Descriptor): boolean => (d.high & 0x1800) === 0x1800
export const isConforming = (d: Descriptor): boolean => (d.high & 0x1c00) === 0x1c00
export const isWritableData = (d: Descriptor): boolean => (d.high & 0x1a00) === 0x1200
export const isReadable = (d: Descriptor): boolean => !isSystem(d) && (!isCode(d) || (d.high & 0x200) !== 0)
export const isLongCode = (d: Descriptor): boolean => (d.high & 0x200000) !== 0
export const isBig = (d: Descriptor): boolean => (d.high & 0x400000) !== 0
/** Of a gate: the target's selector, and its offset by the gate's width. */
export const gateSelector = (d: Descriptor): number => d.low >>> 16
export const gateOffset16 = (d: Descriptor): bigint => BigInt(d.low & 0xffff)
export const gateOffset32 = (d: Descriptor): bigint => BigInt(((d.low & 0xffff) | (d.high & 0xffff0000)) >>> 0)
export const gateOffset64 = (d: Descriptor): bigint => gateOffset32(d) | (BigInt(d.upper) << 32n)

export const isNull = (selector: number): boolean => (selector & 0xfffc) === 0
export const rplOf = (selector: number): number => selector & 3
/** The error code that names a selector; EXT is added by `Processor.fault`. */
export const selectorError = (selector: number): number => selector & 0xfffc

/** Linear address of a selector's descriptor, or -1n if `size` bytes of it do not lie within its table. */
export function descriptorAddress(cpu: Processor, selector: number, size = 8): bigint {
  const { state } = cpu
  const offset = selector & 0xfff8
  if ((selector & 4) === 0) {
    const inside = offset + size - 1 <= state.blockU32(Block.GDTR + 8)
    return inside ? cpu.wrap(state.blockU64(Block.GDTR) + BigInt(offset)) : -1n
  }
  const usable = (state.segmentAttributes(Segment.LDTR) & Attribute.PRESENT) !== 0
  const inside = usable && offset + size - 1 <= state.segmentLimit(Segment.LDTR)
  return inside ? cpu.wrap(state.blockU64(Block.LDTR_BASE) + BigInt(offset)) : -1n
}

/**
 * Reads the descriptor of a non-null selector.
 * @param vector the exception if it lies outside its table (#GP; #TS in a task switch), with the selector as error code.
 * @returns null with a fault recorded.
 */
export function readDescriptor(cpu: Processor, selector: number, vector: number = Vector.GP): Descriptor | null {
  const address = descriptorAddress(cpu, selector)
  if (address < 0n) return cpu.faultNull(vector, selectorError(selector))
  const { memory, mmu } = cpu
  const low = memory.read32(address, mmu.supervisorContext)
  const high = low < 0 ? -1 : memory.read32(cpu.wrap(address + 4n), mmu.supervisorContext)
  return high < 0 ? null : { address, low, high, upper: 0 }
}

/** Reads a system descriptor of 16 bytes, as long mode has them. The second half's type field must be zero: #GP. */
export function readLongDescriptor(cpu: Processor, selector: number): Descriptor | null {
  if (descriptorAddress(cpu, selector, 16) < 0n) return cpu.faultNull(Vector.GP, selectorError(selector))
  const half = readDescriptor(cpu, selector)
  if (half === null) return null
  const upper = cpu.memory.read32(half.address + 8n, cpu.mmu.supervisorContext)
  const check = upper < 0 ? -1 : cpu.memory.read32(half.address + 12n, cpu.mmu.supervisorContext)
  if (check < 0) return null
  if ((check & 0x1f00) !== 0) return cpu.faultNull(Vector.GP, selectorError(selector))
  return { ...half, upper }
}

/** Sets the accessed bit in memory, as every load of a segment register does. */
export function markAccessed(cpu: Processor, d: Descriptor): boolean {
  if ((d.high & 0x100) !== 0) return true
  return cpu.memory.write8(cpu.wrap(d.address + 5n), ((d.high >>> 8) & 0xff) | 1, cpu.mmu.supervisorContext)
}

/** Puts a descriptor into a segment register's cache. */
export function loadCache(cpu: Processor, index: SegmentIndex, selector: number, d: Descriptor): void {
  const { state } = cpu
  const accessed = isSystem(d) ? 0 : Attribute.ACCESSED
  state.setSegmentSelector(index, selector)
  state.setSegmentBase(index, baseOf(d))
  state.setSegmentLimit(index, limitOf(d))
  state.setSegmentAttributes(index, attributesOf(d) | accessed)
}

/** An unusable segment: a null selector was loaded. */
export function loadNull(cpu: Processor, index: SegmentIndex, selector: number): void {
  const { state } = cpu
  state.setSegmentSelector(index, selector)
  state.setSegmentBase(index, 0n)
  state.setSegmentLimit(index, 0)
  state.setSegmentAttributes(index, 0)
}
