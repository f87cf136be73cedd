import { Vector } from '../mmu/faults.ts'

/** What caused an interrupt or exception: it decides on privilege checks, EXT and RF. */
export const EventKind = {
  /** Detected by the processor. */
  EXCEPTION: 0,
  /** INT n. */
  SOFTWARE: 1,
  /** INT3 and INTO. */
  SOFTWARE_EXCEPTION: 2,
  /** INT1: no privilege check. */
  PRIVILEGED_SOFTWARE: 3,
  EXTERNAL: 4,
  NMI: 5,
} as const
export type EventKind = typeof EventKind[keyof typeof EventKind]

/** An interrupt or exception on its way through the IDT. */
export interface Event {
  readonly vector: number
  readonly kind: EventKind
  /** -1 if the vector pushes none. */
  readonly errorCode: number
  /** The instruction pointer that the handler returns to. */
  readonly returnRip: bigint
}

/** INT n, INT3 and INTO are checked against the gate's DPL. */
export const checksGatePrivilege = (event: Event): boolean =>
  event.kind === EventKind.SOFTWARE || event.kind === EventKind.SOFTWARE_EXCEPTION

/** The EXT bit of error codes for faults that this event's delivery meets: set unless software asked for it (SDM Vol. 3A §6.13). */
export const externalBit = (event: Event): number => checksGatePrivilege(event) ? 0 : 1

/** RF is set in the pushed flags of fault-class exceptions, so that their return does not meet the same breakpoint again. */
export const setsResumeFlag = (event: Event): boolean =>
  event.kind === EventKind.EXCEPTION && event.vector !== Vector.DB && event.vector !== Vector.DF && event.vector !== Vector.MC

const CONTRIBUTORY = (1 << Vector.DE) | (1 << Vector.TS) | (1 << Vector.NP) | (1 << Vector.SS) | (1 << Vector.GP)
const isContributory = (vector: number): boolean => vector < 32 && ((CONTRIBUTORY >>> vector) & 1) !== 0

/**
 * What follows when delivering `first` raises the exception `second` (SDM Vol. 3A table 6-5).
 * @returns 'serial': the second is delivered in place of the first; 'double': #DF is; 'shutdown'.
 */
export function combine(first: Event, second: number): 'serial' | 'double' | 'shutdown' {
  if (first.kind !== EventKind.EXCEPTION) return 'serial'
  const severe = isContributory(second) || second === Vector.PF
  if (first.vector === Vector.DF) return severe ? 'shutdown' : 'serial'
  if (isContributory(first.vector)) return isContributory(second) ? 'double' : 'serial'
  return first.vector === Vector.PF && severe ? 'double' : 'serial'
}
