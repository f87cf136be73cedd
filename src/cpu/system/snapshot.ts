import type { PlainData } from '../../machine/lifecycle.ts'
import { StateReader } from '../../machine/state-reader.ts'
import { Flag, readFlags, writeFlags } from '../state/flags.ts'
import { Block, Slot } from '../state/layout.ts'
import type { SegmentIndex } from '../state/layout.ts'
import { CR0_DEFINED, definedCr4 } from './control-registers.ts'
import { XCR0_SUPPORTED } from './cpuid.ts'
import { Activity, PendingEvent, pendingEvents, signal } from './events.ts'
import { castShadow, shadowOf } from './interrupt-shadow.ts'
import { contradiction } from './state-checks.ts'
import { Efer, setCr0, setCr4, setEfer } from './mode.ts'
import { STORED_MSRS, acceptsStored } from './msr.ts'
import type { Processor } from './processor.ts'
import { followState, resetProcessor } from './reset.ts'

/** A processor's state as plain data, and back. Translations, decoded code and lazy flags are not state. */

const SEGMENT_NAMES = ['ES', 'CS', 'SS', 'DS', 'FS', 'GS', 'LDTR', 'TR'] as const
const U64 = 0xffff_ffff_ffff_ffffn
const YMM_BYTES = 512
const X87_BYTES = 128
/** Bits of RFLAGS that exist. */
const RFLAGS_DEFINED = 0x3f7fd7

/** 64-bit registers of the slot and the block, by name. */
const GPR_NAMES = [
  'RAX', 'RCX', 'RDX', 'RBX', 'RSP', 'RBP', 'RSI', 'RDI', 'R8', 'R9', 'R10', 'R11', 'R12', 'R13', 'R14', 'R15',
] as const
const BLOCK_REGISTERS = {
  CR2: Block.CR2, CR3: Block.CR3, STAR: Block.STAR, LSTAR: Block.LSTAR, CSTAR: Block.CSTAR, FMASK: Block.FMASK,
  KERNEL_GS_BASE: Block.KERNEL_GS_BASE, SYSENTER_CS: Block.SYSENTER_CS, SYSENTER_ESP: Block.SYSENTER_ESP,
  SYSENTER_EIP: Block.SYSENTER_EIP, TSC_AUX: Block.TSC_AUX, TSC_ADJUST: Block.TSC_ADJUST, PAT: Block.PAT,
  MISC_ENABLE: Block.MISC_ENABLE, DR0: Block.DR, DR1: Block.DR + 8, DR2: Block.DR + 16, DR3: Block.DR + 24, DR6: Block.DR + 48,
  DR7: Block.DR + 56,
} as const
const X87_WORDS = { FCW: Slot.FCW, FSW: Slot.FSW, FTW: Slot.FTW, FOP: Slot.FOP, FCS: Slot.FCS, FDS: Slot.FDS } as const

type SegmentState = { readonly selector: number, readonly base: bigint, readonly limit: number, readonly attributes: number }
type TableState = { readonly base: bigint, readonly limit: number }

export type ProcessorState = {
  /** RAX to R15, RIP, FIP, FDP and the 64-bit system registers, by name. */
  readonly registers: Readonly<Record<string, bigint>>
  readonly RFLAGS: number
  readonly CPL: number
  readonly CR0: number
  readonly CR4: number
  readonly EFER: number
  readonly XCR0: number
  /** The page directory pointers that PAE paging keeps: low and high halves. */
  readonly PDPTE: readonly number[]
  readonly segments: Readonly<Record<string, SegmentState>>
  readonly GDTR: TableState
  readonly IDTR: TableState
  /** MSRs that only hold a value, by index in hexadecimal. */
  readonly storedMsrs: Readonly<Record<string, bigint>>
  readonly YMM: Uint8Array
  readonly MXCSR: number
  readonly x87: Readonly<Record<string, number>>
  readonly x87Registers: Uint8Array
  readonly retired: bigint
  readonly activity: number
  readonly nmiBlocked: boolean
  readonly nmiPending: boolean
  readonly initPending: boolean
  readonly startUpPending: boolean
  readonly interruptShadow: number
  readonly pendingDebug: number
  readonly startUpVector: number
}

export function saveProcessor(cpu: Processor): ProcessorState {
  const { state } = cpu
  const pending = pendingEvents(state)
  const table = (offset: number): TableState => ({ base: state.blockU64(offset), limit: state.blockU32(offset + 8) })
  return {
    registers: {
      ...Object.fromEntries(GPR_NAMES.map((name, n) => [name, state.gpr(n)])),
      RIP: state.rip, FIP: state.slotU64(Slot.FIP), FDP: state.slotU64(Slot.FDP),
      ...mapValues(BLOCK_REGISTERS, (offset) => state.blockU64(offset)),
    },
    RFLAGS: readFlags(state), CPL: state.cpl, CR0: state.cr0, CR4: state.cr4, EFER: state.efer, XCR0: state.blockU32(Block.XCR0),
    PDPTE: Array.from(cpu.mmu.walker.pdptes),
    segments: Object.fromEntries(SEGMENT_NAMES.map((name, n) => [name, saveSegment(cpu, n as SegmentIndex)])),
    GDTR: table(Block.GDTR), IDTR: table(Block.IDTR),
    storedMsrs: Object.fromEntries(STORED_MSRS.map((index) => [index.toString(16), cpu.msrs.get(index)])),
    YMM: state.u8.slice(state.slot + Slot.YMM, state.slot + Slot.YMM + YMM_BYTES), MXCSR: state.slotU32(Slot.MXCSR),
    x87: mapValues(X87_WORDS, (offset) => state.slotU16(offset)),
    x87Registers: state.u8.slice(state.slot + Slot.X87, state.slot + Slot.X87 + X87_BYTES),
    retired: state.slotU64(Slot.RETIRED),
    activity: state.blockU32(Block.HALTED), nmiBlocked: state.blockU32(Block.NMI_BLOCKED) !== 0,
    nmiPending: (pending & PendingEvent.NMI) !== 0, initPending: (pending & PendingEvent.INIT) !== 0,
    startUpPending: (pending & PendingEvent.STARTUP) !== 0, interruptShadow: shadowOf(state),
    pendingDebug: state.blockU32(Block.PENDING_DEBUG), startUpVector: cpu.startUpVector,
  }
}

function mapValues<Key extends string, From, To>(from: Readonly<Record<Key, From>>, to: (value: From) => To): Record<Key, To> {
  return Object.fromEntries(Object.entries<From>(from).map(([key, value]) => [key, to(value)])) as Record<Key, To>
}

function saveSegment(cpu: Processor, index: SegmentIndex): SegmentState {
  const { state } = cpu
  return {
    selector: state.segmentSelector(index), base: state.segmentBase(index), limit: state.segmentLimit(index),
    attributes: state.segmentAttributes(index),
  }
}

/** @throws TenonError SNAPSHOT_INVALID */
export function restoreProcessor(cpu: Processor, from: PlainData): void {
  const { state } = cpu
  const reader = new StateReader('processor', from)
  resetProcessor(cpu)
  restoreRegisters(cpu, reader)
  restoreSegments(cpu, reader)
  restoreFloatingPoint(cpu, reader)
  restoreMsrs(cpu, reader.child('storedMsrs'))
  restoreEvents(cpu, reader)
  const problem = contradiction(state)
  if (problem !== undefined) throw reader.invalid(problem.name, problem.what)
  followState(cpu)
  if (cpu.state.blockU32(Block.PENDING_DEBUG) !== 0 || (readFlags(cpu.state) & Flag.TF) !== 0) signal(cpu.state, PendingEvent.DEBUG)
  signal(cpu.state, PendingEvent.INTERRUPT)
}

function restoreRegisters(cpu: Processor, reader: StateReader): void {
  const { state } = cpu
  const registers = reader.child('registers')
  GPR_NAMES.forEach((name, n) => state.setGpr(n, registers.bigint(name, U64)))
  state.rip = registers.bigint('RIP', U64)
  state.setSlotU64(Slot.FIP, registers.bigint('FIP', U64))
  state.setSlotU64(Slot.FDP, registers.bigint('FDP', U64))
  for (const [name, offset] of Object.entries(BLOCK_REGISTERS)) state.setBlockU64(offset, registers.bigint(name, U64))
  writeFlags(state, masked(reader, 'RFLAGS', RFLAGS_DEFINED))
  state.setBlockU32(Block.CPL, reader.integer('CPL', 0, 3))
  setCr0(state, masked(reader, 'CR0', CR0_DEFINED))
  setCr4(state, masked(reader, 'CR4', definedCr4(cpu)))
  setEfer(state, masked(reader, 'EFER', Efer.SCE | Efer.LME | Efer.LMA | Efer.NXE))
  state.setBlockU64(Block.XCR0, BigInt(masked(reader, 'XCR0', XCR0_SUPPORTED)))
  cpu.mmu.walker.pdptes.set(reader.integers('PDPTE', 8, 0, 0xffffffff))
}

function masked(reader: StateReader, name: string, defined: number): number {
  const value = reader.u32(name)
  if ((value & ~defined) !== 0) throw reader.invalid(name, 'has bits set that do not exist')
  return value
}

function restoreSegments(cpu: Processor, reader: StateReader): void {
  const { state } = cpu
  const segments = reader.child('segments')
  SEGMENT_NAMES.forEach((name, n) => {
    const segment = segments.child(name)
    const index = n as SegmentIndex
    state.setSegmentSelector(index, segment.u16('selector'))
    state.setSegmentBase(index, segment.bigint('base', U64))
    state.setSegmentLimit(index, segment.u32('limit'))
    state.setSegmentAttributes(index, segment.u16('attributes'))
  })
  for (const [name, offset] of [['GDTR', Block.GDTR], ['IDTR', Block.IDTR]] as const) {
    const table = reader.child(name)
    state.setBlockU64(offset, table.bigint('base', U64))
    state.setBlockU32(offset + 8, table.u16('limit'))
  }
}

function restoreFloatingPoint(cpu: Processor, reader: StateReader): void {
  const { state } = cpu
  const x87 = reader.child('x87')
  for (const [name, offset] of Object.entries(X87_WORDS)) state.setSlotU16(offset, x87.u16(name))
  state.setSlotU16(Slot.FTW, x87.u8('FTW'))
  state.u8.set(reader.bytes('x87Registers', X87_BYTES), state.slot + Slot.X87)
  state.u8.set(reader.bytes('YMM', YMM_BYTES), state.slot + Slot.YMM)
  state.setSlotU32(Slot.MXCSR, masked(reader, 'MXCSR', 0xffff))
}

function restoreMsrs(cpu: Processor, reader: StateReader): void {
  for (const index of STORED_MSRS) {
    const name = index.toString(16)
    const value = reader.bigint(name, U64)
    if (!acceptsStored(index, value)) throw reader.invalid(name, 'is no value of this MSR')
    cpu.msrs.set(index, value)
  }
}

function restoreEvents(cpu: Processor, reader: StateReader): void {
  const { state } = cpu
  state.setSlotU64(Slot.RETIRED, reader.bigint('retired', U64))
  state.setBlockU32(Block.HALTED, reader.integer('activity', Activity.RUNNING, Activity.SHUTDOWN))
  state.setBlockU32(Block.NMI_BLOCKED, Number(reader.boolean('nmiBlocked')))
  if (reader.boolean('nmiPending')) signal(state, PendingEvent.NMI)
  if (reader.boolean('initPending')) signal(state, PendingEvent.INIT)
  if (reader.boolean('startUpPending')) signal(state, PendingEvent.STARTUP)
  castShadow(state, reader.integer('interruptShadow', 0, 2), state.rip)
  state.setBlockU32(Block.PENDING_DEBUG, masked(reader, 'pendingDebug', 0xe00f))
  cpu.startUpVector = reader.u8('startUpVector')
}
