import { Vector } from '../mmu/faults.ts'
import { Flag } from '../state/flags.ts'
import { Block, Segment } from '../state/layout.ts'
import {
  BUSY, SystemType, attributesOf, descriptorAddress, dplOf, isCode, isConforming, isNull, isPresent, isReadable, isSystem,
  isWritableData, limitOf, loadCache, loadNull, readDescriptor, readLongDescriptor, rplOf, selectorError, typeOf,
} from './descriptors.ts'
import type { Descriptor } from './descriptors.ts'
import { Cr4, canonical, is64Bit, isLong, isReal } from './mode.ts'
import { HelperOutcome } from './outcome.ts'
import type { Processor } from './processor.ts'

/** Instructions on descriptor tables: LGDT to STR, and LAR, LSL, VERR, VERW (SDM Vol. 2A, Vol. 3A §2.8.1). */

const DONE = HelperOutcome.OK

/** The instruction belongs to privilege level 0. */
export function privileged(cpu: Processor): boolean {
  return cpu.state.cpl === 0 || cpu.fault(Vector.GP)
}

/** The same as a helper, for instructions that read memory only then. */
export const requirePrivilege = (cpu: Processor): HelperOutcome => (privileged(cpu) ? DONE : HelperOutcome.FAULT)

/** CR4.UMIP keeps SGDT, SIDT, SLDT, SMSW and STR from user programs. */
export function userReadable(cpu: Processor): boolean {
  return cpu.state.cpl === 0 || (cpu.state.cr4 & Cr4.UMIP) === 0 || cpu.fault(Vector.GP)
}

/** LGDT and LIDT: argument 0 is the linear address, argument 1 the operand size. `table` is Block.GDTR or Block.IDTR. */
function loadTable(cpu: Processor, table: number): HelperOutcome {
  if (!privileged(cpu)) return HelperOutcome.FAULT
  const { state, memory } = cpu
  const address = cpu.argument64(0)
  const wide = is64Bit(state)
  const limit = memory.read16(address)
  const base = limit < 0 ? -1n : memory.read(address + 2n, wide ? 64 : 32)
  if (base < 0n) return HelperOutcome.FAULT
  if (wide && !canonical(base)) return cpu.fail(Vector.GP)
  state.setBlockU64(table, cpu.argument32(1) === 16 ? base & 0xffffffn : base)
  state.setBlockU32(table + 8, limit)
  return DONE
}

export const loadGdt = (cpu: Processor): HelperOutcome => loadTable(cpu, Block.GDTR)
export const loadIdt = (cpu: Processor): HelperOutcome => loadTable(cpu, Block.IDTR)

/** SGDT and SIDT: argument 0 is the linear address. The operand size does not matter. */
function storeTable(cpu: Processor, table: number): HelperOutcome {
  if (!userReadable(cpu)) return HelperOutcome.FAULT
  const { state, memory } = cpu
  const bytes = new Uint8Array(is64Bit(state) ? 10 : 6)
  bytes[0] = state.blockU32(table + 8)
  bytes[1] = state.blockU32(table + 8) >>> 8
  for (let n = 2; n < bytes.length; n++) bytes[n] = state.u8[state.block + table + n - 2]
  return memory.writeBytes(cpu.argument64(0), bytes) ? DONE : HelperOutcome.FAULT
}

export const storeGdt = (cpu: Processor): HelperOutcome => storeTable(cpu, Block.GDTR)
export const storeIdt = (cpu: Processor): HelperOutcome => storeTable(cpu, Block.IDTR)

/** LLDT: argument 0 is the selector. */
export function loadLdt(cpu: Processor): HelperOutcome {
  if (!privileged(cpu)) return HelperOutcome.FAULT
  const selector = cpu.argument32(0) & 0xffff
  if (isNull(selector)) {
    loadNull(cpu, Segment.LDTR, selector)
    return DONE
  }
  const d = systemDescriptor(cpu, selector)
  if (d === null) return HelperOutcome.FAULT
  const error = selectorError(selector)
  if (!isSystem(d) || typeOf(d) !== SystemType.LDT) return cpu.fail(Vector.GP, error)
  if (!isPresent(d)) return cpu.fail(Vector.NP, error)
  loadCache(cpu, Segment.LDTR, selector, d)
  return DONE
}

/** LTR: argument 0 is the selector. Marks the TSS busy. */
export function loadTaskRegister(cpu: Processor): HelperOutcome {
  if (!privileged(cpu)) return HelperOutcome.FAULT
  const selector = cpu.argument32(0) & 0xffff
  if (isNull(selector)) return cpu.fail(Vector.GP)
  const d = systemDescriptor(cpu, selector)
  if (d === null) return HelperOutcome.FAULT
  const error = selectorError(selector)
  const type = typeOf(d)
  const available = type === SystemType.TSS32_AVAILABLE || (type === SystemType.TSS16_AVAILABLE && !isLong(cpu.state))
  if (!isSystem(d) || !available) return cpu.fail(Vector.GP, error)
  if (!isPresent(d)) return cpu.fail(Vector.NP, error)
  if (!cpu.memory.write8(d.address + 5n, ((d.high >>> 8) & 0xff) | BUSY, cpu.mmu.supervisorContext)) return HelperOutcome.FAULT
  loadCache(cpu, Segment.TR, selector, d)
  cpu.state.setSegmentAttributes(Segment.TR, attributesOf(d) | BUSY)
  return DONE
}

/** A descriptor of the GDT; in long mode one of 16 bytes. */
function systemDescriptor(cpu: Processor, selector: number): Descriptor | null {
  if ((selector & 4) !== 0) return cpu.faultNull(Vector.GP, selectorError(selector))
  return isLong(cpu.state) ? readLongDescriptor(cpu, selector) : readDescriptor(cpu, selector)
}

/** SLDT and STR: the selector. */
export const storeLdt = (cpu: Processor): HelperOutcome => storeSelector(cpu, Segment.LDTR)
export const storeTaskRegister = (cpu: Processor): HelperOutcome => storeSelector(cpu, Segment.TR)

function storeSelector(cpu: Processor, index: typeof Segment.LDTR | typeof Segment.TR): HelperOutcome {
  if (!userReadable(cpu)) return HelperOutcome.FAULT
  cpu.setResult32(cpu.state.segmentSelector(index))
  return DONE
}

/**
 * The descriptor that LAR, LSL, VERR and VERW ask about.
 * @returns 'none' where they clear ZF; null with a page fault recorded.
 */
function inspected(cpu: Processor, selector: number): Descriptor | 'none' | null {
  if (isNull(selector) || descriptorAddress(cpu, selector) < 0n) return 'none'
  const d = readDescriptor(cpu, selector)
  if (d === null || isSystem(d) || isConforming(d)) return d
  return dplOf(d) < cpu.state.cpl || dplOf(d) < rplOf(selector) ? 'none' : d
}

/** System types that LAR and LSL know, as bit masks; long mode knows fewer. */
const LAR_TYPES = 0b0001_1010_0011_1110
const LAR_TYPES_LONG = 0b0001_1010_0000_0100
const LSL_TYPES = 0b0000_1010_0000_1110
const LSL_TYPES_LONG = 0b0000_1010_0000_0100

function knowsSystem(cpu: Processor, d: Descriptor, selector: number, types: number, longTypes: number): boolean {
  const known = (((isLong(cpu.state) ? longTypes : types) >> typeOf(d)) & 1) !== 0
  return known && dplOf(d) >= cpu.state.cpl && dplOf(d) >= rplOf(selector)
}

/**
 * LAR: the selector, the register's old value, the operand size; the register's new value is the result, and ZF. Bits 16 to 19 are
 * undefined: they are the limit's, as on processors.
 */
export function loadAccessRights(cpu: Processor): HelperOutcome {
  return inspect(cpu, LAR_TYPES, LAR_TYPES_LONG, (d) => (d.high & 0xffff00) >>> 0)
}

/** LSL: the same for the limit in bytes. */
export function loadSegmentLimit(cpu: Processor): HelperOutcome {
  return inspect(cpu, LSL_TYPES, LSL_TYPES_LONG, limitOf)
}

function inspect(cpu: Processor, types: number, longTypes: number, answer: (d: Descriptor) => number): HelperOutcome {
  const selector = cpu.argument32(0) & 0xffff
  const d = inspected(cpu, selector)
  if (d === null) return HelperOutcome.FAULT
  const known = d !== 'none' && (!isSystem(d) || knowsSystem(cpu, d, selector, types, longTypes))
  setZeroFlag(cpu, known)
  cpu.setResult64(known ? merged(cpu, answer(d)) : cpu.argument64(1))
  return DONE
}

/** A 16-bit register keeps its other bits, a 32-bit one clears them. */
function merged(cpu: Processor, value: number): bigint {
  return cpu.argument32(2) === 16 ? (cpu.argument64(1) & ~0xffffn) | BigInt(value & 0xffff) : BigInt(value)
}

/** VERR and VERW: argument 0 is the selector; ZF. */
export const verifyRead = (cpu: Processor): HelperOutcome => verify(cpu, isReadable)
export const verifyWrite = (cpu: Processor): HelperOutcome => verify(cpu, (d) => !isCode(d) && isWritableData(d))

function verify(cpu: Processor, allows: (d: Descriptor) => boolean): HelperOutcome {
  const d = inspected(cpu, cpu.argument32(0) & 0xffff)
  if (d === null) return HelperOutcome.FAULT
  setZeroFlag(cpu, d !== 'none' && !isSystem(d) && allows(d))
  return DONE
}

function setZeroFlag(cpu: Processor, set: boolean): void {
  cpu.flags = set ? cpu.flags | Flag.ZF : cpu.flags & ~Flag.ZF
}

/** Instructions that real and virtual-8086 mode do not have. */
export function protectedOnly(cpu: Processor): boolean {
  return !isReal(cpu.state) || cpu.fault(Vector.UD)
}
