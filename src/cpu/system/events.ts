import { Slot } from '../state/layout.ts'
import type { VcpuState } from '../state/vcpu-state.ts'

/**
 * Asynchronous events: bits of Slot.PENDING. Whoever wants the vCPU's attention sets one from any thread; it is looked at when a slice
 * ends, or when a helper has just made an interrupt deliverable, by `serviceEvents`.
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

/** Values of Block.HALTED (SDM Vol. 3C §25.4.2 calls it the activity state). */
export const Activity = { RUNNING: 0, HALTED: 1, WAIT_FOR_STARTUP: 2, SHUTDOWN: 3 } as const
