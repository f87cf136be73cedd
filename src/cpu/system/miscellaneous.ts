import { Vector } from '../mmu/faults.ts'
import { Flag, writeArithmeticFlags } from '../state/flags.ts'
import { Block, Gpr, Segment, Slot } from '../state/layout.ts'
import { privileged } from './descriptor-tables.ts'
import { Activity } from './events.ts'
import { Cr4, canonical } from './mode.ts'
import { endShadow } from './interrupt-shadow.ts'
import { HelperOutcome } from './outcome.ts'
import type { Processor } from './processor.ts'
import { resume } from './resume.ts'

/** Small system instructions: HLT, RDTSC, INVLPG, RDRAND, hypercalls, segment bases. */

/** HLT; argument 0 is the next instruction's pointer. */
export function halt(cpu: Processor): HelperOutcome {
  if (!privileged(cpu)) return HelperOutcome.FAULT
  cpu.state.setBlockU32(Block.HALTED, Activity.HALTED)
  // HLT is the one instruction that STI before it protects.
  endShadow(cpu.state)
  cpu.state.rip = cpu.argument64(0)
  return HelperOutcome.RESYNC
}

/** RDTSC. */
export function readTimeStamp(cpu: Processor): HelperOutcome {
  const { state } = cpu
  if (state.cpl !== 0 && (state.cr4 & Cr4.TSD) !== 0) return cpu.fail(Vector.GP)
  cpu.setResult64(cpu.timeStamp())
  state.setGpr32(Gpr.RAX, state.blockU32(Block.RESULT))
  state.setGpr32(Gpr.RDX, state.blockU32(Block.RESULT + 4))
  return HelperOutcome.OK
}

/** RDTSCP. */
export function readTimeStampAndProcessor(cpu: Processor): HelperOutcome {
  const outcome = readTimeStamp(cpu)
  if (outcome === HelperOutcome.OK) cpu.state.setGpr32(Gpr.RCX, cpu.state.blockU32(Block.TSC_AUX))
  return outcome
}

/** RDPID: IA32_TSC_AUX. */
export function readProcessorId(cpu: Processor): HelperOutcome {
  cpu.setResult64(cpu.state.blockU64(Block.TSC_AUX))
  return HelperOutcome.OK
}

/** RDPMC: there are no performance counters, so every index is wrong. */
export function readPerformanceCounter(cpu: Processor): HelperOutcome {
  return cpu.fail(Vector.GP)
}

/** INVLPG: argument 0 is the linear address, argument 1 the next instruction's pointer. */
export function invalidatePage(cpu: Processor): HelperOutcome {
  if (!privileged(cpu)) return HelperOutcome.FAULT
  const next = cpu.argument64(1)
  const address = cpu.argument64(0)
  if (canonical(address)) cpu.mmu.tlb.flushPage(Number(BigInt.asIntN(32, address)), Number(BigInt.asIntN(32, address >> 32n)))
  cpu.state.rip = next
  return HelperOutcome.RESYNC
}

/** INVD and WBINVD: memory is always coherent here. */
export function flushCaches(cpu: Processor): HelperOutcome {
  return privileged(cpu) ? HelperOutcome.OK : HelperOutcome.FAULT
}

/** RDRAND and RDSEED: argument 0 is the size in bits. CF is set, the other arithmetic flags are cleared. */
export function readRandom(cpu: Processor): HelperOutcome {
  const { environment } = cpu
  const low = BigInt(environment.random() >>> 0)
  const bits = cpu.argument32(0)
  cpu.setResult64(BigInt.asUintN(bits, bits === 64 ? low | (BigInt(environment.random() >>> 0) << 32n) : low))
  writeArithmeticFlags(cpu.state, Flag.CF)
  return HelperOutcome.OK
}

/** KVM's answers for a hypercall that does not exist, and for one from user mode. */
const KVM_ENOSYS = -1000n
const KVM_EPERM = -1n

/** VMCALL and VMMCALL: KVM's hypercall interface, of which no call is offered. */
export function hypercall(cpu: Processor): HelperOutcome {
  cpu.state.setGpr(Gpr.RAX, BigInt.asUintN(64, cpu.state.cpl === 0 ? KVM_ENOSYS : KVM_EPERM))
  return HelperOutcome.OK
}

/** RDFSBASE, RDGSBASE: argument 0 is the segment register. */
export function readSegmentBase(cpu: Processor): HelperOutcome {
  if ((cpu.state.cr4 & Cr4.FSGSBASE) === 0) return cpu.fail(Vector.UD)
  cpu.setResult64(cpu.state.segmentBase(segmentArgument(cpu)))
  return HelperOutcome.OK
}

/** WRFSBASE, WRGSBASE: argument 0 is the segment register, argument 1 the base. */
export function writeSegmentBase(cpu: Processor): HelperOutcome {
  if ((cpu.state.cr4 & Cr4.FSGSBASE) === 0) return cpu.fail(Vector.UD)
  const base = cpu.argument64(1)
  if (!canonical(base)) return cpu.fail(Vector.GP)
  cpu.state.setSegmentBase(segmentArgument(cpu), base)
  return HelperOutcome.OK
}

const segmentArgument = (cpu: Processor): typeof Segment.FS | typeof Segment.GS =>
  cpu.argument32(0) === Segment.FS ? Segment.FS : Segment.GS

/** STAC and CLAC: argument 0 is RFLAGS.AC's new value, argument 1 the next instruction's pointer. */
export function setAlignmentCheck(cpu: Processor): HelperOutcome {
  const { state } = cpu
  if (state.cpl !== 0) return cpu.fail(Vector.UD)
  const before = state.slotU32(Slot.CONTEXT)
  const next = cpu.argument64(1)
  cpu.changeSystemFlags(Flag.AC, cpu.argument32(0) !== 0 ? Flag.AC : 0)
  return resume(cpu, next, before)
}
