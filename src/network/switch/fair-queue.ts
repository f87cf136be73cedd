/**
 * Frames that wait for one port, a queue for each class of senders, and their turns by deficit round robin: in the long run each class
 * gets as many bytes out as any other that has some waiting. Source: Shreedhar and Varghese, "Efficient Fair Queuing using Deficit Round
 * Robin" (1995).
 *
 * A queue's memory is taken when something waits in it for the first time.
 */
import type { Frame } from '../../machine/frame.ts'
import { FrameRing } from '../frame-ring.ts'

const CLASSES = 8
const QUANTUM = 16 << 10
/** What the queues of one port hold: at 1 Gbit/s, 17 ms for each class. */
const QUEUE_CAPACITY = 1 << 18

export class FairQueue {
  readonly #rings: (FrameRing | undefined)[] = Array.from({ length: CLASSES }, () => undefined)
  readonly #deficits = new Float64Array(CLASSES)
  #current = 0
  #count = 0

  get isEmpty(): boolean { return this.#count === 0 }

  /** False: the sender's queue is full. */
  push(sender: number, frame: Frame): boolean {
    const ring = this.#rings[sender % CLASSES] ??= FrameRing.private(QUEUE_CAPACITY)
    if (!ring.push(frame)) return false
    this.#count++
    return true
  }

  /** The frame whose turn it is, or null. It stays until `shift`. */
  peek(): Frame | null {
    if (this.#count === 0) return null
    for (;;) {
      const frame = this.#rings[this.#current]?.peek() ?? null
      if (frame !== null && frame.length <= this.#deficits[this.#current]) return frame
      // A class that has nothing waiting saves nothing up.
      if (frame === null) this.#deficits[this.#current] = 0
      this.#current = (this.#current + 1) % CLASSES
      this.#deficits[this.#current] += QUANTUM
    }
  }

  /** Takes away what `peek` gave. */
  shift(): void {
    const ring = this.#rings[this.#current]!
    this.#deficits[this.#current] -= ring.peek()!.length
    ring.shift()
    this.#count--
  }

  clear(): void {
    this.#rings.fill(undefined)
    this.#deficits.fill(0)
    this.#count = 0
  }
}
