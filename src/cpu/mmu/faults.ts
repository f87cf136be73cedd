import { ExitCode, Slot } from '../state/layout.ts'
import type { VcpuState } from '../state/vcpu-state.ts'

/** Exception vectors (SDM Vol. 3A table 6-1). */
export const Vector = {
  DE: 0, DB: 1, NMI: 2, BP: 3, OF: 4, BR: 5, UD: 6, NM: 7, DF: 8, TS: 10, NP: 11, SS: 12, GP: 13, PF: 14, MF: 16, AC: 17, MC: 18,
  XM: 19,
} as const

/** Vectors that push an error code: #DF #TS #NP #SS #GP #PF #AC. */
const WITH_ERROR_CODE = (1 << 8) | (1 << 10) | (1 << 11) | (1 << 12) | (1 << 13) | (1 << 14) | (1 << 17)

export function hasErrorCode(vector: number): boolean {
  return vector < 32 && ((WITH_ERROR_CODE >>> vector) & 1) !== 0
}

/** Records an exception in the slot, where whoever called finds it. Nothing is delivered yet. */
export function recordFault(state: VcpuState, vector: number, errorCode: number): void {
  state.setSlotU32(Slot.EXIT_CODE, ExitCode.EXCEPTION)
  state.setSlotU32(Slot.EXIT_VECTOR, vector)
  state.setSlotU32(Slot.EXIT_ERROR_CODE, errorCode)
  state.setSlotU32(Slot.SLOW_STORES, 0)
}

/** Records a page fault at the linear address given in halves. */
export function recordPageFault(state: VcpuState, errorCode: number, low: number, high: number): void {
  recordFault(state, Vector.PF, errorCode)
  state.setSlotU32(Slot.FAULT_ADDRESS, low)
  state.setSlotU32(Slot.FAULT_ADDRESS + 4, high)
}
