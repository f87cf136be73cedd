import type { Clock, Timer } from '../../machine/clock.ts'

export const SECOND = 1e9

/** A part that has something to do when time passes. */
export interface Ageing {
  /** Does what is due, and returns when it wants to be asked again; Infinity: when it says so by `Ager.wake`. */
  age(now: number): number
}

/** One timer for all parts of a gateway. Nothing here needs to be exact: it runs four times a second at most. */
export class Ager {
  private readonly clock: Clock
  private readonly alarm: Timer
  private readonly parts: Ageing[] = []
  private earliest = 0

  constructor(clock: Clock) {
    this.clock = clock
    this.alarm = clock.timer(() => { this.run() })
  }

  now(): number { return this.clock.now() }

  /** A timer of a part's own, exact. */
  timer(onExpire: () => void): Timer { return this.clock.timer(onExpire) }

  add(part: Ageing): void { this.parts.push(part) }

  /** A part has something due at this time. */
  wake(deadline: number): void {
    const time = Math.max(deadline, this.earliest)
    if (time < this.alarm.deadline) this.alarm.arm(time)
  }

  stop(): void { this.alarm.disarm() }

  private run(): void {
    const now = this.clock.now()
    this.earliest = now + SECOND / 4
    let next = Infinity
    for (const part of this.parts) next = Math.min(next, part.age(now))
    if (next !== Infinity) this.wake(next)
  }
}
