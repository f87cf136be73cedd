import type { ProcessorPins } from '../../machine/interrupts.ts'
import type { PlainData, Stateful } from '../../machine/lifecycle.ts'
import { LinearMemory } from '../mmu/linear-memory.ts'
import { Mmu } from '../mmu/mmu.ts'
import { recordFault } from '../mmu/faults.ts'
import { Flag, readFlags, writeFlags } from '../state/flags.ts'
import { Block, Slot } from '../state/layout.ts'
import type { SegmentIndex } from '../state/layout.ts'
import type { VcpuState } from '../state/vcpu-state.ts'
import type { CpuidTable } from './cpuid.ts'
import { FEATURE_NAMES, buildCpuid } from './cpuid.ts'
import { DebugUnit } from './debug.ts'
import type { ProcessorEnvironment } from './environment.ts'
import { PendingEvent, signal } from './events.ts'
import { StateArea } from './extended-state.ts'
import { isLong } from './mode.ts'
import { MsrStore } from './msr-store.ts'
import { HelperOutcome } from './outcome.ts'
import { resetProcessor } from './reset.ts'
import { segmentedLinear } from './segmentation.ts'
import { restoreProcessor, saveProcessor } from './snapshot.ts'
import type { ProcessorState } from './snapshot.ts'

/**
 * One virtual processor, as its rare instructions see it: state, memory and surroundings, with the small steps that all of them
 * share. What the instructions do is in the functions beside it, one file an idea.
 */
export class Processor implements ProcessorPins, Stateful<ProcessorState> {
  readonly schema = 'x86-processor'
  readonly version = 1
  readonly environment: ProcessorEnvironment
  readonly state: VcpuState
  readonly mmu: Mmu
  readonly memory: LinearMemory
  readonly debug: DebugUnit
  readonly msrs: MsrStore
  /** CPUID features: encodings and control bits of the others do not exist. */
  readonly features: ReadonlySet<string>
  readonly cpuid: CpuidTable
  /** Where FXSAVE and its like put their areas together. */
  readonly stateArea = new StateArea()
  /** RFLAGS.TF was set before the instruction that runs now: #DB follows it. */
  stepTrap = false
  /** Slot.INTERRUPT_SHADOW as it was before the instruction that runs now. */
  shadowOfStep = 0
  /** The instruction that runs now loaded RFLAGS.RF, so that its end does not clear it. */
  resumeFlagLoaded = false
  /** The recorded fault belongs to the task that was just switched to: Slot.RIP is its, and the old task is left already. */
  newTaskFault = false
  /** Page that the last start-up interrupt names. */
  startUpVector = 0

  constructor(environment: ProcessorEnvironment) {
    this.environment = environment
    this.state = environment.state
    this.mmu = new Mmu(environment.state, environment.frames, environment.memoryBus)
    this.memory = new LinearMemory(this.mmu)
    this.debug = new DebugUnit(this.state, this.mmu)
    this.msrs = new MsrStore()
    this.features = environment.features ?? FEATURE_NAMES
    this.cpuid = buildCpuid(environment.apicId, environment.processorCount, this.features)
  }

  save(): ProcessorState { return saveProcessor(this) }
  restore(state: PlainData): void { restoreProcessor(this, state) }
  reset(): void { resetProcessor(this) }

  /** Records an exception; false, so that a step can return it. */
  fault(vector: number, errorCode = 0): false {
    recordFault(this.state, vector, errorCode)
    return false
  }

  faultNull(vector: number, errorCode = 0): null {
    recordFault(this.state, vector, errorCode)
    return null
  }

  /** Records an exception, for a helper to return. */
  fail(vector: number, errorCode = 0): HelperOutcome {
    recordFault(this.state, vector, errorCode)
    return HelperOutcome.FAULT
  }

  /** A linear address in the width that the mode gives it: 64 bits in long mode, else 32. */
  wrap(linear: bigint): bigint {
    return BigInt.asUintN(isLong(this.state) ? 64 : 32, linear)
  }

  get flags(): number { return readFlags(this.state) }
  /** Writes RFLAGS whole, and follows what its bits control: translation context, single step, waiting interrupts. */
  set flags(value: number) {
    const before = this.state.slotU32(Slot.SYSTEM_FLAGS)
    writeFlags(this.state, value)
    this.systemFlagsChanged(before)
  }

  /** RFLAGS without the arithmetic flags, which cost more to work out. */
  get systemFlags(): number { return this.state.slotU32(Slot.SYSTEM_FLAGS) }

  /** Clears and then sets bits of RFLAGS that are not arithmetic flags. */
  changeSystemFlags(clear: number, set: number): void {
    const before = this.state.slotU32(Slot.SYSTEM_FLAGS)
    this.state.setSlotU32(Slot.SYSTEM_FLAGS, (before & ~clear) | set)
    this.systemFlagsChanged(before)
  }

  /** Follows a change of RFLAGS' system bits. */
  private systemFlagsChanged(before: number): void {
    const { state } = this
    const after = state.slotU32(Slot.SYSTEM_FLAGS)
    if (((before ^ after) & Flag.AC) !== 0) this.mmu.selectContext()
    if ((after & Flag.TF) !== 0) signal(state, PendingEvent.DEBUG)
    if ((after & ~before & Flag.IF) !== 0 && state.slotU32(Slot.MASKED_INTERRUPT) !== 0) signal(state, PendingEvent.INTERRUPT)
  }

  setCpl(cpl: number): void {
    this.state.setBlockU32(Block.CPL, cpl)
    this.mmu.selectContext()
  }

  /** Helper arguments, as the engine left them, and the result it expects. */
  argument32(n: number): number { return this.state.blockU32(Block.ARGUMENTS + 16 * n) }
  argument64(n: number): bigint { return this.state.blockU64(Block.ARGUMENTS + 16 * n) }
  setResult32(value: number): void {
    this.state.setBlockU32(Block.RESULT, value)
    this.state.setBlockU32(Block.RESULT + 4, 0)
  }
  setResult64(value: bigint): void { this.state.setBlockU64(Block.RESULT, value) }

  // Pins, driven by the local APIC.

  interrupt(pending: boolean): void {
    if (pending) signal(this.state, PendingEvent.INTERRUPT)
  }

  nonMaskableInterrupt(): void { signal(this.state, PendingEvent.NMI) }
  initialize(): void { signal(this.state, PendingEvent.INIT) }
  startUp(vector: number): void {
    this.startUpVector = vector
    signal(this.state, PendingEvent.STARTUP)
  }

  /** Limit and type checks of a data access through a segment, outside 64-bit mode. False: #GP(0) or #SS(0) is recorded. */
  checkSegment(segment: number, offset: number, size: number, write: boolean): boolean {
    return segmentedLinear(this, segment as SegmentIndex, offset, size, write) >= 0
  }

  /** Virtual time (Clock's nanoseconds) at which the time stamp counter has a value. */
  timeOfTsc(stamp: bigint): number {
    return Number(BigInt.asIntN(64, stamp - this.state.blockU64(Block.TSC_ADJUST)))
  }

  /** The virtual time stamp counter: 1 GHz, so the machine's nanoseconds, and IA32_TSC_ADJUST. */
  timeStamp(): bigint {
    return BigInt.asUintN(64, BigInt(Math.floor(this.environment.clock.now())) + this.state.blockU64(Block.TSC_ADJUST))
  }
}
