import { Block, Gpr, Segment } from '../cpu/state/layout.ts'
import type { SegmentIndex } from '../cpu/state/layout.ts'
import { writeFlags } from '../cpu/state/flags.ts'
import { enterFirmwareState, followState } from '../cpu/system/reset.ts'
import { writeMsr } from '../cpu/system/msr.ts'
import type { Processor } from '../cpu/system/processor.ts'
import { unreachable } from '../base/errors.ts'
import type { DescriptorTable, GeneralRegister, InitialState, SegmentName } from './boot/initial-state.ts'

const REGISTERS: Record<GeneralRegister, number> = {
  rax: Gpr.RAX, rcx: Gpr.RCX, rdx: Gpr.RDX, rbx: Gpr.RBX, rsp: Gpr.RSP, rbp: Gpr.RBP, rsi: Gpr.RSI, rdi: Gpr.RDI,
}
const SEGMENTS: Record<SegmentName, SegmentIndex> = {
  es: Segment.ES, cs: Segment.CS, ss: Segment.SS, ds: Segment.DS, fs: Segment.FS, gs: Segment.GS, ldtr: Segment.LDTR, tr: Segment.TR,
}

/** Puts a freshly reset processor where a loader says that it starts. */
export function applyInitialState(processor: Processor, initial: InitialState): void {
  const { state } = processor
  enterFirmwareState(processor)
  for (const index of Object.values(REGISTERS)) state.setGpr(index, 0n)
  for (const [name, value] of Object.entries(initial.registers)) state.setGpr(REGISTERS[name as GeneralRegister], value)
  state.rip = initial.rip
  writeFlags(state, initial.rflags)
  state.setBlockU64(Block.CR0, BigInt(initial.cr0 >>> 0))
  state.setBlockU64(Block.CR3, BigInt(initial.cr3))
  state.setBlockU64(Block.CR4, BigInt(initial.cr4 >>> 0))
  state.setBlockU64(Block.EFER, BigInt(initial.efer >>> 0))
  for (const [name, segment] of Object.entries(initial.segments)) {
    const index = SEGMENTS[name as SegmentName]
    state.setSegmentSelector(index, segment.selector)
    state.setSegmentBase(index, segment.base)
    state.setSegmentLimit(index, segment.limit)
    state.setSegmentAttributes(index, segment.attributes)
  }
  setTable(processor, Block.GDTR, initial.gdtr)
  setTable(processor, Block.IDTR, initial.idtr)
  followState(processor)
  for (const { index, value } of initial.msrs) {
    if (!writeMsr(processor, index, value)) unreachable(`a loader's value for MSR 0x${index.toString(16)}`)
  }
}

function setTable({ state }: Processor, at: number, table: DescriptorTable): void {
  state.setBlockU64(at, table.base)
  state.setBlockU32(at + 8, table.limit)
}
