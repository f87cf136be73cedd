import { Slot } from '../state/layout.ts'
import type { VcpuState } from '../state/vcpu-state.ts'

/**
 * The instruction after STI or a load of SS, before which interrupts wait (SDM Vol. 3A §6.8.1, §6.8.3).
 *
 * The engine does not come back to end the shadow: it is over as soon as the instruction pointer is another.
 */

/** Values of Slot.INTERRUPT_SHADOW: after STI interrupts wait; after a load of SS debug traps and NMIs wait too. */
export const Shadow = { NONE: 0, STI: 1, MOV_SS: 2 } as const
export type Shadow = typeof Shadow[keyof typeof Shadow]

/** The instruction at `next` is in the shadow. */
export function castShadow(state: VcpuState, shadow: number, next: bigint): void {
  state.setSlotU32(Slot.INTERRUPT_SHADOW, shadow)
  state.setSlotU64(Slot.SHADOW_RIP, next)
}

export function endShadow(state: VcpuState): void { state.setSlotU32(Slot.INTERRUPT_SHADOW, Shadow.NONE) }

/** The shadow that the instruction at Slot.RIP is in. */
export function shadowOf(state: VcpuState): number {
  return state.slotU64(Slot.SHADOW_RIP) === state.rip ? state.slotU32(Slot.INTERRUPT_SHADOW) : Shadow.NONE
}
