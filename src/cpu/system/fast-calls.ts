import { Vector } from '../mmu/faults.ts'
import { Flag } from '../state/flags.ts'
import { Block, Gpr, Segment } from '../state/layout.ts'
import type { SegmentIndex } from '../state/layout.ts'
import { Efer, canonical, is64Bit, isLong, isProtected } from './mode.ts'
import { HelperOutcome } from './outcome.ts'
import type { Processor } from './processor.ts'

/** SYSCALL, SYSRET, SYSENTER and SYSEXIT (SDM Vol. 2B, Vol. 3A §5.8.7, §5.8.8): fixed segments, no stack, no descriptor tables. */

/** Attributes of the fixed flat segments, without DPL: code and data with accessed, present, 4 KiB granularity. */
const CODE_64 = 0xa09b
const CODE_32 = 0xc09b
const DATA = 0xc093

function setFlat(cpu: Processor, index: SegmentIndex, selector: number, attributes: number, dpl: number): void {
  const { state } = cpu
  state.setSegmentSelector(index, selector)
  state.setSegmentBase(index, 0n)
  state.setSegmentLimit(index, 0xffffffff)
  state.setSegmentAttributes(index, attributes | (dpl << 5))
}

/** SYSCALL; argument 0 is the next instruction's pointer. */
export function systemCall(cpu: Processor): HelperOutcome {
  const { state } = cpu
  if (!is64Bit(state) || (state.efer & Efer.SCE) === 0) return cpu.fail(Vector.UD)
  const flags = cpu.flags & ~Flag.RF
  state.setGpr(Gpr.RCX, cpu.argument64(0))
  state.setGpr(Gpr.R11, BigInt(flags))
  state.rip = state.blockU64(Block.LSTAR)
  const selector = (state.blockU32(Block.STAR + 4) & 0xffff) & ~3
  cpu.flags = flags & ~state.blockU32(Block.FMASK)
  if ((cpu.systemFlags & Flag.TF) === 0) cpu.stepTrap = false
  setFlat(cpu, Segment.CS, selector, CODE_64, 0)
  setFlat(cpu, Segment.SS, selector + 8, DATA, 0)
  cpu.setCpl(0)
  return HelperOutcome.RESYNC
}

/** SYSRET; argument 0 is the operand size: 64 returns to 64-bit mode. */
export function systemReturn(cpu: Processor): HelperOutcome {
  const { state } = cpu
  if (!is64Bit(state) || (state.efer & Efer.SCE) === 0) return cpu.fail(Vector.UD)
  if (state.cpl !== 0) return cpu.fail(Vector.GP)
  const wide = cpu.argument32(0) === 64
  const target = state.gpr(Gpr.RCX)
  if (wide && !canonical(target)) return cpu.fail(Vector.GP)
  const selector = state.blockU32(Block.STAR + 4) >>> 16
  state.rip = wide ? target : BigInt.asUintN(32, target)
  cpu.flags = (state.gpr32(Gpr.R11) & SYSRET_FLAGS) | 2
  setFlat(cpu, Segment.CS, ((selector + (wide ? 16 : 0)) | 3) & 0xffff, wide ? CODE_64 : CODE_32, 3)
  setFlat(cpu, Segment.SS, ((selector + 8) | 3) & 0xffff, DATA, 3)
  cpu.setCpl(3)
  return HelperOutcome.RESYNC
}

/** R11's bits that SYSRET loads: all flags but RF and VM. */
const SYSRET_FLAGS = 0x3c7fd7

/** SYSENTER. */
export function systemEnter(cpu: Processor): HelperOutcome {
  const { state } = cpu
  const selector = state.blockU32(Block.SYSENTER_CS) & 0xfffc
  if (!isProtected(state) || selector === 0) return cpu.fail(Vector.GP)
  const long = isLong(state)
  cpu.changeSystemFlags(Flag.VM | Flag.IF | Flag.RF, 0)
  state.rsp = entry(cpu, Block.SYSENTER_ESP, long)
  state.rip = entry(cpu, Block.SYSENTER_EIP, long)
  setFlat(cpu, Segment.CS, selector, long ? CODE_64 : CODE_32, 0)
  setFlat(cpu, Segment.SS, selector + 8, DATA, 0)
  cpu.setCpl(0)
  return HelperOutcome.RESYNC
}

function entry(cpu: Processor, register: number, long: boolean): bigint {
  const value = cpu.state.blockU64(register)
  return long ? value : BigInt.asUintN(32, value)
}

/** SYSEXIT; argument 0 is the operand size: 64 returns to 64-bit mode. */
export function systemExit(cpu: Processor): HelperOutcome {
  const { state } = cpu
  const base = state.blockU32(Block.SYSENTER_CS) & 0xfffc
  if (!isProtected(state) || base === 0 || state.cpl !== 0) return cpu.fail(Vector.GP)
  const wide = cpu.argument32(0) === 64
  const [ip, sp] = [state.gpr(Gpr.RDX), state.gpr(Gpr.RCX)]
  if (wide && !(canonical(ip) && canonical(sp))) return cpu.fail(Vector.GP)
  state.rip = wide ? ip : BigInt.asUintN(32, ip)
  state.rsp = wide ? sp : BigInt.asUintN(32, sp)
  const selector = base + (wide ? 32 : 16)
  setFlat(cpu, Segment.CS, selector | 3, wide ? CODE_64 : CODE_32, 3)
  setFlat(cpu, Segment.SS, (selector + 8) | 3, DATA, 3)
  cpu.setCpl(3)
  return HelperOutcome.RESYNC
}
