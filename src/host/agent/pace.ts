/** Waits between questions whether something has happened yet: short at first, longer while nothing does. */
export class Pace {
  readonly #shortestMs: number
  readonly #longestMs: number
  #nextMs: number

  constructor(shortestMs = 10, longestMs = 250) {
    this.#shortestMs = shortestMs
    this.#longestMs = longestMs
    this.#nextMs = shortestMs
  }

  /** Something has happened. */
  quicken(): void { this.#nextMs = this.#shortestMs }

  async wait(): Promise<void> {
    const milliseconds = this.#nextMs
    this.#nextMs = Math.min(1.5 * milliseconds, this.#longestMs)
    await new Promise(resolve => setTimeout(resolve, milliseconds))
  }
}
