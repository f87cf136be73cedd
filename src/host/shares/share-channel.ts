/**
 * What a machine's thread and its share thread share: requests under way in slots, and the rings that pass the numbers of slots
 * (machine/slot-rings.ts).
 *
 *     rings     see there; of the words that are left, 4: the main thread calls
 *     replies   for each slot the length of its reply
 *     slots     for each slot: share, pieces of the message, pieces of the reply; then address and length of each piece
 *
 * Addresses are those of the pool, which both threads have: the share thread reads and writes the guest's memory where it lies.
 */
import { FILE_SYSTEM_LIMITS } from '../../machine/file-system.ts'
import type { FileSystemRequest } from '../../machine/file-system.ts'
import { RingWord, SlotRings } from '../machine/slot-rings.ts'

/** Requests under way at once, for all shares of a machine. */
export const SLOTS = 64

const CALLED = RingWord.FIRST_FREE
const Field = { SHARE: 0, MESSAGE: 1, REPLY: 2, FIRST_PIECE: 3 } as const
const SLOT_WORDS = Field.FIRST_PIECE + 2 * FILE_SYSTEM_LIMITS.PIECES
const REPLIES_START = SlotRings.size(SLOTS)
const SLOTS_START = REPLIES_START + 4 * SLOTS

/** A request as the share thread sees it. */
export interface SlotRequest {
  readonly share: number
  readonly message: readonly Uint8Array[]
  readonly reply: readonly Uint8Array[]
}

export class ShareChannel {
  readonly memory: SharedArrayBuffer
  readonly rings: SlotRings
  readonly #replies: Uint32Array
  readonly #slots: Uint32Array

  /** The channel in this memory, or a new one. */
  constructor(memory: SharedArrayBuffer = new SharedArrayBuffer(SLOTS_START + 4 * SLOTS * SLOT_WORDS)) {
    this.memory = memory
    this.rings = new SlotRings(memory, SLOTS)
    this.#replies = new Uint32Array(memory, REPLIES_START, SLOTS)
    this.#slots = new Uint32Array(memory, SLOTS_START, SLOTS * SLOT_WORDS)
  }

  /** Machine's thread: describes a request in a free slot. */
  describe(slot: number, share: number, { message, reply }: FileSystemRequest): void {
    const at = slot * SLOT_WORDS
    this.#slots[at + Field.SHARE] = share
    this.#slots[at + Field.MESSAGE] = message.length
    this.#slots[at + Field.REPLY] = reply.length
    this.#writePieces(this.#writePieces(at + Field.FIRST_PIECE, message), reply)
  }

  #writePieces(start: number, pieces: readonly Uint8Array[]): number {
    let at = start
    for (const { byteOffset, length } of pieces) {
      this.#slots[at++] = byteOffset
      this.#slots[at++] = length
    }
    return at
  }

  /** Machine's thread: hands a slot over, and wakes the share thread if it sleeps. */
  submit(slot: number): void {
    if (this.rings.submit(slot)) this.#notify()
  }

  /** Machine's thread: the `count`-th completion. */
  completion(count: number): { readonly slot: number, readonly length: number } {
    const { slot } = this.rings.completion(count)
    return { slot, length: this.#replies[slot] }
  }

  /** Share thread: what a slot asks for. */
  read(slot: number, pool: SharedArrayBuffer | ArrayBuffer): SlotRequest {
    const at = slot * SLOT_WORDS
    const messages = this.#slots[at + Field.MESSAGE]
    const start = at + Field.FIRST_PIECE
    return {
      share: this.#slots[at + Field.SHARE],
      message: this.#readPieces(start, messages, pool),
      reply: this.#readPieces(start + 2 * messages, this.#slots[at + Field.REPLY], pool),
    }
  }

  /** Pieces that lie one behind the other in the pool become one. */
  #readPieces(start: number, count: number, pool: SharedArrayBuffer | ArrayBuffer): Uint8Array[] {
    const pieces: Uint8Array[] = []
    for (let index = 0; index < count;) {
      const address = this.#slots[start + 2 * index]
      let end = address
      while (index < count && this.#slots[start + 2 * index] === end) end += this.#slots[start + 2 * index++ + 1]
      pieces.push(new Uint8Array(pool, address, end - address))
    }
    return pieces
  }

  /** Share thread: a slot is done. The machine's bell is the caller's to ring. */
  complete(slot: number, length: number): void {
    this.#replies[slot] = length
    this.rings.complete(slot)
  }

  /** Main thread: there is a message for the share thread. */
  call(): void {
    Atomics.store(this.rings.words, CALLED, 1)
    if (this.rings.claimSleeper()) this.#notify()
  }

  /** Share thread: whether the main thread has called. */
  get isCalled(): boolean { return Atomics.load(this.rings.words, CALLED) !== 0 }

  answered(): void { Atomics.store(this.rings.words, CALLED, 0) }

  /** Share thread: sleeps until there are more submissions than `count`, or it is called. */
  sleep(count: number): void {
    const { rings } = this
    Atomics.store(rings.words, RingWord.SLEEPING, 1)
    if (rings.submitted === count && !this.isCalled) Atomics.wait(rings.words, RingWord.SLEEPING, 1)
    Atomics.store(rings.words, RingWord.SLEEPING, 0)
  }

  #notify(): void { Atomics.notify(this.rings.words, RingWord.SLEEPING) }
}
