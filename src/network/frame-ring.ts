/**
 * A ring of Ethernet frames in plain memory, shared between threads or not: one writer, one reader, no locks. A frame is put together in
 * the ring, and read where it lies.
 *
 *     words    0 read, 1 written (free-running counts of bytes), 2 the writer waits for room
 *     records  16 bytes aligned: length, checksumStart, checksumOffset | segmentation << 16 | checksumValid << 24, segmentSize; the frame
 *
 * A frame is in one piece: where it does not fit before the end, a record of the length SKIP says that it goes on at the start.
 */
import { LARGEST_FRAME, plainFrame } from '../machine/frame.ts'
import type { Frame, FrameRoom, Segmentation } from '../machine/frame.ts'

const Word = { READ: 0, WRITTEN: 1, WANTED: 2 } as const
const WORDS_SIZE = 64
const RECORD = 16
const SKIP = -1
const SEGMENTATIONS: readonly Segmentation[] = ['none', 'tcp4', 'tcp6', 'udp']
/** A ring of less could never hold the largest frame, wherever it began. */
const SMALLEST_CAPACITY = 1 << 18

export class FrameRing {
  readonly capacity: number
  readonly #words: Int32Array
  /** The records, as words and as bytes. */
  readonly #records: Int32Array
  readonly #bytes: Uint8Array
  readonly #room: FrameRoom
  readonly #frame: Frame
  /** Where the frame that was reserved will begin, and up to where the writer would have written then. */
  #reservedAt = -1
  #reservedEnd = 0

  /** `capacity` is a power of two, 256 KiB to 1 GiB; `memory` has `byteLength(capacity)` bytes from `start`, a multiple of 16, zeroed. */
  constructor(memory: SharedArrayBuffer | ArrayBuffer, start: number, capacity: number) {
    this.capacity = capacity
    this.#words = new Int32Array(memory, start, WORDS_SIZE / 4)
    this.#records = new Int32Array(memory, start + WORDS_SIZE, capacity / 4)
    this.#bytes = new Uint8Array(memory, start + WORDS_SIZE, capacity)
    this.#room = { bytes: this.#bytes, start: 0 }
    this.#frame = plainFrame(this.#bytes, 0, 0)
  }

  static byteLength(capacity: number): number { return WORDS_SIZE + capacity }

  /** A ring in memory of its own. */
  static private(capacity = SMALLEST_CAPACITY): FrameRing {
    return new FrameRing(new ArrayBuffer(FrameRing.byteLength(capacity)), 0, capacity)
  }

  get isEmpty(): boolean { return Atomics.load(this.#words, Word.READ) === Atomics.load(this.#words, Word.WRITTEN) }

  /** The writer has found no room, and the reader has made none since. */
  get isWaitedFor(): boolean { return Atomics.load(this.#words, Word.WANTED) !== 0 }

  /** Bytes in use. */
  get used(): number { return Atomics.load(this.#words, Word.WRITTEN) - Atomics.load(this.#words, Word.READ) >>> 0 }

  /** Writer: room for a frame of `length` bytes, which `commit` hands over. Null: there is none, and the reader will say when there is. */
  reserve(length: number): FrameRoom | null {
    if (length > LARGEST_FRAME) return null
    if (this.#tryReserve(length)) return this.#room
    Atomics.store(this.#words, Word.WANTED, 1)
    // Room may have been made before it was asked for.
    if (!this.#tryReserve(length)) return null
    Atomics.store(this.#words, Word.WANTED, 0)
    return this.#room
  }

  /** Writer: hands over what was put where `reserve` said. */
  commit(frame: Frame): void {
    const record = this.#reservedAt / 4
    const written = this.#words[Word.WRITTEN] & this.capacity - 1
    if (written !== this.#reservedAt) this.#records[written / 4] = SKIP
    this.#records[record] = frame.length
    this.#records[record + 1] = frame.checksumStart
    this.#records[record + 2] = frame.checksumOffset | SEGMENTATIONS.indexOf(frame.segmentation) << 16 | (frame.checksumValid ? 1 << 24 : 0)
    this.#records[record + 3] = frame.segmentSize
    this.#reservedAt = -1
    Atomics.store(this.#words, Word.WRITTEN, this.#reservedEnd)
  }

  /** Writer: puts a frame in, copying it unless it is already where `reserve` said. False: there is no room. */
  push(frame: Frame): boolean {
    const isInPlace = this.#reservedAt >= 0 && frame.bytes === this.#bytes && frame.start === this.#room.start
    if (!isInPlace) {
      const room = this.reserve(frame.length)
      if (room === null) return false
      room.bytes.set(frame.bytes.subarray(frame.start, frame.start + frame.length), room.start)
    }
    this.commit(frame)
    return true
  }

  /** Reader: the next frame, or null. It is valid until `shift`. */
  peek(): Frame | null {
    const frame = this.#frame
    for (;;) {
      const read = this.#words[Word.READ]
      if (read === Atomics.load(this.#words, Word.WRITTEN)) return null
      const at = read & this.capacity - 1
      const length = this.#records[at / 4]
      if (length !== SKIP) {
        this.#readRecord(at, length)
        return frame
      }
      Atomics.store(this.#words, Word.READ, read + this.capacity - at | 0)
    }
  }

  /** Reader: is done with the frame that `peek` gave. True: the writer waits for room, and is to be told. */
  shift(): boolean {
    Atomics.store(this.#words, Word.READ, this.#words[Word.READ] + recordSize(this.#frame.length) | 0)
    return Atomics.load(this.#words, Word.WANTED) !== 0 && Atomics.exchange(this.#words, Word.WANTED, 0) !== 0
  }

  #tryReserve(length: number): boolean {
    const written = this.#words[Word.WRITTEN]
    const free = this.capacity - (written - Atomics.load(this.#words, Word.READ) >>> 0)
    const at = written & this.capacity - 1
    const size = recordSize(length)
    const skipped = size > this.capacity - at ? this.capacity - at : 0
    if (skipped + size > free) return false
    this.#reservedAt = skipped === 0 ? at : 0
    this.#reservedEnd = written + skipped + size | 0
    this.#room.start = this.#reservedAt + RECORD
    return true
  }

  #readRecord(at: number, length: number): void {
    const frame = this.#frame
    const record = at / 4
    const word = this.#records[record + 2]
    frame.start = at + RECORD
    frame.length = length
    frame.checksumStart = this.#records[record + 1]
    frame.checksumOffset = word & 0xffff
    frame.segmentation = SEGMENTATIONS[word >> 16 & 0xff]
    frame.checksumValid = word >> 24 !== 0
    frame.segmentSize = this.#records[record + 3]
    frame.bytes = this.#bytes
  }
}

function recordSize(length: number): number { return RECORD + length + 15 & ~15 }
