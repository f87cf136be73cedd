import { Random } from '../../../base/testing/random.ts'
import type { Frame, FrameEnd } from '../../../machine/frame.ts'

/** What happens to frames on the way. Probabilities from 0 to 1, times in ms. A large frame that a card will cut counts as one. */
export interface Weather {
  loss: number
  /** How many are `LATENESS` late. */
  reordering: number
  duplication: number
  delay: number
}

export const CALM: Weather = { loss: 0, reordering: 0, duplication: 0, delay: 0 }
const LATENESS = 5

/** A stretch of cable with weather of its own: what it is given goes to `end`, or does not. */
export class WeatherEnd implements FrameEnd {
  weather = CALM
  private readonly end: FrameEnd
  private readonly random: Random

  constructor(end: FrameEnd, seed: number) {
    this.end = end
    this.random = new Random(seed)
  }

  receive(frame: Frame): boolean {
    const { loss, reordering, duplication, delay } = this.weather
    if (this.chance(loss)) return true
    for (let copies = this.chance(duplication) ? 2 : 1; copies > 0; copies--) {
      const wait = delay + (this.chance(reordering) ? LATENESS : 0)
      if (wait === 0) return this.end.receive(frame)
      const copy = { ...frame, bytes: new Uint8Array(frame.bytes.subarray(frame.start, frame.start + frame.length)), start: 0 }
      setTimeout(() => this.end.receive(copy), wait)
    }
    return true
  }

  ready(): void { this.end.ready() }

  private chance(probability: number): boolean { return probability > 0 && this.random.below(1 << 20) < probability * (1 << 20) }
}
