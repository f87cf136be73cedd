import type { CoprocessorPins } from '../../machine/interrupts.ts'
import { Block, ExitCode, Slot } from '../state/layout.ts'
import type { VcpuState } from '../state/vcpu-state.ts'
import { Activity } from '../system/events.ts'
import { StatusWord } from './registers.ts'

/**
 * x87 errors while CR0.NE is clear, as a PC/AT has them (SDM Vol. 1 appendix D.2). The first waiting instruction behind the error
 * asserts FERR#, from which the platform makes IRQ 13. The processor then stands still before that instruction until an interrupt
 * comes, whichever it is; with IGNNE# asserted it goes on.
 */
export interface ErrorReporter {
  readonly state: VcpuState
  readonly environment: { readonly coprocessor: CoprocessorPins }
  /** See Processor. */
  stepTrap: boolean
}

/** Reports the pending error. True: the instruction does not run now, and FAULT is to be its helper's outcome. */
export function waitsForError(cpu: ErrorReporter): boolean {
  const { coprocessor } = cpu.environment
  coprocessor.setError(true)
  if (coprocessor.ignoresError) return false
  standStill(cpu)
  return true
}

/** FERR# is released when no error is pending any more: behind every instruction that may have cleared it. */
export function followError(cpu: ErrorReporter): void {
  const { coprocessor } = cpu.environment
  if (coprocessor.error && (cpu.state.slotU16(Slot.FSW) & StatusWord.ERROR_SUMMARY) === 0) coprocessor.setError(false)
}

/** As HLT, but before the instruction, which has not run: it does not count, and nothing traps behind it. */
function standStill(cpu: ErrorReporter): void {
  const { state } = cpu
  state.setSlotU32(Slot.EXIT_CODE, ExitCode.RESYNC)
  state.setSlotU32(Slot.REPEATS, state.slotU32(Slot.REPEATS) + 1)
  state.setBlockU32(Block.HALTED, Activity.HALTED)
  cpu.stepTrap = false
}
