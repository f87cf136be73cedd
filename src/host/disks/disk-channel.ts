/**
 * What a machine's thread and its disk thread share: requests under way in slots, and the rings that pass the numbers of slots
 * (machine/slot-rings.ts). The machine's thread fills slots; the disk thread says what came of them, and rings the machine's bell.
 *
 *     rings      see there; the result of a completion is its status
 *     numbers    for each slot two doubles: offset, length
 *     slots      for each slot: operation and flags, disk, number of segments, then address and length of each segment
 *
 * Addresses are those of the pool, which both threads have: the disk thread reads and writes the guest's memory where it lies.
 */
import type { BlockOperation, BlockRequest, BlockStatus } from '../../machine/block.ts'
import { RingWord, SlotRings } from '../machine/slot-rings.ts'

/** Requests under way at once, for all disks of a machine. */
export const SLOTS = 128
/** Segments of one slot. A request with more takes several slots. 256 pages are a megabyte. */
export const SLOT_SEGMENTS = 256

const OPERATIONS: readonly BlockOperation[] = ['read', 'write', 'flush', 'discard', 'write-zeroes']
const STATUSES: readonly BlockStatus[] = ['ok', 'io-error', 'no-space', 'unsupported']

const Flag = { MAY_UNMAP: 0x100, FORCE_UNIT_ACCESS: 0x200 } as const
const Field = { OPERATION: 0, DISK: 1, SEGMENTS: 2, FIRST_SEGMENT: 3 } as const
const SLOT_WORDS = Field.FIRST_SEGMENT + 2 * SLOT_SEGMENTS
const NUMBERS_START = SlotRings.size(SLOTS)
const SLOTS_START = NUMBERS_START + 16 * SLOTS

/** A part of a request, or all of it, as the disk thread sees it. */
export interface SlotRequest {
  readonly operation: BlockOperation
  readonly disk: number
  readonly offset: number
  readonly length: number
  readonly segments: Uint8Array[]
  readonly mayUnmap: boolean
  readonly forceUnitAccess: boolean
}

/** `Atomics.waitAsync`, which TypeScript's ES2023 does not have. */
type WaitAsync = (words: Int32Array, index: number, value: number) => { readonly async: boolean, readonly value: Promise<unknown> }
const { waitAsync } = Atomics as unknown as { readonly waitAsync: WaitAsync }

export class DiskChannel {
  readonly memory: SharedArrayBuffer
  readonly rings: SlotRings
  readonly #numbers: Float64Array
  readonly #slots: Uint32Array

  /** The channel in this memory, or a new one. */
  constructor(memory: SharedArrayBuffer = new SharedArrayBuffer(SLOTS_START + 4 * SLOTS * SLOT_WORDS)) {
    this.memory = memory
    this.rings = new SlotRings(memory, SLOTS)
    this.#numbers = new Float64Array(memory, NUMBERS_START, 2 * SLOTS)
    this.#slots = new Uint32Array(memory, SLOTS_START, SLOTS * SLOT_WORDS)
  }

  /** Machine's thread: describes a request in a free slot, with segments `first` to `end` (exclusive) of it. */
  describe(slot: number, disk: number, request: BlockRequest, place: { offset: number, length: number, first: number, end: number }): void {
    const at = slot * SLOT_WORDS
    const slots = this.#slots
    slots[at + Field.OPERATION] = OPERATIONS.indexOf(request.operation) | (request.mayUnmap ? Flag.MAY_UNMAP : 0)
      | (request.forceUnitAccess ? Flag.FORCE_UNIT_ACCESS : 0)
    slots[at + Field.DISK] = disk
    this.#numbers[2 * slot] = place.offset
    this.#numbers[2 * slot + 1] = place.length
    slots[at + Field.SEGMENTS] = this.#writeSegments(at + Field.FIRST_SEGMENT, request.segments, place.first, place.end)
  }

  /** Segments that lie one behind the other in the pool become one. Gives their number. */
  #writeSegments(start: number, segments: readonly Uint8Array[], first: number, end: number): number {
    const slots = this.#slots
    let at = start
    let next = -1
    for (let index = first; index < end; index++) {
      const { byteOffset, length } = segments[index]
      if (byteOffset === next) slots[at - 1] += length
      else {
        slots[at++] = byteOffset
        slots[at++] = length
      }
      next = byteOffset + length
    }
    return (at - start) / 2
  }

  /** Machine's thread: hands a slot over, and wakes the disk thread if it sleeps. */
  submit(slot: number): void {
    if (this.rings.submit(slot)) this.wake()
  }

  /** Machine's thread: the `count`-th completion. */
  completion(count: number): { readonly slot: number, readonly status: BlockStatus } {
    const { slot, result } = this.rings.completion(count)
    return { slot, status: STATUSES[result] }
  }

  /** Disk thread: what a slot asks for. */
  read(slot: number, pool: SharedArrayBuffer | ArrayBuffer): SlotRequest {
    const at = slot * SLOT_WORDS
    const slots = this.#slots
    const word = slots[at + Field.OPERATION]
    const segments: Uint8Array[] = []
    const end = at + Field.FIRST_SEGMENT + 2 * slots[at + Field.SEGMENTS]
    for (let place = at + Field.FIRST_SEGMENT; place < end; place += 2) {
      segments.push(new Uint8Array(pool, slots[place], slots[place + 1]))
    }
    return {
      operation: OPERATIONS[word & 0xff], disk: slots[at + Field.DISK],
      offset: this.#numbers[2 * slot], length: this.#numbers[2 * slot + 1],
      segments, mayUnmap: (word & Flag.MAY_UNMAP) !== 0, forceUnitAccess: (word & Flag.FORCE_UNIT_ACCESS) !== 0,
    }
  }

  /** Disk thread: a slot is done. The machine's bell is the caller's to ring. */
  complete(slot: number, status: BlockStatus): void { this.rings.complete(slot, STATUSES.indexOf(status)) }

  /** Disk thread: waits, without blocking its event loop, until there are more submissions than `count`, or `wake` is called. */
  async sleep(count: number): Promise<void> {
    const { words } = this.rings
    Atomics.store(words, RingWord.SLEEPING, 1)
    const wait = waitAsync(words, RingWord.SUBMITTED, count)
    if (wait.async) await wait.value
    Atomics.store(words, RingWord.SLEEPING, 0)
  }

  /** Wakes the disk thread. */
  wake(): void { Atomics.notify(this.rings.words, RingWord.SUBMITTED) }
}
