import { setImmediate } from 'node:timers/promises'
import { SpinPolicy } from '../disks/spin-policy.ts'
import type { Doorbell } from '../machine/doorbell.ts'
import type { Station } from './station.ts'

/** Bytes of one station's in one round: one of the largest frames, or some dozen of 1500 bytes. */
const SHARE = 64 << 10
/** The event loop, with its sockets and timers, must have its turn at least this often, in milliseconds, though frames never end. */
const LONGEST_ABSENCE = 1

/** Serves stations in turn while there are frames, and sleeps on the doorbell when there are none. */
export class ServiceLoop {
  readonly stations = new Set<Station>()
  readonly #doorbell: Doorbell
  readonly #spin = new SpinPolicy()
  #lastTurn = performance.now()
  #stopping = false

  constructor(doorbell: Doorbell) { this.#doorbell = doorbell }

  /** Until `stop`. */
  async run(): Promise<void> {
    while (!this.#stopping) {
      this.#round()
      if (performance.now() - this.#lastTurn > LONGEST_ABSENCE) await this.#turn()
      else if (!this.#hasWork() && !await this.#lookOn()) await this.#sleep()
    }
  }

  stop(): void {
    this.#stopping = true
    this.#doorbell.ring()
  }

  readonly #hasWork = (): boolean => {
    if (this.#stopping) return true
    for (const station of this.stations) if (station.hasWork) return true
    return false
  }

  #round(): void {
    for (const station of this.stations) station.drain()
    for (const station of this.stations) station.serve(SHARE)
    for (const station of this.stations) station.settle()
  }

  async #turn(): Promise<void> {
    await setImmediate()
    this.#lastTurn = performance.now()
  }

  /** Lets promises go on while it looks for frames. Whether there are any. */
  async #lookOn(): Promise<boolean> {
    const milliseconds = this.#spin.begin()
    if (milliseconds === 0) return false
    const deadline = performance.now() + milliseconds
    do await Promise.resolve()
    while (!this.#hasWork() && performance.now() < deadline)
    const came = this.#hasWork()
    this.#spin.ended(came)
    return came
  }

  async #sleep(): Promise<void> {
    await this.#doorbell.sleep(this.#hasWork)
    this.#lastTurn = performance.now()
  }
}
