import { Vector } from '../mmu/faults.ts'
import { Block, Gpr, Slot } from '../state/layout.ts'
import { XCR0_SUPPORTED, XSAVE_AREA } from './cpuid.ts'
import { privileged } from './descriptor-tables.ts'
import { Cr0, Cr4, is64Bit } from './mode.ts'
import { HelperOutcome } from './outcome.ts'
import type { Processor } from './processor.ts'

/** FXSAVE, FXRSTOR, XSAVE, XRSTOR, XGETBV and XSETBV (SDM Vol. 1 §10.5, chapter 13). */

/** State components. */
const X87 = 1
const SSE = 2
/** Offsets in the legacy region and the header behind it. */
const Area = {
  FCW: 0, FSW: 2, FTW: 4, FOP: 6, FIP: 8, FCS: 12, FDP: 16, FDS: 20, MXCSR: 24, MXCSR_MASK: 28, ST: 32, XMM: 160, END: 416,
} as const
const LEGACY_SIZE = 512
const Header = { XSTATE_BV: 512, XCOMP_BV: 520, END: 576 } as const
const MXCSR_MASK = 0xffff

/** FXSAVE: argument 0 is the linear address, argument 1 the operand size (64: pointers of 64 bits). */
export function saveFast(cpu: Processor): HelperOutcome {
  const address = cpu.argument64(0)
  if (!available(cpu) || !aligned(cpu, address, 16n)) return HelperOutcome.FAULT
  const area = new Uint8Array(Area.END)
  // What the instruction leaves alone stays as it is in memory.
  if (!cpu.memory.readBytes(address, area)) return HelperOutcome.FAULT
  storeX87(cpu, area, cpu.argument32(1) === 64)
  storeSse(cpu, area)
  return cpu.memory.writeBytes(address, area) ? HelperOutcome.OK : HelperOutcome.FAULT
}

/** FXRSTOR: the same arguments. */
export function restoreFast(cpu: Processor): HelperOutcome {
  const address = cpu.argument64(0)
  if (!available(cpu) || !aligned(cpu, address, 16n)) return HelperOutcome.FAULT
  const area = new Uint8Array(LEGACY_SIZE)
  if (!cpu.memory.readBytes(address, area)) return HelperOutcome.FAULT
  if (!mxcsrValid(area)) return cpu.fail(Vector.GP)
  loadX87(cpu, area, cpu.argument32(1) === 64)
  loadMxcsr(cpu, area)
  loadXmm(cpu, area)
  return HelperOutcome.OK
}

/** XSAVE: the same arguments; EDX:EAX says which components. */
export function saveExtended(cpu: Processor): HelperOutcome {
  const address = cpu.argument64(0)
  if (!extendedAvailable(cpu, address)) return HelperOutcome.FAULT
  const mask = requested(cpu)
  const area = new Uint8Array(XSAVE_AREA)
  if (!cpu.memory.readBytes(address, area)) return HelperOutcome.FAULT
  if ((mask & X87) !== 0) storeX87(cpu, area, cpu.argument32(1) === 64)
  if ((mask & SSE) !== 0) storeSse(cpu, area)
  area[Header.XSTATE_BV] |= mask
  // The header's other bytes are not written: only as much as was.
  const written = area.subarray(0, Header.XSTATE_BV + 8)
  return cpu.memory.writeBytes(address, written) ? HelperOutcome.OK : HelperOutcome.FAULT
}

/** XRSTOR: components that the area does not have get their initial state. */
export function restoreExtended(cpu: Processor): HelperOutcome {
  const address = cpu.argument64(0)
  if (!extendedAvailable(cpu, address)) return HelperOutcome.FAULT
  const mask = requested(cpu)
  const area = new Uint8Array(XSAVE_AREA)
  if (!cpu.memory.readBytes(address, area)) return HelperOutcome.FAULT
  if (!headerValid(cpu, area) || ((mask & SSE) !== 0 && !mxcsrValid(area))) return cpu.fail(Vector.GP)
  const present = area[Header.XSTATE_BV]
  if ((mask & X87) !== 0) loadX87(cpu, (present & X87) !== 0 ? area : INITIAL, cpu.argument32(1) === 64)
  if ((mask & SSE) !== 0) {
    loadMxcsr(cpu, area)
    loadXmm(cpu, (present & SSE) !== 0 ? area : INITIAL)
  }
  return HelperOutcome.OK
}

/** XGETBV. */
export function readExtendedControl(cpu: Processor): HelperOutcome {
  const { state } = cpu
  if ((state.cr4 & Cr4.OSXSAVE) === 0) return cpu.fail(Vector.UD)
  if (state.gpr32(Gpr.RCX) !== 0) return cpu.fail(Vector.GP)
  state.setGpr32(Gpr.RAX, state.blockU32(Block.XCR0))
  state.setGpr32(Gpr.RDX, 0)
  return HelperOutcome.OK
}

/** XSETBV: argument 0 is the next instruction's pointer. */
export function writeExtendedControl(cpu: Processor): HelperOutcome {
  const { state } = cpu
  if ((state.cr4 & Cr4.OSXSAVE) === 0) return cpu.fail(Vector.UD)
  if (!privileged(cpu)) return HelperOutcome.FAULT
  const value = state.gpr32(Gpr.RAX)
  const valid = state.gpr32(Gpr.RCX) === 0 && state.gpr32(Gpr.RDX) === 0 && (value & ~XCR0_SUPPORTED) === 0 && (value & X87) !== 0
  if (!valid) return cpu.fail(Vector.GP)
  state.setBlockU64(Block.XCR0, BigInt(value))
  state.rip = cpu.argument64(0)
  return HelperOutcome.RESYNC
}

const INITIAL = new Uint8Array(LEGACY_SIZE)
INITIAL[Area.FCW] = 0x7f
INITIAL[Area.FCW + 1] = 3

/** #NM while CR0.TS or CR0.EM is set. */
function available(cpu: Processor): boolean {
  return (cpu.state.cr0 & (Cr0.EM | Cr0.TS)) === 0 || cpu.fault(Vector.NM)
}

function extendedAvailable(cpu: Processor, address: bigint): boolean {
  if ((cpu.state.cr4 & Cr4.OSXSAVE) === 0) return cpu.fault(Vector.UD)
  if ((cpu.state.cr0 & Cr0.TS) !== 0) return cpu.fault(Vector.NM)
  return aligned(cpu, address, 64n)
}

function aligned(cpu: Processor, address: bigint, to: bigint): boolean {
  return (address & (to - 1n)) === 0n || cpu.fault(Vector.GP)
}

/** The components that both EDX:EAX and XCR0 name; all have bits below 32. */
const requested = (cpu: Processor): number => cpu.state.gpr32(Gpr.RAX) & cpu.state.blockU32(Block.XCR0)

/** XSTATE_BV names enabled components only, and the rest of the header is zero: the standard form. */
function headerValid(cpu: Processor, area: Uint8Array): boolean {
  if ((area[Header.XSTATE_BV] & ~cpu.state.blockU32(Block.XCR0)) !== 0) return false
  return area.subarray(Header.XSTATE_BV + 1, Header.XCOMP_BV + 16).every((byte) => byte === 0)
}

const viewOf = (area: Uint8Array): DataView => new DataView(area.buffer, area.byteOffset, area.byteLength)
const mxcsrValid = (area: Uint8Array): boolean => (viewOf(area).getUint32(Area.MXCSR, true) & ~MXCSR_MASK) === 0

function storeX87(cpu: Processor, area: Uint8Array, wide: boolean): void {
  const { state } = cpu
  const view = viewOf(area)
  view.setUint16(Area.FCW, state.slotU16(Slot.FCW), true)
  view.setUint16(Area.FSW, state.slotU16(Slot.FSW), true)
  view.setUint16(Area.FTW, state.slotU16(Slot.FTW) & 0xff, true)
  view.setUint16(Area.FOP, state.slotU16(Slot.FOP), true)
  view.setBigUint64(Area.FIP, state.slotU64(Slot.FIP), true)
  view.setBigUint64(Area.FDP, state.slotU64(Slot.FDP), true)
  if (!wide) {
    view.setUint32(Area.FCS, state.slotU16(Slot.FCS), true)
    view.setUint32(Area.FDS, state.slotU16(Slot.FDS), true)
  }
  for (let n = 0; n < 8; n++) {
    const from = physical(cpu, n)
    area.fill(0, Area.ST + n * 16 + 10, Area.ST + n * 16 + 16)
    area.set(state.u8.subarray(from, from + 10), Area.ST + n * 16)
  }
}

function loadX87(cpu: Processor, area: Uint8Array, wide: boolean): void {
  const { state } = cpu
  const view = viewOf(area)
  state.setSlotU16(Slot.FCW, (view.getUint16(Area.FCW, true) & 0x1f7f) | 0x40)
  state.setSlotU16(Slot.FSW, exceptionSummary(view.getUint16(Area.FSW, true), state.slotU16(Slot.FCW)))
  state.setSlotU16(Slot.FTW, area[Area.FTW])
  state.setSlotU16(Slot.FOP, view.getUint16(Area.FOP, true) & 0x7ff)
  const pointerMask = wide ? 0xffffffffffffffffn : 0xffffffffn
  state.setSlotU64(Slot.FIP, view.getBigUint64(Area.FIP, true) & pointerMask)
  state.setSlotU64(Slot.FDP, view.getBigUint64(Area.FDP, true) & pointerMask)
  state.setSlotU16(Slot.FCS, wide ? 0 : view.getUint16(Area.FCS, true))
  state.setSlotU16(Slot.FDS, wide ? 0 : view.getUint16(Area.FDS, true))
  for (let n = 0; n < 8; n++) state.u8.set(area.subarray(Area.ST + n * 16, Area.ST + n * 16 + 10), physical(cpu, n))
}

/** ES and B follow from the exceptions that are not masked, whatever the image says. */
function exceptionSummary(status: number, control: number): number {
  const summary = (status & ~control & 0x3f) !== 0 ? 0x8080 : 0
  return (status & 0x7f7f) | summary
}

/** Pool address of ST(n), by the TOP field. */
function physical(cpu: Processor, n: number): number {
  const top = (cpu.state.slotU16(Slot.FSW) >> 11) & 7
  return cpu.state.slot + Slot.X87 + ((top + n) & 7) * 16
}

const xmmCount = (cpu: Processor): number => is64Bit(cpu.state) ? 16 : 8

function storeSse(cpu: Processor, area: Uint8Array): void {
  const { state } = cpu
  const view = viewOf(area)
  view.setUint32(Area.MXCSR, state.slotU32(Slot.MXCSR), true)
  view.setUint32(Area.MXCSR_MASK, MXCSR_MASK, true)
  for (let n = 0; n < xmmCount(cpu); n++) {
    const from = state.slot + Slot.YMM + n * 32
    area.set(state.u8.subarray(from, from + 16), Area.XMM + n * 16)
  }
}

function loadMxcsr(cpu: Processor, area: Uint8Array): void {
  cpu.state.setSlotU32(Slot.MXCSR, viewOf(area).getUint32(Area.MXCSR, true))
}

function loadXmm(cpu: Processor, area: Uint8Array): void {
  const { state } = cpu
  for (let n = 0; n < xmmCount(cpu); n++) {
    const from = Area.XMM + n * 16
    state.u8.set(area.subarray(from, from + 16), state.slot + Slot.YMM + n * 32)
  }
}
