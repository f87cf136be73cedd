import type { Clock, Timer } from '../../machine/clock.ts'

/** Time that passes when a test says so. */
export class FakeClock implements Clock {
  time = 0
  readonly #timers: { deadline: number, readonly onExpire: () => void }[] = []

  now(): number { return this.time }

  timer(onExpire: () => void): Timer {
    const timer = {
      deadline: Infinity, onExpire, arm: (at: number) => { timer.deadline = at }, disarm: () => { timer.deadline = Infinity },
    }
    this.#timers.push(timer)
    return timer
  }

  /** Lets so many nanoseconds pass, and timers expire in their order. */
  advance(nanoseconds: number): void {
    const end = this.time + nanoseconds
    for (;;) {
      const next = this.#timers.toSorted((a, b) => a.deadline - b.deadline).at(0)
      if (next === undefined || next.deadline > end) break
      this.time = Math.max(this.time, next.deadline)
      next.deadline = Infinity
      next.onExpire()
    }
    this.time = end
  }
}
