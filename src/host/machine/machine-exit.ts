/**
 * Why a machine ended. `power-off`: by ACPI. `reset`: the guest asked for a reset. `triple-fault`: the processor shut down.
 * `panicked`: its kernel said so. `watchdog`: the guest did not reload its watchdog in time, and hangs; what its owner makes of that (a
 * reset, as on a PC, or an end) is the owner's choice, as it is for a reset. `halted`: HLT with interrupts disabled, from which only a
 * reset wakes. `killed`: by its owner. `failed`: by a fault of ours.
 */
export type MachineExitReason =
  | 'power-off' | 'reset' | 'triple-fault' | 'panicked' | 'watchdog' | 'halted' | 'killed' | 'failed'

export interface MachineExit {
  readonly reason: MachineExitReason
  /** For people: where and what, such as the instruction pointer of a triple fault. Empty when there is nothing to say. */
  readonly detail: string
  /** Where something failed: the error's code. */
  readonly code?: string
}
