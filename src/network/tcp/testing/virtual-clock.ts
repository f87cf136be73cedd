import type { Clock, Timer } from '../../../machine/clock.ts'

const NANOSECONDS = 1e6

class VirtualTimer implements Timer {
  deadline = Infinity
  readonly onExpire: () => void

  constructor(onExpire: () => void) { this.onExpire = onExpire }

  arm(deadline: number): void { this.deadline = deadline }
  disarm(): void { this.deadline = Infinity }
}

/** A clock that goes only when a test says so. */
export class VirtualClock implements Clock {
  private time = 1e9
  private readonly timers: VirtualTimer[] = []

  now(): number { return this.time }

  timer(onExpire: () => void): Timer {
    const timer = new VirtualTimer(onExpire)
    this.timers.push(timer)
    return timer
  }

  /** Lets time pass, with its timers. */
  pass(milliseconds: number): void {
    const end = this.time + milliseconds * NANOSECONDS
    for (;;) {
      const timer = this.timers.reduce((first, other) => other.deadline < first.deadline ? other : first)
      if (timer.deadline > end) break
      this.time = Math.max(this.time, timer.deadline)
      timer.deadline = Infinity
      timer.onExpire()
    }
    this.time = end
  }
}
