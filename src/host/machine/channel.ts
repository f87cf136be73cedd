import { ByteRing } from './byte-ring.ts'
import { SharedStatistics, STATISTICS_SIZE } from './statistics.ts'

/**
 * What the main thread and a machine's thread share while the machine runs. The machine's thread never runs an event loop: it looks at
 * the *bell* between slices, and sleeps on it when the guest has nothing to do. Bytes of lines go through rings. The other way, a message
 * `notice` says that there is something new in the rings; there is at most one under way.
 *
 * A *line* is a stream of bytes both ways: first COM1 to COM4, then the ports of virtio consoles (line-plan.ts).
 *
 *     words    0 bell, 1 notice under way, 2 and 3 instructions (a double), 4 number of lines,
 *              5 the console's columns, its rows in the upper half, 6 pages wanted in the balloon, 7 pages in it, 8 statistics wanted
 *     words    for each line: 0 room wanted in its output ring, 1 whether the guest's end is open
 *     rings    for each line: output (from the guest), then input
 *     figures  for `--stats`
 */
export const SERIAL_LINES = 4

/**
 * What the bell is rung for, in bits: by the main thread, and (DISK, SHARE, NETWORK, SOCKET) by the threads of disks, shares, networks
 * and the vsock. CONTROL: words 5, 6 or 8 have changed. SNAPSHOT: the owner wants the machine to stand still, or to go on.
 */
export const Bell = { INPUT: 1, ROOM: 2, POWER_BUTTON: 4, DISK: 8, CONTROL: 16, NETWORK: 32, SHARE: 64, SNAPSHOT: 128, SOCKET: 256 } as const

export const OUTPUT_CAPACITY = 64 * 1024
const INPUT_CAPACITY = 16 * 1024

const Word = {
  BELL: 0, NOTICE: 1, INSTRUCTIONS: 2, LINES: 4, CONSOLE_SIZE: 5, BALLOON_TARGET: 6, BALLOON_SIZE: 7, STATISTICS_WANTED: 8,
} as const
const LineWord = { ROOM_WANTED: 0, GUEST_OPEN: 1, COUNT: 2 } as const
const FIRST_LINE_WORD = 16
const LINE_SIZE = ByteRing.byteLength(OUTPUT_CAPACITY) + ByteRing.byteLength(INPUT_CAPACITY)

/** Where things are in a channel of so many lines, in bytes. */
function placesOf(lines: number): { readonly rings: number, readonly figures: number } {
  const rings = 4 * (FIRST_LINE_WORD + lines * LineWord.COUNT)
  return { rings, figures: Math.ceil((rings + lines * LINE_SIZE) / 8) * 8 }
}

/** Memory for a channel of so many lines. */
function newMemory(lines: number): SharedArrayBuffer {
  const memory = new SharedArrayBuffer(placesOf(lines).figures + STATISTICS_SIZE)
  new Int32Array(memory)[Word.LINES] = lines
  return memory
}

export class MachineChannel {
  readonly memory: SharedArrayBuffer
  readonly statistics: SharedStatistics
  readonly outputs: readonly ByteRing[]
  readonly inputs: readonly ByteRing[]
  readonly #words: Int32Array
  readonly #instructions: Float64Array

  /** A new channel of so many lines, or the one in this memory. */
  constructor(source: number | SharedArrayBuffer = SERIAL_LINES) {
    const memory = typeof source === 'number' ? newMemory(source) : source
    this.memory = memory
    const lines = new Int32Array(memory)[Word.LINES]
    const { rings, figures } = placesOf(lines)
    this.statistics = new SharedStatistics(memory, figures)
    this.#words = new Int32Array(memory, 0, rings / 4)
    this.#instructions = new Float64Array(memory, 4 * Word.INSTRUCTIONS, 1)
    const starts = Array.from({ length: lines }, (_, line) => rings + line * LINE_SIZE)
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
    Atomics.store(this.#words, lineWord(line, LineWord.ROOM_WANTED), 1)
  }

  /** Whether room was asked for; forgets it. */
  takeRoomWanted(line: number): boolean {
    return Atomics.exchange(this.#words, lineWord(line, LineWord.ROOM_WANTED), 0) === 1
  }

  /** Whether a program in the guest has its end of this line open, where the guest tells: lines that are ports. */
  isGuestOpen(line: number): boolean {
    return Atomics.load(this.#words, lineWord(line, LineWord.GUEST_OPEN)) === 1
  }

  setGuestOpen(line: number, open: boolean): void {
    Atomics.store(this.#words, lineWord(line, LineWord.GUEST_OPEN), open ? 1 : 0)
  }

  /** The size of the virtio console's window, each 0 to 65535; 0 is unknown. */
  get consoleSize(): { readonly columns: number, readonly rows: number } {
    const word = Atomics.load(this.#words, Word.CONSOLE_SIZE)
    return { columns: word & 0xffff, rows: word >>> 16 }
  }

  set consoleSize({ columns, rows }: { readonly columns: number, readonly rows: number }) {
    Atomics.store(this.#words, Word.CONSOLE_SIZE, columns & 0xffff | rows << 16)
  }

  /** Pages of 4 KiB that the host wants in the balloon, and that are in it. */
  get balloonTarget(): number { return Atomics.load(this.#words, Word.BALLOON_TARGET) }
  set balloonTarget(pages: number) { Atomics.store(this.#words, Word.BALLOON_TARGET, pages) }
  get balloonSize(): number { return Atomics.load(this.#words, Word.BALLOON_SIZE) }
  set balloonSize(pages: number) { Atomics.store(this.#words, Word.BALLOON_SIZE, pages) }

  wantStatistics(): void { Atomics.store(this.#words, Word.STATISTICS_WANTED, 1) }

  /** Whether the guest's statistics were asked for; forgets it. */
  takeStatisticsWanted(): boolean { return Atomics.exchange(this.#words, Word.STATISTICS_WANTED, 0) === 1 }
}

function lineWord(line: number, word: number): number {
  return FIRST_LINE_WORD + line * LineWord.COUNT + word
}
