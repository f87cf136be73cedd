import { Flag } from '../state/flags.ts'
import { Slot } from '../state/layout.ts'
import { HelperOutcome } from './outcome.ts'
import type { Processor } from './processor.ts'

/** After a change of RFLAGS: the engine goes on in line unless the translation context changed or instructions are traced. */
export function resume(cpu: Processor, next: bigint, contextBefore: number): HelperOutcome {
  const { state } = cpu
  const traced = (state.slotU32(Slot.SYSTEM_FLAGS) & Flag.TF) !== 0
  if (state.slotU32(Slot.CONTEXT) === contextBefore && !traced) return HelperOutcome.OK
  state.rip = next
  return HelperOutcome.RESYNC
}
