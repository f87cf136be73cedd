/** What a helper tells the engine. */
export const HelperOutcome = {
  /** An exception is recorded in the slot; nothing was committed. */
  FAULT: 0,
  /** Done: the engine commits the instruction and goes on. */
  OK: 1,
  /** The helper did everything: the engine goes on from Slot.RIP, perhaps in another mode. */
  RESYNC: 2,
} as const
export type HelperOutcome = typeof HelperOutcome[keyof typeof HelperOutcome]
