import { Vector } from '../mmu/faults.ts'
import { Block, Segment } from '../state/layout.ts'
import { selectorError } from './descriptors.ts'
import { Attribute, canonical } from './mode.ts'
import type { Processor } from './processor.ts'

/**
 * What the task register's TSS holds besides tasks: stacks of inner privilege levels, and the I/O permission and redirection maps.
 */

/** The current TSS is 32 bits wide (or long mode's) by its descriptor's type. */
export const isWideTss = (cpu: Processor): boolean => (cpu.state.segmentAttributes(Segment.TR) & 8) !== 0

/** Linear address of `size` bytes in the TSS, or -1n if they are beyond its limit. */
export function tssAddress(cpu: Processor, offset: number, size: number): bigint {
  const { state } = cpu
  if ((state.segmentAttributes(Segment.TR) & Attribute.PRESENT) === 0) return -1n
  if (offset + size - 1 > state.segmentLimit(Segment.TR)) return -1n
  return cpu.wrap(state.blockU64(Block.TR_BASE) + BigInt(offset))
}

/** SS and ESP (or SP) for an inner level; null with #TS recorded if the TSS is too short. */
export function innerStack(cpu: Processor, level: number): { selector: number, pointer: bigint } | null {
  const wide = isWideTss(cpu)
  const address = wide ? tssAddress(cpu, 4 + level * 8, 6) : tssAddress(cpu, 2 + level * 4, 4)
  if (address < 0n) return cpu.faultNull(Vector.TS, selectorError(cpu.state.segmentSelector(Segment.TR)))
  const context = cpu.mmu.supervisorContext
  const pointer = cpu.memory.read(address, wide ? 32 : 16, context)
  const selector = pointer < 0n ? -1 : cpu.memory.read16(cpu.wrap(address + (wide ? 4n : 2n)), context)
  return selector < 0 ? null : { selector, pointer }
}

/** A stack pointer of a 64-bit TSS at the offset given; -1n with #TS (too short) or #SS (not canonical) recorded. */
export function longInnerStack(cpu: Processor, offset: number): bigint {
  const address = tssAddress(cpu, offset, 8)
  if (address < 0n) {
    cpu.fault(Vector.TS, selectorError(cpu.state.segmentSelector(Segment.TR)))
    return -1n
  }
  const pointer = cpu.memory.read64(address, cpu.mmu.supervisorContext)
  if (pointer >= 0n && !canonical(pointer)) {
    cpu.fault(Vector.SS)
    return -1n
  }
  return pointer
}

/**
 * The I/O permission bit map's answer for a port access (SDM Vol. 1 §19.5.2).
 * @returns true when allowed; false with a fault recorded.
 */
export function portPermitted(cpu: Processor, port: number, size: number): boolean {
  const map = isWideTss(cpu) ? readTss16(cpu, 102) : -1
  if (map === FAULTED) return false
  const bits = map < 0 ? -1 : readTss16(cpu, map + (port >> 3))
  if (bits === FAULTED) return false
  const mask = ((1 << size) - 1) << (port & 7)
  return bits >= 0 && (bits & mask) === 0 ? true : cpu.fault(Vector.GP)
}

/**
 * The redirection bit of an interrupt vector in virtual-8086 mode (SDM Vol. 3A §20.3.3.3): the 32 bytes below the I/O map.
 * @returns 1: the protected-mode handler gets it, 0: the 8086 program does, -1: a fault is recorded.
 */
export function redirectionBit(cpu: Processor, vector: number): number {
  const map = readTss16(cpu, 102)
  if (map === FAULTED) return -1
  const word = map < 0 ? -1 : readTss16(cpu, map - 32 + ((vector >> 3) & ~1))
  if (word === FAULTED) return -1
  return word < 0 ? 1 : (word >> (vector & 15)) & 1
}

const FAULTED = -2

/** Two bytes of the TSS; -1 beyond its limit, FAULTED with a page fault recorded. */
function readTss16(cpu: Processor, offset: number): number {
  const address = offset < 0 ? -1n : tssAddress(cpu, offset, 2)
  if (address < 0n) return -1
  const value = cpu.memory.read16(address, cpu.mmu.supervisorContext)
  return value < 0 ? FAULTED : value
}
