/** A wall clock that is so far ahead of the monotonic one has gone on while the host slept. */
const SLEEP_MS = 2_000

/**
 * Time for a machine: monotonic, in nanoseconds. The operating systems' monotonic clocks stand still while the host sleeps; ours
 * makes up for that, so that the guest's time of day is right afterwards.
 */
export class HostClock {
  readonly #monotonicMs: () => number
  readonly #wallMs: () => number
  #ahead: number
  #sleptNs = 0

  constructor(monotonicMs: () => number = () => performance.now(), wallMs: () => number = Date.now) {
    this.#monotonicMs = monotonicMs
    this.#wallMs = wallMs
    this.#ahead = wallMs() - monotonicMs()
  }

  readonly now = (): number => this.#monotonicMs() * 1e6 + this.#sleptNs

  /** Looks whether the host has slept. To be called now and then, and after each wait. */
  catchUp(): void {
    const ahead = this.#wallMs() - this.#monotonicMs()
    if (ahead - this.#ahead > SLEEP_MS) this.#sleptNs += (ahead - this.#ahead) * 1e6
    this.#ahead = ahead
  }
}
