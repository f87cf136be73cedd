/**
 * What a machine's thread and its share thread have in common: requests under way in slots, and two rings that pass the numbers of slots,
 * as between it and the disk thread (disks/disk-channel.ts). Each ring has room for every slot, so that neither can run full. One writer
 * and one reader each, no locks.
 *
 *     words   0 submitted (a count), 1 completed (a count), 2 the share thread sleeps, 3 the share thread is gone, 4 the main thread calls
 *     rings   SLOTS words each: submission (slot), completion (slot); replies: SLOTS words, the length of each slot's reply
 *     slots   for each slot: share, pieces of the message, pieces of the reply; then address and length of each piece
 *
 * Addresses are those of the pool, which both threads have: the share thread reads and writes the guest's memory where it lies.
 */
import { FILE_SYSTEM_LIMITS } from '../../machine/file-system.ts'
import type { FileSystemRequest } from '../../machine/file-system.ts'

/** Requests under way at once, for all shares of a machine. */
export const SLOTS = 64

const Word = { SUBMITTED: 0, COMPLETED: 1, SLEEPING: 2, FAILED: 3, CALLED: 4 } as const
const Field = { SHARE: 0, MESSAGE: 1, REPLY: 2, FIRST_PIECE: 3 } as const
const SLOT_WORDS = Field.FIRST_PIECE + 2 * FILE_SYSTEM_LIMITS.PIECES
const WORDS_SIZE = 64
const RING_SIZE = 4 * SLOTS
const SLOTS_START = WORDS_SIZE + 3 * RING_SIZE

/** A request as the share thread sees it. */
export interface SlotRequest {
  readonly share: number
  readonly message: readonly Uint8Array[]
  readonly reply: readonly Uint8Array[]
}

export class ShareChannel {
  readonly memory: SharedArrayBuffer
  readonly #words: Int32Array
  readonly #submissions: Uint32Array
  readonly #completions: Uint32Array
  readonly #replies: Uint32Array
  readonly #slots: Uint32Array

  /** The channel in this memory, or a new one. */
  constructor(memory: SharedArrayBuffer = new SharedArrayBuffer(SLOTS_START + 4 * SLOTS * SLOT_WORDS)) {
    this.memory = memory
    this.#words = new Int32Array(memory, 0, WORDS_SIZE / 4)
    this.#submissions = new Uint32Array(memory, WORDS_SIZE, SLOTS)
    this.#completions = new Uint32Array(memory, WORDS_SIZE + RING_SIZE, SLOTS)
    this.#replies = new Uint32Array(memory, WORDS_SIZE + 2 * RING_SIZE, SLOTS)
    this.#slots = new Uint32Array(memory, SLOTS_START, SLOTS * SLOT_WORDS)
  }

  /** How many were submitted so far; wraps around at 2^32. */
  get submitted(): number { return Atomics.load(this.#words, Word.SUBMITTED) }

  get completed(): number { return Atomics.load(this.#words, Word.COMPLETED) }

  /** The share thread has ended without being asked to: nothing that is under way will be completed. */
  get failed(): boolean { return Atomics.load(this.#words, Word.FAILED) !== 0 }

  fail(): void { Atomics.store(this.#words, Word.FAILED, 1) }

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
    const count = this.#words[Word.SUBMITTED]
    this.#submissions[(count >>> 0) % SLOTS] = slot
    Atomics.store(this.#words, Word.SUBMITTED, count + 1 | 0)
    this.#wake()
  }

  /** Machine's thread: the `count`-th completion. */
  completion(count: number): { readonly slot: number, readonly length: number } {
    const slot = this.#completions[(count >>> 0) % SLOTS]
    return { slot, length: this.#replies[slot] }
  }

  /** Share thread: the slot of the `count`-th submission. */
  submission(count: number): number { return this.#submissions[(count >>> 0) % SLOTS] }

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
    const count = this.#words[Word.COMPLETED]
    this.#replies[slot] = length
    this.#completions[(count >>> 0) % SLOTS] = slot
    Atomics.store(this.#words, Word.COMPLETED, count + 1 | 0)
  }

  /** Main thread: there is a message for the share thread. */
  call(): void {
    Atomics.store(this.#words, Word.CALLED, 1)
    this.#wake()
  }

  /** Share thread: whether the main thread has called. */
  get isCalled(): boolean { return Atomics.load(this.#words, Word.CALLED) !== 0 }

  answered(): void { Atomics.store(this.#words, Word.CALLED, 0) }

  /** Share thread: sleeps until there are more submissions than `count`, or it is called. */
  sleep(count: number): void {
    Atomics.store(this.#words, Word.SLEEPING, 1)
    if (this.submitted === count && !this.isCalled) Atomics.wait(this.#words, Word.SLEEPING, 1)
    Atomics.store(this.#words, Word.SLEEPING, 0)
  }

  #wake(): void {
    if (Atomics.load(this.#words, Word.SLEEPING) === 0) return
    if (Atomics.exchange(this.#words, Word.SLEEPING, 0) !== 0) Atomics.notify(this.#words, Word.SLEEPING)
  }
}
