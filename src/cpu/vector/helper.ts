import { Block } from '../state/layout.ts'
import type { VcpuState } from '../state/vcpu-state.ts'

/** What helpers here need of a processor. */
export interface HelperContext { readonly state: VcpuState }

/** A helper: arguments at Block.ARGUMENTS, 16 bytes each, result at Block.RESULT; returns a HelperOutcome. */
export type Helper = (cpu: HelperContext) => number
export type HelperTable = Record<string, Helper>

/** Indices into `state.u32` of argument `n` and of the result. */
export const argumentWord = (state: VcpuState, n: number): number => (state.block + Block.ARGUMENTS + n * 16) >> 2
export const resultWord = (state: VcpuState): number => (state.block + Block.RESULT) >> 2
