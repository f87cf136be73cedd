import type { Clock, Timer } from '../../machine/clock.ts'

/** A virtual clock that stands still until a test advances it. Timers expire in order of their deadlines, at their deadlines. */
export class FakeClock implements Clock {
  private readonly timers: FakeTimer[] = []
  private time: number

  constructor(time = 0) { this.time = time }

  now(): number { return this.time }

  timer(onExpire: () => void): Timer {
    const timer = new FakeTimer(onExpire)
    this.timers.push(timer)
    return timer
  }

  advance(nanoseconds: number): void { this.advanceTo(this.time + nanoseconds) }

  advanceTo(time: number): void {
    for (let next = this.earliest(); next && next.deadline <= time; next = this.earliest()) {
      this.time = Math.max(this.time, next.deadline)
      next.expire()
    }
    this.time = time
  }

  /** The earliest deadline of all timers, Infinity if none is armed. */
  nextDeadline(): number { return this.earliest()?.deadline ?? Infinity }

  private earliest(): FakeTimer | undefined {
    let earliest: FakeTimer | undefined
    for (const timer of this.timers) {
      if (timer.deadline < (earliest?.deadline ?? Infinity)) earliest = timer
    }
    return earliest
  }
}

class FakeTimer implements Timer {
  deadline = Infinity
  private readonly onExpire: () => void

  constructor(onExpire: () => void) { this.onExpire = onExpire }

  arm(deadline: number): void {
    if (Number.isNaN(deadline)) throw new Error('a timer was armed for NaN')
    this.deadline = deadline
  }
  disarm(): void { this.deadline = Infinity }
  expire(): void {
    this.deadline = Infinity
    this.onExpire()
  }
}
