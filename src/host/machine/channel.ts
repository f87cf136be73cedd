import { ByteRing } from './byte-ring.ts'
import { SharedStatistics, STATISTICS_SIZE } from './statistics.ts'

/**
 * What the main thread and a machine's thread share while the machine runs. The machine's thread never runs an event loop: it looks at
 * the *bell* between slices, and sleeps on it when the guest has nothing to do. Serial bytes go through rings. The other way, a message
 * `notice` says that there is something new in the rings; there is at most one under way.
 *
 *     words   0 bell, 1 notice under way, 2 to 5 room wanted in the output ring of COM1 to COM4, 6 and 7 instructions (a double)
 *     rings   for each line: output (from the guest), then input
 *     figures for `--stats`
 */
export const LINES = 4

/** What the bell is rung for, in bits: by the main thread, and (DISK) by the disk thread. */
export const Bell = { INPUT: 1, ROOM: 2, POWER_BUTTON: 4, DISK: 8, CONTROL: 16 } as const

export const OUTPUT_CAPACITY = 64 * 1024
const INPUT_CAPACITY = 16 * 1024

const Word = { BELL: 0, NOTICE: 1, ROOM_WANTED: 2, INSTRUCTIONS: 6 } as const
const WORDS_SIZE = 64
const LINE_SIZE = ByteRing.byteLength(OUTPUT_CAPACITY) + ByteRing.byteLength(INPUT_CAPACITY)

const STATISTICS_START = Math.ceil((WORDS_SIZE + LINES * LINE_SIZE) / 8) * 8

export class MachineChannel {
  readonly memory: SharedArrayBuffer
  readonly statistics: SharedStatistics
  readonly outputs: readonly ByteRing[]
  readonly inputs: readonly ByteRing[]
  readonly #words: Int32Array
  readonly #instructions: Float64Array

  /** The channel in this memory, or a new one. */
  constructor(memory: SharedArrayBuffer = new SharedArrayBuffer(STATISTICS_START + STATISTICS_SIZE)) {
    this.memory = memory
    this.statistics = new SharedStatistics(memory, STATISTICS_START)
    this.#words = new Int32Array(memory, 0, WORDS_SIZE / 4)
    this.#instructions = new Float64Array(memory, 4 * Word.INSTRUCTIONS, 1)
    const starts = Array.from({ length: LINES }, (_, line) => WORDS_SIZE + line * LINE_SIZE)
    this.outputs = starts.map(start => new ByteRing(memory, start, OUTPUT_CAPACITY))
    this.inputs = starts.map(start => new ByteRing(memory, start + ByteRing.byteLength(OUTPUT_CAPACITY), INPUT_CAPACITY))
  }

  /** Guest instructions so far, as of the last slice. */
  get instructions(): number {
    return this.#instructions[0]
  }

  set instructions(count: number) {
    this.#instructions[0] = count
  }

  /** Rings the bell for `bits`, and wakes the machine's thread if it sleeps. */
  ring(bits: number): void {
    Atomics.or(this.#words, Word.BELL, bits)
    Atomics.notify(this.#words, Word.BELL)
  }

  /** What the bell was rung for since the last call. */
  answer(): number {
    return Atomics.load(this.#words, Word.BELL) === 0 ? 0 : Atomics.exchange(this.#words, Word.BELL, 0)
  }

  get isRung(): boolean { return Atomics.load(this.#words, Word.BELL) !== 0 }

  /** Blocks this thread until the bell is rung, at most so long. */
  sleep(milliseconds: number): void {
    Atomics.wait(this.#words, Word.BELL, 0, milliseconds)
  }

  /** Whether a notice must be sent: there is none under way. */
  claimNotice(): boolean {
    return Atomics.exchange(this.#words, Word.NOTICE, 1) === 0
  }

  /** The notice has come. To be called before looking at the rings. */
  noticeArrived(): void {
    Atomics.store(this.#words, Word.NOTICE, 0)
  }

  /** Asks for `Bell.ROOM` once the output ring of this line has emptied. */
  wantRoom(line: number): void {
    Atomics.store(this.#words, Word.ROOM_WANTED + line, 1)
  }

  /** Whether room was asked for; forgets it. */
  takeRoomWanted(line: number): boolean {
    return Atomics.exchange(this.#words, Word.ROOM_WANTED + line, 0) === 1
  }
}
