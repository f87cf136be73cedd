/**
 * A bell of a thread with an event loop, which it sleeps on and others ring: one word of shared memory, 1 while it sleeps or is about to.
 *
 * Whoever has news for it puts them where they belong, and rings. The thread says that it will sleep, looks once more for news, and
 * sleeps: so none can be missed.
 */
const SLEEPING = 0

/** `Atomics.waitAsync`, which TypeScript's ES2023 does not have. */
type WaitAsync = (words: Int32Array, index: number, value: number) => { readonly async: boolean, readonly value: Promise<unknown> }
const { waitAsync } = Atomics as unknown as { readonly waitAsync: WaitAsync }

export class Doorbell {
  readonly memory: SharedArrayBuffer
  readonly #words: Int32Array

  /** A new one, or that in this memory. */
  constructor(memory: SharedArrayBuffer = new SharedArrayBuffer(4)) {
    this.memory = memory
    this.#words = new Int32Array(memory)
  }

  ring(): void {
    if (Atomics.load(this.#words, SLEEPING) === 0) return
    if (Atomics.exchange(this.#words, SLEEPING, 0) !== 0) Atomics.notify(this.#words, SLEEPING)
  }

  /** Waits, without blocking the event loop, until the bell is rung; not at all if `hasNews` says so. */
  async sleep(hasNews: () => boolean): Promise<void> {
    Atomics.store(this.#words, SLEEPING, 1)
    if (!hasNews()) {
      const wait = waitAsync(this.#words, SLEEPING, 1)
      if (wait.async) await wait.value
    }
    Atomics.store(this.#words, SLEEPING, 0)
  }
}
