import { Vector } from '../mmu/faults.ts'
import { Segment } from '../state/layout.ts'
import type { SegmentIndex } from '../state/layout.ts'
import type { VcpuState } from '../state/vcpu-state.ts'
import {
  dplOf, isBig, isCode, isConforming, isLongCode, isNull, isPresent, isReadable, isSystem, isWritableData, loadCache, loadNull,
  markAccessed, readDescriptor, rplOf, selectorError,
} from './descriptors.ts'
import type { Descriptor } from './descriptors.ts'
import { Attribute, is64Bit, isLong, isProtected, isReal, isVirtual8086 } from './mode.ts'
import type { Processor } from './processor.ts'

/** Segment registers: loads with their checks, and limit and type checks of data accesses (SDM Vol. 3A chapters 3 and 5). */

/** Attributes that a segment has in real and virtual-8086 mode: present, writable, accessed data. */
const REAL_ATTRIBUTES = 0x93
const VIRTUAL_8086_ATTRIBUTES = 0xf3

/** Loads ES, SS, DS, FS or GS, as MOV and POP do. False: a fault is recorded and nothing has changed. */
export function loadSegment(cpu: Processor, index: SegmentIndex, selector: number): boolean {
  if (isReal(cpu.state)) {
    loadRealSegment(cpu.state, index, selector)
    return true
  }
  return index === Segment.SS ? loadStackSegment(cpu, selector) : loadDataSegment(cpu, index, selector)
}

/** Real mode changes the base only, and keeps limit and attributes; virtual-8086 mode sets them all. */
export function loadRealSegment(state: VcpuState, index: SegmentIndex, selector: number): void {
  state.setSegmentSelector(index, selector)
  state.setSegmentBase(index, BigInt(selector << 4))
  if (isProtected(state)) {
    state.setSegmentLimit(index, 0xffff)
    state.setSegmentAttributes(index, VIRTUAL_8086_ATTRIBUTES)
  } else if (index === Segment.CS) state.setSegmentAttributes(index, REAL_ATTRIBUTES)
}

function loadDataSegment(cpu: Processor, index: SegmentIndex, selector: number): boolean {
  if (isNull(selector)) {
    loadNull(cpu, index, selector)
    return true
  }
  const d = dataDescriptor(cpu, selector, Vector.GP)
  if (d === null || !markAccessed(cpu, d)) return false
  loadCache(cpu, index, selector, d)
  return true
}

/** The descriptor of a data segment that CPL and RPL may use. A task switch raises #TS where others raise #GP. */
export function dataDescriptor(cpu: Processor, selector: number, vector: number): Descriptor | null {
  const d = readDescriptor(cpu, selector, vector)
  if (d === null) return null
  const error = selectorError(selector)
  if (!isReadable(d)) return cpu.faultNull(vector, error)
  if (!isConforming(d) && (rplOf(selector) > dplOf(d) || cpu.state.cpl > dplOf(d))) return cpu.faultNull(vector, error)
  return isPresent(d) ? d : cpu.faultNull(Vector.NP, error)
}

function loadStackSegment(cpu: Processor, selector: number): boolean {
  const { state } = cpu
  if (isNull(selector)) {
    if (!is64Bit(state) || state.cpl === 3 || rplOf(selector) !== state.cpl) return cpu.fault(Vector.GP)
    loadNull(cpu, Segment.SS, selector)
    return true
  }
  const d = stackDescriptor(cpu, selector, state.cpl, Vector.GP)
  if (d === null || !markAccessed(cpu, d)) return false
  loadCache(cpu, Segment.SS, selector, d)
  return true
}

/**
 * The descriptor of a stack segment for privilege level `cpl`: writable data, RPL and DPL equal to it, present (#SS).
 * @param vector of the other faults: #GP, or #TS when the selector comes from a TSS.
 */
export function stackDescriptor(cpu: Processor, selector: number, cpl: number, vector: number): Descriptor | null {
  const error = selectorError(selector)
  if (isNull(selector)) return cpu.faultNull(vector)
  const d = readDescriptor(cpu, selector, vector)
  if (d === null) return null
  if (rplOf(selector) !== cpl || !isWritableData(d) || dplOf(d) !== cpl) return cpu.faultNull(vector, error)
  return isPresent(d) ? d : cpu.faultNull(Vector.SS, error)
}

/** A code segment that may not be both 64-bit and 32-bit in long mode. */
export const isValidCodeSize = (cpu: Processor, d: Descriptor): boolean => !(isLong(cpu.state) && isLongCode(d) && isBig(d))

/** Puts a checked code segment into CS at the given privilege level. */
export function enterCodeSegment(cpu: Processor, selector: number, d: Descriptor, cpl: number): void {
  loadCache(cpu, Segment.CS, (selector & ~3) | cpl, d)
  cpu.setCpl(cpl)
}

/** A code segment by its descriptor's type; the caller judges privilege. */
export const isCodeSegment = (d: Descriptor): boolean => !isSystem(d) && isCode(d)

/**
 * Linear address of `size` bytes at an offset in a segment, outside 64-bit mode.
 * @returns the address, unsigned, or -1 with #GP(0) or #SS(0) recorded.
 */
export function segmentedLinear(cpu: Processor, segment: SegmentIndex, offset: number, size: number, write: boolean): number {
  const { state } = cpu
  const attributes = state.segmentAttributes(segment)
  if (!allows(attributes, write, isProtected(state)) || !insideLimit(attributes, state.segmentLimit(segment), offset >>> 0, size)) {
    cpu.fault(segment === Segment.SS ? Vector.SS : Vector.GP)
    return -1
  }
  return (Number(state.segmentBase(segment) & 0xffffffffn) + offset) >>> 0
}

function allows(attributes: number, write: boolean, checksTypes: boolean): boolean {
  if ((attributes & Attribute.PRESENT) === 0) return false
  if (!checksTypes) return true
  const code = (attributes & Attribute.CODE) !== 0
  if (write) return !code && (attributes & Attribute.WRITABLE) !== 0
  return !code || (attributes & Attribute.READABLE) !== 0
}

/** `offset` unsigned, `size` at least 1. An expand-down segment holds what lies above its limit. */
export function insideLimit(attributes: number, limit: number, offset: number, size: number): boolean {
  const last = offset + size - 1
  if ((attributes & (Attribute.CODE | Attribute.EXPAND_DOWN)) !== Attribute.EXPAND_DOWN) return last <= limit
  const top = (attributes & Attribute.BIG) !== 0 ? 0xffffffff : 0xffff
  return offset > limit && last <= top
}

/** The value that a segment register shows: 16 bits. */
export const selectorOf = (cpu: Processor, index: SegmentIndex): number => cpu.state.segmentSelector(index)

/** After a return to an outer level: data segments that the new level may not use become null (SDM Vol. 2A, RET). */
export function dropInnerSegments(cpu: Processor, cpl: number): void {
  if (isVirtual8086(cpu.state)) return
  for (const index of [Segment.ES, Segment.DS, Segment.FS, Segment.GS]) {
    const attributes = cpu.state.segmentAttributes(index)
    const conforming = (attributes & (Attribute.CODE | Attribute.CONFORMING)) === (Attribute.CODE | Attribute.CONFORMING)
    const dpl = (attributes >> Attribute.DPL_SHIFT) & 3
    // A null FS or GS keeps the base that an MSR gave it.
    if ((attributes & Attribute.PRESENT) === 0) cpu.state.setSegmentSelector(index, 0)
    else if (!conforming && dpl < cpl) loadNull(cpu, index, 0)
  }
}
