import type { PlainData, Stateful } from '../machine/lifecycle.ts'
import { StateReader } from '../machine/state-reader.ts'

/**
 * Why a machine has ended, for good until it is reset. `power-off` and `reset`: the guest asked for it. `triple-fault`: the processor shut
 * down. `panicked`: its kernel said so (pvpanic). `watchdog`: it did not reload its watchdog in time.
 */
export type MachineEnd = (typeof ENDS)[number]
const ENDS = ['power-off', 'reset', 'triple-fault', 'panicked', 'watchdog'] as const

type StandingState = { readonly startTime: number, readonly ended: MachineEnd | 'not' }

/** The last millisecond that a Date can name. */
const LAST_TIME = 8.64e15

/** What is true of the machine as a whole: when it started, and whether it has ended. */
export class MachineStanding implements Stateful<StandingState> {
  readonly schema = 'machine'
  readonly version = 2
  /** Wall-clock time at the virtual clock's zero, in whole milliseconds since 1970; a restored machine keeps it. */
  startTime: number
  ended: MachineEnd | undefined

  constructor(startTime: number) { this.startTime = Math.floor(startTime) }

  save(): StandingState { return { startTime: this.startTime, ended: this.ended ?? 'not' } }

  restore(state: PlainData): void {
    const reader = new StateReader(this.schema, state)
    const startTime = reader.integer('startTime', 0, LAST_TIME)
    const ended = reader.choice('ended', ['not', ...ENDS])
    this.startTime = startTime
    this.ended = ended === 'not' ? undefined : ended
  }

  reset(): void { this.ended = undefined }
}
