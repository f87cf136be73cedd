import type { Clock, Timer } from '../../machine/clock.ts'

/** Real time for networks: nanoseconds since the thread began, and Node's timers, which are exact to about a millisecond. */
export class NetworkClock implements Clock {
  readonly #start = performance.now()

  now(): number { return Math.round((performance.now() - this.#start) * 1e6) }

  timer(onExpire: () => void): Timer { return new HostTimer(this, onExpire) }
}

/** Timers are armed anew much oftener than they expire: what Node was asked for is kept, if it is not too late. */
class HostTimer implements Timer {
  deadline = Infinity
  readonly #clock: NetworkClock
  readonly #onExpire: () => void
  #timeout: NodeJS.Timeout | undefined
  #dueAt = Infinity

  constructor(clock: NetworkClock, onExpire: () => void) {
    this.#clock = clock
    this.#onExpire = onExpire
  }

  arm(deadline: number): void {
    this.deadline = deadline
    if (deadline >= this.#dueAt) return
    clearTimeout(this.#timeout)
    this.#wait()
  }

  disarm(): void { this.deadline = Infinity }

  #wait(): void {
    const milliseconds = Math.max(0, Math.ceil((this.deadline - this.#clock.now()) / 1e6))
    this.#dueAt = this.deadline
    // Node waits for 2^31 - 1 ms at most. That a timer is armed does not keep the thread alive.
    this.#timeout = setTimeout(() => this.#elapsed(), Math.min(milliseconds, 0x7fffffff)).unref()
  }

  #elapsed(): void {
    this.#dueAt = Infinity
    if (this.deadline === Infinity) return
    if (this.deadline > this.#clock.now()) return this.#wait()
    this.deadline = Infinity
    this.#onExpire()
  }
}
