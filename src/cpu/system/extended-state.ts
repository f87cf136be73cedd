import { Vector } from '../mmu/faults.ts'
import { Block, Gpr, Slot } from '../state/layout.ts'
import { followError } from '../x87/error-pin.ts'
import { AVX_COMPONENT, StateComponent, XSAVE_AREA, isValidXcr0, xsaveArea } from './cpuid.ts'
import { privileged } from './descriptor-tables.ts'
import { Cr0, Cr4, is64Bit } from './mode.ts'
import { HelperOutcome } from './outcome.ts'
import type { Processor } from './processor.ts'

/** FXSAVE, FXRSTOR, XSAVE, XRSTOR, XGETBV and XSETBV (SDM Vol. 1 §10.5, chapter 13). */

const { X87, SSE, AVX } = StateComponent
/** Offsets in the legacy region and the header behind it. */
const Area = {
  FCW: 0, FSW: 2, FTW: 4, FOP: 6, FIP: 8, FCS: 12, FDP: 16, FDS: 20, MXCSR: 24, MXCSR_MASK: 28, ST: 32, XMM: 160, END: 416,
} as const
const LEGACY_SIZE = 512
const Header = { XSTATE_BV: 512, XCOMP_BV: 520, END: 576 } as const
const MXCSR_MASK = 0xffff

/** Where an area is put together before it goes to memory, or after it came from there. Each processor has one. */
export class StateArea {
  readonly bytes = new Uint8Array(XSAVE_AREA)
  readonly words = new Uint32Array(this.bytes.buffer)
  readonly view = new DataView(this.bytes.buffer)
  /** What FXSAVE writes, what FXRSTOR reads, and what XSAVE writes: the header's XSTATE_BV is its last field. */
  readonly saved = this.bytes.subarray(0, Area.END)
  readonly legacy = this.bytes.subarray(0, LEGACY_SIZE)
  readonly extended = this.bytes.subarray(0, Header.XSTATE_BV + 8)
  /** The AVX component. */
  readonly avx = this.bytes.subarray(AVX_COMPONENT.offset, AVX_COMPONENT.offset + AVX_COMPONENT.size)
}

/** The initial state of all components (SDM Vol. 1 §13.6). */
const INITIAL = new StateArea()
INITIAL.view.setUint16(Area.FCW, 0x37f, true)

/** FXSAVE: argument 0 is the linear address, argument 1 the operand size (64: pointers of 64 bits). */
export function saveFast(cpu: Processor): HelperOutcome {
  const address = cpu.argument64(0)
  if (!available(cpu) || !aligned(cpu, address, 16n)) return HelperOutcome.FAULT
  if (!cpu.memory.probeWrite(address, LEGACY_SIZE)) return HelperOutcome.FAULT
  const area = cpu.stateArea
  // What the instruction leaves alone stays as it is in memory.
  if (!cpu.memory.readBytes(address, area.saved)) return HelperOutcome.FAULT
  storeX87(cpu, area, cpu.argument32(1) === 64)
  storeMxcsr(cpu, area)
  storeXmm(cpu, area)
  return cpu.memory.writeBytes(address, area.saved) ? HelperOutcome.OK : HelperOutcome.FAULT
}

/** FXRSTOR: the same arguments. */
export function restoreFast(cpu: Processor): HelperOutcome {
  const address = cpu.argument64(0)
  if (!available(cpu) || !aligned(cpu, address, 16n)) return HelperOutcome.FAULT
  const area = cpu.stateArea
  if (!cpu.memory.readBytes(address, area.legacy)) return HelperOutcome.FAULT
  if (!mxcsrValid(area)) return cpu.fail(Vector.GP)
  loadX87(cpu, area, cpu.argument32(1) === 64)
  followError(cpu)
  loadMxcsr(cpu, area)
  loadXmm(cpu, area)
  return HelperOutcome.OK
}

/** XSAVE: the same arguments; EDX:EAX says which components. */
export function saveExtended(cpu: Processor): HelperOutcome {
  const address = cpu.argument64(0)
  if (!extendedAvailable(cpu, address)) return HelperOutcome.FAULT
  const mask = requested(cpu)
  if (!cpu.memory.probeWrite(address, xsaveArea(mask))) return HelperOutcome.FAULT
  const area = cpu.stateArea
  if (!cpu.memory.readBytes(address, area.bytes.subarray(0, xsaveArea(mask)))) return HelperOutcome.FAULT
  if ((mask & X87) !== 0) storeX87(cpu, area, cpu.argument32(1) === 64)
  if ((mask & (SSE | AVX)) !== 0) storeMxcsr(cpu, area)
  if ((mask & SSE) !== 0) storeXmm(cpu, area)
  if ((mask & AVX) !== 0) storeYmmHigh(cpu, area)
  area.bytes[Header.XSTATE_BV] |= mask
  if ((mask & AVX) !== 0 && !cpu.memory.writeBytes(address + BigInt(AVX_COMPONENT.offset), area.avx)) return HelperOutcome.FAULT
  return cpu.memory.writeBytes(address, area.extended) ? HelperOutcome.OK : HelperOutcome.FAULT
}

/** XRSTOR: components that the area does not have get their initial state. */
export function restoreExtended(cpu: Processor): HelperOutcome {
  const address = cpu.argument64(0)
  if (!extendedAvailable(cpu, address)) return HelperOutcome.FAULT
  const mask = requested(cpu)
  const area = cpu.stateArea
  if (!cpu.memory.readBytes(address, area.bytes.subarray(0, xsaveArea(mask)))) return HelperOutcome.FAULT
  if (!headerValid(cpu, area) || ((mask & (SSE | AVX)) !== 0 && !mxcsrValid(area))) return cpu.fail(Vector.GP)
  const present = area.bytes[Header.XSTATE_BV]
  if ((mask & X87) !== 0) loadX87(cpu, (present & X87) !== 0 ? area : INITIAL, cpu.argument32(1) === 64)
  followError(cpu)
  if ((mask & (SSE | AVX)) !== 0) loadMxcsr(cpu, area)
  if ((mask & SSE) !== 0) loadXmm(cpu, (present & SSE) !== 0 ? area : INITIAL)
  if ((mask & AVX) !== 0) loadYmmHigh(cpu, (present & AVX) !== 0 ? area : INITIAL)
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
  if (state.gpr32(Gpr.RCX) !== 0 || state.gpr32(Gpr.RDX) !== 0 || !isValidXcr0(value)) return cpu.fail(Vector.GP)
  state.setBlockU64(Block.XCR0, BigInt(value))
  state.rip = cpu.argument64(0)
  return HelperOutcome.RESYNC
}

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
function headerValid(cpu: Processor, { words }: StateArea): boolean {
  if ((words[Header.XSTATE_BV >> 2] & ~cpu.state.blockU32(Block.XCR0)) !== 0) return false
  for (let word = (Header.XSTATE_BV >> 2) + 1; word < (Header.XCOMP_BV + 16) >> 2; word++) if (words[word] !== 0) return false
  return true
}

const mxcsrValid = (area: StateArea): boolean => (area.words[Area.MXCSR >> 2] & ~MXCSR_MASK) === 0

function storeX87(cpu: Processor, { words, view }: StateArea, wide: boolean): void {
  const { state } = cpu
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
    const from = physical(cpu, n) >> 2
    const to = (Area.ST >> 2) + n * 4
    words[to] = state.u32[from]
    words[to + 1] = state.u32[from + 1]
    words[to + 2] = state.u32[from + 2] & 0xffff
    words[to + 3] = 0
  }
}

function loadX87(cpu: Processor, { words, view, bytes }: StateArea, wide: boolean): void {
  const { state } = cpu
  state.setSlotU16(Slot.FCW, (view.getUint16(Area.FCW, true) & 0x1f7f) | 0x40)
  state.setSlotU16(Slot.FSW, exceptionSummary(view.getUint16(Area.FSW, true), state.slotU16(Slot.FCW)))
  state.setSlotU16(Slot.FTW, bytes[Area.FTW])
  state.setSlotU16(Slot.FOP, view.getUint16(Area.FOP, true) & 0x7ff)
  const pointerMask = wide ? 0xffffffffffffffffn : 0xffffffffn
  state.setSlotU64(Slot.FIP, view.getBigUint64(Area.FIP, true) & pointerMask)
  state.setSlotU64(Slot.FDP, view.getBigUint64(Area.FDP, true) & pointerMask)
  state.setSlotU16(Slot.FCS, wide ? 0 : view.getUint16(Area.FCS, true))
  state.setSlotU16(Slot.FDS, wide ? 0 : view.getUint16(Area.FDS, true))
  for (let n = 0; n < 8; n++) {
    const to = physical(cpu, n) >> 2
    const from = (Area.ST >> 2) + n * 4
    state.u32[to] = words[from]
    state.u32[to + 1] = words[from + 1]
    state.u16[(to + 2) * 2] = words[from + 2]
  }
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

function storeMxcsr(cpu: Processor, { words }: StateArea): void {
  words[Area.MXCSR >> 2] = cpu.state.slotU32(Slot.MXCSR)
  words[Area.MXCSR_MASK >> 2] = MXCSR_MASK
}

function storeXmm(cpu: Processor, { words }: StateArea): void {
  const { state } = cpu
  const count = xmmCount(cpu)
  for (let n = 0; n < count; n++) {
    const from = (state.slot + Slot.YMM + n * 32) >> 2
    const to = (Area.XMM >> 2) + n * 4
    for (let word = 0; word < 4; word++) words[to + word] = state.u32[from + word]
  }
}

function loadMxcsr(cpu: Processor, { words }: StateArea): void {
  cpu.state.setSlotU32(Slot.MXCSR, words[Area.MXCSR >> 2])
}

function loadXmm(cpu: Processor, { words }: StateArea): void {
  const { state } = cpu
  const count = xmmCount(cpu)
  for (let n = 0; n < count; n++) {
    const to = (state.slot + Slot.YMM + n * 32) >> 2
    const from = (Area.XMM >> 2) + n * 4
    for (let word = 0; word < 4; word++) state.u32[to + word] = words[from + word]
  }
}

/** Bits 128 to 255 of YMM registers: where register `n` has them in the vCPU's memory. */
const ymmHigh = (cpu: Processor, n: number): number => cpu.state.slot + Slot.YMM + n * 32 + 16

function storeYmmHigh(cpu: Processor, { avx }: StateArea): void {
  for (let n = 0; n < xmmCount(cpu); n++) avx.set(cpu.state.u8.subarray(ymmHigh(cpu, n), ymmHigh(cpu, n) + 16), n * 16)
}

function loadYmmHigh(cpu: Processor, { avx }: StateArea): void {
  for (let n = 0; n < xmmCount(cpu); n++) cpu.state.u8.set(avx.subarray(n * 16, n * 16 + 16), ymmHigh(cpu, n))
}
