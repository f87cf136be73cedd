import { Flag } from '../state/flags.ts'
import { Block, Slot } from '../state/layout.ts'
import type { VcpuState } from '../state/vcpu-state.ts'

/**
 * Asynchronous events: bits of Slot.PENDING. Whoever wants the vCPU's attention sets one from any thread; it is looked at when a slice
 * ends, or when an instruction has just made an event due, by `serviceEvents`.
 */
export const PendingEvent = {
  /** Ask the interrupt controller: something may wait there, and RFLAGS.IF may allow it. */
  INTERRUPT: 1,
  /** A non-maskable interrupt waits. */
  NMI: 2,
  /** Instructions must be run one at a time: TF, a trap waits, or a breakpoint is enabled. */
  DEBUG: 4,
  /** The host wants to stop, pause or look; the processor leaves this bit to its owner. */
  HOST: 8,
  /** INIT and SIPI from another processor's APIC. */
  INIT: 0x10,
  STARTUP: 0x20,
} as const

/** Sets event bits; wakes nobody. */
export function signal(state: VcpuState, bits: number): void {
  Atomics.or(state.i32, (state.slot + Slot.PENDING) >> 2, bits)
}

export function clearSignal(state: VcpuState, bits: number): void {
  Atomics.and(state.i32, (state.slot + Slot.PENDING) >> 2, ~bits)
}

export function pendingEvents(state: VcpuState): number {
  return Atomics.load(state.i32, (state.slot + Slot.PENDING) >> 2)
}

const WHATEVER_IF_SAYS = PendingEvent.HOST | PendingEvent.INIT | PendingEvent.STARTUP

/** Something is to happen before the next instruction. Cheap: it is asked behind every helper. */
export function isEventDue(state: VcpuState): boolean {
  const pending = state.i32[(state.slot + Slot.PENDING) >> 2]
  if (pending === 0) return false
  if ((pending & WHATEVER_IF_SAYS) !== 0 || (state.slotU32(Slot.SYSTEM_FLAGS) & Flag.IF) !== 0) return true
  return (pending & PendingEvent.NMI) !== 0 && state.blockU32(Block.NMI_BLOCKED) === 0
}

/** Values of Block.HALTED (SDM Vol. 3C §25.4.2 calls it the activity state). */
export const Activity = { RUNNING: 0, HALTED: 1, WAIT_FOR_STARTUP: 2, SHUTDOWN: 3 } as const
