/**
 * Whether a thread that has nothing to do looks on for a moment before it sleeps. To fall asleep and be woken takes 30 to 50 us, and
 * the answer of a disk in the page cache is there in 5. But where threads outnumber cores, a thread that looks on keeps the other one
 * from answering: so it goes on only as long as that has been worth it, and tries again now and then.
 */
const LONGEST_MILLISECONDS = 0.05
/** Failures in a row after which looking on is given up. */
const PATIENCE = 8
/** One in so many waits is a try, once it was given up. */
const TRY_AGAIN = 64

export class SpinPolicy {
  #patience = PATIENCE
  #waits = 0

  /** How long to look on this time, in milliseconds; 0 for not at all. `ended` must be called afterwards if it is not 0. */
  begin(): number {
    if (this.#patience > 0) return LONGEST_MILLISECONDS
    this.#waits = (this.#waits + 1) % TRY_AGAIN
    return this.#waits === 0 ? LONGEST_MILLISECONDS : 0
  }

  /** Whether what was waited for came in that time. */
  ended(came: boolean): void {
    if (came) this.#patience = PATIENCE
    else if (this.#patience > 0) this.#patience--
  }
}
