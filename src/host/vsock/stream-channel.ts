/**
 * What a machine's thread and its vsock thread share. Each stream has a slot, with a ring of bytes each way; half of the slots are for
 * streams that the guest begins, half for those that the host begins.
 *
 *     words   0 the vsock thread is gone; 1 to 7 unused
 *             8 to 15, 16 to 23   slots with news for the machine's thread, for the vsock thread: a bit each
 *     words   for each slot: flags of the machine's side, of the host's, guest's or host's port asked for, port of the host's end,
 *             whether the machine's side, the host's side waits for room
 *     rings   for each slot: from the guest, to the guest
 *
 * A side says what has become of a stream by flags that only it sets, marks the slot as news for the other, and rings its bell. So news
 * cannot pile up, and whoever looks sees all that was said before.
 *
 *     begun by a side: ASKED ─▶ the other: OPENED ─▶ bytes ─▶ ENDED, each direction by itself ─▶ CLOSED, both
 *                                  └▶ CLOSED: refused
 *
 * ENDED: no more bytes in this direction than those in the ring. CLOSED: this side is through, and touches the slot no more; what is in
 * the ring counts, unless the stream was ABORTED. A slot can have another stream when both sides have CLOSED.
 */
import { ByteRing } from '../machine/byte-ring.ts'

/** Streams at once that each side may have begun. */
export const STREAMS_EACH = 128
export const SLOTS = 2 * STREAMS_EACH
export const RING_CAPACITY = 32 << 10

/** Whose flags, news and waiting it is. */
export const Side = { MACHINE: 0, HOST: 1 } as const
export type SideNumber = typeof Side[keyof typeof Side]

export const StreamFlag = { ASKED: 1, OPENED: 2, ENDED: 4, CLOSED: 8, ABORTED: 16 } as const

const FAILED = 0
const NEWS = 8
const NEWS_WORDS = SLOTS / 32
const FIRST_SLOT = NEWS + 2 * NEWS_WORDS
const SlotWord = { FLAGS: 0, PORT: 2, HOST_PORT: 3, ROOM_WANTED: 4, COUNT: 6 } as const
const RING_SIZE = ByteRing.byteLength(RING_CAPACITY)
const RINGS = 4 * (FIRST_SLOT + SLOTS * SlotWord.COUNT)

export class StreamChannel {
  readonly memory: SharedArrayBuffer
  readonly #words: Int32Array

  /** A new one, or that in this memory. */
  constructor(memory: SharedArrayBuffer = new SharedArrayBuffer(RINGS + 2 * SLOTS * RING_SIZE)) {
    this.memory = memory
    this.#words = new Int32Array(memory, 0, RINGS / 4)
  }

  slot(number: number): StreamSlot { return new StreamSlot(this, this.#words, number) }

  /** The vsock thread has ended without being asked to. */
  get failed(): boolean { return Atomics.load(this.#words, FAILED) !== 0 }
  fail(): void { Atomics.store(this.#words, FAILED, 1) }

  /** Marks a slot as news for a side, whose bell is then to be rung. */
  mark(side: SideNumber, slot: number): void { Atomics.or(this.#words, newsWord(side, slot), 1 << (slot & 31)) }

  hasNews(side: SideNumber): boolean {
    for (let slot = 0; slot < SLOTS; slot += 32) if (Atomics.load(this.#words, newsWord(side, slot)) !== 0) return true
    return false
  }

  /** Numbers of the slots with news for a side; they are no news any more. */
  takeNews(side: SideNumber): number[] {
    const slots: number[] = []
    for (let first = 0; first < SLOTS; first += 32) {
      let bits = Atomics.exchange(this.#words, newsWord(side, first), 0)
      for (; bits !== 0; bits &= bits - 1) slots.push(first + 31 - Math.clz32(bits & -bits))
    }
    return slots
  }
}

/** The slot of one stream, the same for both sides. */
export class StreamSlot {
  readonly number: number
  readonly channel: StreamChannel
  readonly fromGuest: ByteRing
  readonly toGuest: ByteRing
  readonly #words: Int32Array
  readonly #at: number

  constructor(channel: StreamChannel, words: Int32Array, number: number) {
    this.channel = channel
    this.number = number
    this.#words = words
    this.#at = FIRST_SLOT + number * SlotWord.COUNT
    const rings = RINGS + 2 * number * RING_SIZE
    this.fromGuest = new ByteRing(channel.memory, rings, RING_CAPACITY)
    this.toGuest = new ByteRing(channel.memory, rings + RING_SIZE, RING_CAPACITY)
  }

  /**
   * For another stream, which `owner` begins. Both sides must be through with the last one. The owner's flags go first: old ones must not
   * look new to the other side.
   */
  clear(owner: SideNumber): void {
    Atomics.store(this.#words, this.#at + SlotWord.FLAGS + owner, 0)
    for (let word = 0; word < SlotWord.COUNT; word++) Atomics.store(this.#words, this.#at + word, 0)
    this.fromGuest.clear()
    this.toGuest.clear()
  }

  flags(side: SideNumber): number { return Atomics.load(this.#words, this.#at + SlotWord.FLAGS + side) }

  raise(side: SideNumber, flags: number): void { Atomics.or(this.#words, this.#at + SlotWord.FLAGS + side, flags) }

  /** The port that is connected to: of the host, or of the guest. */
  get port(): number { return this.#words[this.#at + SlotWord.PORT] >>> 0 }
  set port(port: number) { this.#words[this.#at + SlotWord.PORT] = port }

  /** By which the guest knows the host's end of a stream that the host has begun. */
  get hostPort(): number { return this.#words[this.#at + SlotWord.HOST_PORT] >>> 0 }
  set hostPort(port: number) { this.#words[this.#at + SlotWord.HOST_PORT] = port }

  /** This side has found a ring full, and is to be told of room. It must try once more after this. */
  wantRoom(side: SideNumber): void { Atomics.store(this.#words, this.#at + SlotWord.ROOM_WANTED + side, 1) }

  /** Whether that side waits for room; it does so no more. */
  takeRoomWanted(side: SideNumber): boolean { return Atomics.exchange(this.#words, this.#at + SlotWord.ROOM_WANTED + side, 0) === 1 }
}

/** Whether a slot is for streams that this side begins. */
export function isOwn(side: SideNumber, slot: number): boolean { return (slot < STREAMS_EACH) === (side === Side.MACHINE) }

function newsWord(side: SideNumber, slot: number): number { return NEWS + side * NEWS_WORDS + (slot >> 5) }
