import type { MachineExit } from '../machine/machine-exit.ts'

/**
 * How a guest ended. Beside the ends of a machine: `panic`, the guest's kernel gave up; `refused`, it could not be started again after a
 * reset; `suspended`, its machine was saved, and goes on at its next start.
 */
export interface GuestEnd {
  readonly reason: MachineExit['reason'] | 'panic' | 'refused' | 'suspended'
  /** For people: where and what. Empty when there is nothing to say. */
  readonly detail: string
  /** An error's code, where there was one. */
  readonly code?: string
}

/** What a machine's end is for its guest; `panic` is what its kernel said as it gave up. */
export function guestEnd(exit: MachineExit, panic: string | undefined): GuestEnd {
  if (panic !== undefined && exit.reason !== 'killed') return { reason: 'panic', detail: panic }
  return exit
}

const ORDERLY: ReadonlySet<GuestEnd['reason']> = new Set(['power-off', 'killed', 'suspended'])

/** Whether it ended as somebody wanted. */
export function isOrderly({ reason }: GuestEnd): boolean { return ORDERLY.has(reason) }

const PHRASES: Readonly<Record<GuestEnd['reason'], string>> = {
  'power-off': 'it powered off', reset: 'it was reset while it was to stop', 'triple-fault': 'its processor shut down after a triple fault',
  halted: 'it halted its processor with interrupts disabled', killed: 'it was killed', failed: 'the virtual machine failed',
  panic: 'its kernel panicked', panicked: 'its kernel panicked', watchdog: 'its watchdog expired', refused: 'it could not be started again after a reset',
  suspended: 'it was suspended',
}

/** `its kernel panicked: Attempted to kill init!`. */
export function describeEnd({ reason, detail }: GuestEnd): string {
  return detail === '' || reason === 'power-off' ? PHRASES[reason] : `${PHRASES[reason]}: ${detail}`
}
