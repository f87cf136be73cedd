import { Vector } from '../mmu/faults.ts'
import { Flag } from '../state/flags.ts'
import { Block, Segment, Slot } from '../state/layout.ts'
import { Dr6 } from './debug.ts'
import { deliver, deliverFault, deliverInterrupt, deliverTrap } from './delivery.ts'
import { EventKind } from './event.ts'
import { Activity, PendingEvent, clearSignal, pendingEvents, signal } from './events.ts'
import { Shadow, castShadow, endShadow, shadowOf } from './interrupt-shadow.ts'
import { is64Bit } from './mode.ts'
import type { Processor } from './processor.ts'
import { initializeProcessor, startUpProcessor } from './reset.ts'

/**
 * What happens between instructions, in the order of SDM Vol. 3A table 6-2: traps on the last instruction, NMI, interrupts,
 * breakpoints on the next instruction.
 */
export const ServiceOutcome = {
  /** Go on from Slot.RIP. */
  RUN: 0,
  /** Run exactly one instruction, then call `afterStep`. */
  STEP: 1,
  /** Nothing to run until Slot.PENDING is not zero. */
  HALT: 2,
  /** A triple fault: only a reset helps. */
  SHUTDOWN: 3,
} as const
export type ServiceOutcome = typeof ServiceOutcome[keyof typeof ServiceOutcome]

/**
 * Looks after events at an instruction boundary, delivering what is due. To be called whenever the engine has stopped and
 * Slot.PENDING is not zero, a helper resynchronised, or nothing ran yet.
 */
export function serviceEvents(cpu: Processor): ServiceOutcome {
  const { state } = cpu
  const pending = pendingEvents(state)
  if ((pending & PendingEvent.INIT) !== 0) initializeProcessor(cpu)
  if ((pending & PendingEvent.STARTUP) !== 0) startUpProcessor(cpu)
  if (isStopped(cpu)) return stoppedOutcome(cpu)
  const shadow = shadowOf(state)
  if (shadow !== Shadow.MOV_SS && !deliverTraps(cpu)) return ServiceOutcome.SHUTDOWN
  if (shadow !== Shadow.MOV_SS && !deliverNmi(cpu)) return ServiceOutcome.SHUTDOWN
  if (!deliverMaskable(cpu) || !deliverBreakpoint(cpu)) return ServiceOutcome.SHUTDOWN
  return isStopped(cpu) ? stoppedOutcome(cpu) : nextStep(cpu)
}

/** RF as it is between the iterations of a repeated string instruction ends with the next. To be called before instructions RUN. */
export function beforeRun(cpu: Processor): void {
  if ((cpu.systemFlags & Flag.RF) !== 0) cpu.changeSystemFlags(Flag.RF, 0)
}

/**
 * After an iteration of a repeated string instruction that goes on: RF keeps an instruction breakpoint from stopping it again, and is
 * in the flags that a trap or interrupt between its iterations saves (SDM Vol. 3B §18.3.1.1).
 */
export function betweenIterations(cpu: Processor): void { cpu.changeSystemFlags(0, Flag.RF) }

/**
 * After the one instruction of a STEP has completed: not when it faulted and the fault was delivered.
 * @param repeats it was an iteration of a repeated string instruction that goes on.
 */
export function afterStep(cpu: Processor, repeats = false): void {
  if (cpu.stepTrap) cpu.debug.pend(Dr6.BS)
  cpu.stepTrap = false
  if (repeats) betweenIterations(cpu)
  else if (!cpu.resumeFlagLoaded) cpu.changeSystemFlags(Flag.RF, 0)
  cpu.resumeFlagLoaded = false
}

/** Instead of the one instruction of a STEP, when it is not to run now: `serviceEvents` will ask for it again. */
export function postponeStep(cpu: Processor): void {
  cpu.stepTrap = false
  castShadow(cpu.state, cpu.shadowOfStep, cpu.state.rip)
}

/** Delivers the exception that the engine stopped with. Breakpoints on what the instruction did before count only if it completes. */
export function serviceFault(cpu: Processor): ServiceOutcome {
  cpu.debug.takePending()
  return deliverFault(cpu) ? ServiceOutcome.RUN : ServiceOutcome.SHUTDOWN
}

const activity = (cpu: Processor): number => cpu.state.blockU32(Block.HALTED)

/** Waiting for a start-up interrupt, or shut down: no event but those of another processor counts. */
const isStopped = (cpu: Processor): boolean => activity(cpu) >= Activity.WAIT_FOR_STARTUP

function stoppedOutcome(cpu: Processor): ServiceOutcome {
  return activity(cpu) === Activity.SHUTDOWN ? ServiceOutcome.SHUTDOWN : ServiceOutcome.HALT
}

function nextStep(cpu: Processor): ServiceOutcome {
  const { state } = cpu
  if (activity(cpu) === Activity.HALTED) return ServiceOutcome.HALT
  const traces = (state.slotU32(Slot.SYSTEM_FLAGS) & Flag.TF) !== 0
  cpu.stepTrap = traces
  const shadow = shadowOf(state)
  endShadow(state)
  cpu.shadowOfStep = shadow
  if (traces || cpu.debug.armed || shadow !== Shadow.NONE) return ServiceOutcome.STEP
  clearSignal(state, PendingEvent.DEBUG)
  return ServiceOutcome.RUN
}

/** #DB for the last instruction: single step, data and I/O breakpoints, task switch. */
function deliverTraps(cpu: Processor): boolean {
  const bits = cpu.debug.takePending()
  if (bits === 0) return true
  cpu.debug.report(bits)
  return deliverTrap(cpu, Vector.DB)
}

function deliverNmi(cpu: Processor): boolean {
  const { state } = cpu
  if ((pendingEvents(state) & PendingEvent.NMI) === 0 || state.blockU32(Block.NMI_BLOCKED) !== 0) return true
  clearSignal(state, PendingEvent.NMI)
  const delivered = deliver(cpu, { vector: Vector.NMI, kind: EventKind.NMI, errorCode: -1, returnRip: state.rip })
  state.setBlockU32(Block.NMI_BLOCKED, 1)
  return delivered
}

/** The controller is asked once an event; what IF holds back is remembered in Slot.MASKED_INTERRUPT. */
function deliverMaskable(cpu: Processor): boolean {
  const { state } = cpu
  if ((pendingEvents(state) & PendingEvent.INTERRUPT) === 0) return true
  const { interrupts } = cpu.environment
  if (shadowOf(state) !== Shadow.NONE) return true
  clearSignal(state, PendingEvent.INTERRUPT)
  const enabled = (state.slotU32(Slot.SYSTEM_FLAGS) & Flag.IF) !== 0
  const vector = enabled && interrupts.hasPending() ? interrupts.acknowledge() : -1
  const delivered = vector < 0 || deliverInterrupt(cpu, vector)
  noteWaiting(cpu)
  return delivered
}

function noteWaiting(cpu: Processor): void {
  const { state } = cpu
  const waiting = cpu.environment.interrupts.hasPending()
  const enabled = (state.slotU32(Slot.SYSTEM_FLAGS) & Flag.IF) !== 0
  state.setSlotU32(Slot.MASKED_INTERRUPT, waiting && !enabled ? 1 : 0)
  if (waiting && enabled) signal(state, PendingEvent.INTERRUPT)
}

/** #DB before an instruction with a breakpoint; RF passes it over. */
function deliverBreakpoint(cpu: Processor): boolean {
  const { state } = cpu
  if (!cpu.debug.armed || activity(cpu) !== Activity.RUNNING || (cpu.systemFlags & Flag.RF) !== 0) return true
  const linear = is64Bit(state) ? state.rip : cpu.wrap(state.segmentBase(Segment.CS) + state.rip)
  const matches = cpu.debug.instructionMatches(linear)
  if (matches === 0) return true
  cpu.debug.report(matches)
  return deliverTrap(cpu, Vector.DB)
}
