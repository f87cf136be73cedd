/**
 * A limit of so much a nanosecond, with some in advance. Whoever begins while there is anything left may finish: the debt is paid before
 * the next begins, so that a frame larger than the bucket passes, too.
 */
export class TokenBucket {
  readonly #rate: number
  readonly #depth: number
  #tokens: number
  #filledAt = 0

  /** `rate` a nanosecond, Infinity for no limit; `depth` is how much may come at once. */
  constructor(rate: number, depth: number) {
    this.#rate = rate
    this.#depth = depth
    this.#tokens = depth
  }

  get isUnlimited(): boolean { return this.#rate === Infinity }

  /** Whether something may begin now. */
  mayBegin(now: number): boolean {
    if (this.#rate === Infinity) return true
    if (now > this.#filledAt) {
      this.#tokens = Math.min(this.#depth, this.#tokens + (now - this.#filledAt) * this.#rate)
      this.#filledAt = now
    }
    return this.#tokens > 0
  }

  charge(amount: number): void { this.#tokens -= amount }

  /** When something may begin, if `mayBegin` has just said no. */
  get beginsAt(): number { return this.#filledAt + Math.max(1, Math.ceil((1 - this.#tokens) / this.#rate)) }
}
