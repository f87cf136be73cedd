/**
 * What a machine's thread and a thread that serves it share: numbers of slots, passed on through two rings. The machine's thread fills the
 * ring of submissions, the other the ring of completions. As each ring has room for every slot, neither can run full. One writer and one
 * reader each, no locks. What is in a slot is the affair of those who use the rings.
 *
 *     words   0 submitted (a count), 1 completed (a count), 2 the serving thread sleeps, 3 it is gone, 4 to 15 theirs
 *     rings   a word for each slot: submission (slot), completion (slot, and 16 bits of what came of it)
 */

/** Words at the beginning, by their index. */
export const RingWord = { SUBMITTED: 0, COMPLETED: 1, SLEEPING: 2, FAILED: 3, FIRST_FREE: 4 } as const

const WORDS_SIZE = 64
const RESULT_SHIFT = 16

export class SlotRings {
  readonly words: Int32Array
  readonly #slots: number
  readonly #submissions: Uint32Array
  readonly #completions: Uint32Array

  /** Bytes that the rings take, of a number of slots up to 65,536. */
  static size(slots: number): number { return WORDS_SIZE + 8 * slots }

  /** The rings at the beginning of this memory. */
  constructor(memory: SharedArrayBuffer, slots: number) {
    this.#slots = slots
    this.words = new Int32Array(memory, 0, WORDS_SIZE / 4)
    this.#submissions = new Uint32Array(memory, WORDS_SIZE, slots)
    this.#completions = new Uint32Array(memory, WORDS_SIZE + 4 * slots, slots)
  }

  /** How many were submitted so far; wraps around at 2^32. */
  get submitted(): number { return Atomics.load(this.words, RingWord.SUBMITTED) }

  get completed(): number { return Atomics.load(this.words, RingWord.COMPLETED) }

  /** The serving thread has ended without being asked to: nothing that is under way will be completed. */
  get failed(): boolean { return Atomics.load(this.words, RingWord.FAILED) !== 0 }

  fail(): void { Atomics.store(this.words, RingWord.FAILED, 1) }

  /** Machine's thread: hands a slot over. True if the other thread sleeps and is to be woken, once. */
  submit(slot: number): boolean {
    const count = this.words[RingWord.SUBMITTED]
    this.#submissions[this.#place(count)] = slot
    Atomics.store(this.words, RingWord.SUBMITTED, count + 1 | 0)
    return this.claimSleeper()
  }

  /** True to the first who finds the serving thread asleep. */
  claimSleeper(): boolean {
    return Atomics.load(this.words, RingWord.SLEEPING) !== 0 && Atomics.exchange(this.words, RingWord.SLEEPING, 0) !== 0
  }

  /** Serving thread: the slot of the `count`-th submission. */
  submission(count: number): number { return this.#submissions[this.#place(count)] }

  /** Serving thread: a slot is done; `result` has 16 bits. The machine's bell is the caller's to ring. */
  complete(slot: number, result = 0): void {
    const count = this.words[RingWord.COMPLETED]
    this.#completions[this.#place(count)] = slot | result << RESULT_SHIFT
    Atomics.store(this.words, RingWord.COMPLETED, count + 1 | 0)
  }

  /** Machine's thread: the `count`-th completion. */
  completion(count: number): { readonly slot: number, readonly result: number } {
    const entry = this.#completions[this.#place(count)]
    return { slot: entry & 0xffff, result: entry >>> RESULT_SHIFT }
  }

  #place(count: number): number { return (count >>> 0) % this.#slots }
}
