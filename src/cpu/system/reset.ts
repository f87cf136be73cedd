import { Block, CONTEXT_COUNT, Context, Gpr, SLOT_SIZE, Segment, Slot } from '../state/layout.ts'
import type { SegmentIndex } from '../state/layout.ts'
import { writeFlags } from '../state/flags.ts'
import { SIGNATURE } from './cpuid.ts'
import { Activity, PendingEvent, clearSignal } from './events.ts'
import { endShadow } from './interrupt-shadow.ts'
import { Cr0, setCr0, setRegister32 } from './mode.ts'
import { MISC_ENABLE_RESET } from './msr.ts'
import type { Processor } from './processor.ts'

/** The state after power-on, reset and INIT (SDM Vol. 3A table 9-1). */

const PAT_RESET = 0x0007040600070406n
const FCW_RESET = 0x40
const MXCSR_RESET = 0x1f80
const DATA_ATTRIBUTES = 0x93
const LDT_ATTRIBUTES = 0x82
const TSS_ATTRIBUTES = 0x8b

/** Power-on and hard reset. */
export function resetProcessor(cpu: Processor): void {
  const { state } = cpu
  const pending = state.slotU32(Slot.PENDING)
  state.u8.fill(0, state.slot, state.slot + SLOT_SIZE)
  state.setSlotU32(Slot.BLOCK, state.block)
  state.setSlotU32(Slot.PENDING, pending & PendingEvent.HOST)
  state.u8.fill(0, state.block, state.block + Block.CONTEXTS)
  cpu.msrs.clear()
  state.setBlockU64(Block.PAT, PAT_RESET)
  state.setBlockU64(Block.XCR0, 1n)
  state.setBlockU64(Block.MISC_ENABLE, MISC_ENABLE_RESET)
  state.setSlotU16(Slot.FCW, FCW_RESET)
  state.setSlotU16(Slot.FTW, 0xff)
  state.setSlotU32(Slot.MXCSR, MXCSR_RESET)
  setCr0(state, (Cr0.CD | Cr0.NW | Cr0.ET) >>> 0)
  resetCommon(cpu)
}

/** INIT: x87, SSE, MSRs and the time stamp counter stay. Processors but the first wait for a start-up interrupt. */
export function initializeProcessor(cpu: Processor): void {
  const { state } = cpu
  clearSignal(state, PendingEvent.INIT | PendingEvent.NMI | PendingEvent.DEBUG)
  for (let n = 0; n < 16; n++) state.setGpr(n, 0n)
  setCr0(state, ((state.cr0 & (Cr0.CD | Cr0.NW)) | Cr0.ET) >>> 0)
  for (const register of [Block.CR2, Block.CR3, Block.CR4, Block.EFER, Block.NMI_BLOCKED]) setRegister32(state, register, 0)
  endShadow(state)
  resetCommon(cpu)
  const waits = cpu.environment.apicId !== 0
  state.setBlockU32(Block.HALTED, waits ? Activity.WAIT_FOR_STARTUP : Activity.RUNNING)
}

/** A start-up interrupt: real mode at the page that it names. */
export function startUpProcessor(cpu: Processor): void {
  const { state } = cpu
  clearSignal(state, PendingEvent.STARTUP)
  if (state.blockU32(Block.HALTED) !== Activity.WAIT_FOR_STARTUP) return
  setRealSegment(cpu, Segment.CS, cpu.startUpVector << 8, BigInt(cpu.startUpVector << 12))
  state.rip = 0n
  state.setBlockU32(Block.HALTED, Activity.RUNNING)
}

function resetCommon(cpu: Processor): void {
  const { state } = cpu
  writeFlags(state, 2)
  state.rip = 0xfff0n
  state.setGpr32(Gpr.RDX, SIGNATURE)
  for (const index of [Segment.ES, Segment.SS, Segment.DS, Segment.FS, Segment.GS]) setRealSegment(cpu, index, 0, 0n)
  setRealSegment(cpu, Segment.CS, 0xf000, 0xffff0000n)
  setRealSegment(cpu, Segment.LDTR, 0, 0n, LDT_ATTRIBUTES)
  setRealSegment(cpu, Segment.TR, 0, 0n, TSS_ATTRIBUTES)
  for (const table of [Block.GDTR, Block.IDTR]) {
    state.setBlockU64(table, 0n)
    state.setBlockU32(table + 8, 0xffff)
  }
  for (let n = 0; n < 6; n++) state.setBlockU64(Block.DR + n * 8, 0n)
  setRegister32(state, Block.DR + 48, 0xffff0ff0)
  setRegister32(state, Block.DR + 56, 0x400)
  state.setBlockU32(Block.CPL, 0)
  followState(cpu)
}

function setRealSegment(cpu: Processor, index: SegmentIndex, selector: number, base: bigint, attributes = DATA_ATTRIBUTES): void {
  const { state } = cpu
  state.setSegmentSelector(index, selector)
  state.setSegmentBase(index, base)
  state.setSegmentLimit(index, 0xffff)
  state.setSegmentAttributes(index, attributes)
}

/** After the state was replaced (a reset, a restore, a loader): empties all caches of it. */
export function followState(cpu: Processor): void {
  const { state } = cpu
  cpu.stepTrap = cpu.resumeFlagLoaded = false
  cpu.shadowOfStep = 0
  cpu.mmu.tlb.reset()
  cpu.mmu.configure()
  cpu.debug.changed()
  for (let context = 0; context < CONTEXT_COUNT; context++) {
    const from = state.block + Block.CONTEXTS + context * Context.SIZE + Context.JUMP_CACHE
    state.u8.fill(0xff, from, from + Context.SIZE - Context.JUMP_CACHE)
  }
}

/** IA32_MTRR_DEF_TYPE: MTRRs on, memory write-back. */
const MTRR_ENABLED_WRITE_BACK = 0x806n

/** What firmware leaves behind for a kernel that is booted directly: caches and MTRRs on. */
export function enterFirmwareState(cpu: Processor): void {
  setCr0(cpu.state, (cpu.state.cr0 & ~(Cr0.CD | Cr0.NW)) >>> 0)
  cpu.msrs.set(0x2ff, MTRR_ENABLED_WRITE_BACK)
}
