import type { BalloonStatistics } from '../../machine/balloon.ts'
import { Bell } from './channel.ts'
import type { MachineChannel } from './channel.ts'
import { PAGE } from './device-controls.ts'
import type { MemoryBalloon } from './session.ts'

/** How long a guest may take to tell; its driver needs milliseconds. */
const ANSWER_MS = 3_000
/** What fits into the balloon's registers. */
const MOST_PAGES = 0x7fffffff

/** The balloon as the main thread sees it. */
export class HostBalloon implements MemoryBalloon {
  readonly #channel: MachineChannel
  #waiting: ((statistics: BalloonStatistics | undefined) => void)[] = []
  #timer: NodeJS.Timeout | undefined
  #hasEnded = false

  constructor(channel: MachineChannel) { this.#channel = channel }

  get size(): number { return this.#channel.balloonSize * PAGE }

  setTarget(bytes: number): void {
    this.#channel.balloonTarget = Math.min(Math.max(0, Math.floor(bytes / PAGE)), MOST_PAGES)
    this.#channel.ring(Bell.CONTROL)
  }

  statistics(): Promise<BalloonStatistics | undefined> {
    if (this.#hasEnded) return Promise.resolve(undefined)
    return new Promise(resolve => {
      this.#waiting.push(resolve)
      if (this.#waiting.length > 1) return
      this.#timer = setTimeout(() => this.answered(undefined), ANSWER_MS)
      this.#channel.wantStatistics()
      this.#channel.ring(Bell.CONTROL)
    })
  }

  answered(statistics: BalloonStatistics | undefined): void {
    clearTimeout(this.#timer)
    this.#waiting.splice(0).forEach(resolve => resolve(statistics))
  }

  end(): void {
    this.#hasEnded = true
    this.answered(undefined)
  }
}
