/**
 * The machine's virtual clock. Devices read time and arm timers here only, so that a run can be paused, saved and replayed.
 *
 * Unit: nanoseconds since the machine's power-on as a `number` (exact to 104 days, then to 2 ns).
 */
export interface Clock {
  now(): number
  /** Creates a disarmed timer. `onExpire` runs on the vCPU's thread, between instructions, at or after the deadline. */
  timer(onExpire: () => void): Timer
}

export interface Timer {
  /** Arms (or re-arms) for an absolute virtual time; one that has passed expires at the next opportunity. */
  arm(deadline: number): void
  disarm(): void
  /** Absolute virtual time, Infinity while disarmed. */
  readonly deadline: number
}
