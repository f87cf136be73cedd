import type { BlockBackend, BlockRequest, BlockStatus } from '../../machine/block.ts'
import { DiskChannel, SLOTS, SLOT_SEGMENTS } from './disk-channel.ts'
import type { DiskBus, DiskInfo } from './disk-order.ts'

/** A disk, and where it is plugged in. */
export interface QueuedDisk extends BlockBackend { readonly bus: DiskBus }

/** A request that has been taken, until all its parts are done. */
interface Pending {
  readonly disk: number
  readonly request: BlockRequest
  /** Parts that are not done, those that wait for a slot included. */
  left: number
  /** The worst so far. */
  status: BlockStatus
}

/** What goes into one slot. */
interface Part {
  readonly pending: Pending
  readonly offset: number
  readonly length: number
  readonly first: number
  readonly end: number
}

/**
 * The disks of a machine on its own thread: their requests go to the disk thread through a channel, and are answered in `settle`, which
 * the run loop calls when the bell was rung for them. What finds no free slot waits here, in order.
 */
export class DiskQueue {
  /** By the order of the disks. */
  readonly disks: readonly QueuedDisk[]
  readonly #channel: DiskChannel
  readonly #free = Array.from({ length: SLOTS }, (_, slot) => SLOTS - 1 - slot)
  readonly #underWay: (Part | undefined)[] = Array.from({ length: SLOTS }, () => undefined)
  readonly #waiting: Part[] = []
  #settled = 0

  constructor(channel: DiskChannel, disks: readonly DiskInfo[]) {
    this.#channel = channel
    this.disks = disks.map((info, disk) => ({ ...info, submit: request => this.#submit(disk, request) }))
  }

  /** Whether a disk still owes an answer. */
  get busy(): boolean { return this.#free.length < SLOTS }

  /** Whether `settle` has something to do. */
  get ready(): boolean { return this.#channel.rings.completed !== this.#settled || this.#channel.rings.failed }

  /** Answers what the disk thread has done. */
  settle(): void {
    while (this.#settled !== this.#channel.rings.completed) {
      const { slot, status } = this.#channel.completion(this.#settled)
      this.#settled = this.#settled + 1 | 0
      const part = this.#underWay[slot]!
      this.#underWay[slot] = undefined
      this.#free.push(slot)
      finish(part.pending, status)
      this.#fill()
    }
    if (this.#channel.rings.failed) this.#failAll()
  }

  #submit(disk: number, request: BlockRequest): void {
    if (this.#channel.rings.failed) return request.done('io-error')
    const pending: Pending = { disk, request, left: 0, status: 'ok' }
    this.#waiting.push(...partsOf(pending))
    this.#fill()
  }

  #fill(): void {
    while (this.#waiting.length > 0 && this.#free.length > 0) {
      const part = this.#waiting.shift()!
      const slot = this.#free.pop()!
      this.#underWay[slot] = part
      this.#channel.describe(slot, part.pending.disk, part.pending.request, part)
      this.#channel.submit(slot)
    }
  }

  #failAll(): void {
    const parts = [...this.#underWay.filter(part => part !== undefined), ...this.#waiting.splice(0)]
    this.#underWay.fill(undefined)
    this.#free.length = 0
    this.#free.push(...Array.from({ length: SLOTS }, (_, slot) => slot))
    for (const part of parts) finish(part.pending, 'io-error')
  }
}

function finish(pending: Pending, status: BlockStatus): void {
  if (pending.status === 'ok') pending.status = status
  pending.left--
  if (pending.left === 0) pending.request.done(pending.status)
}

/** Cuts a request at the segments that fill a slot. */
function partsOf(pending: Pending): Part[] {
  const { offset, length, segments } = pending.request
  if (segments.length <= SLOT_SEGMENTS) {
    pending.left = 1
    return [{ pending, offset, length, first: 0, end: segments.length }]
  }
  const parts: Part[] = []
  let at = offset
  for (let first = 0; first < segments.length; first += SLOT_SEGMENTS) {
    const end = Math.min(first + SLOT_SEGMENTS, segments.length)
    const size = segments.slice(first, end).reduce((sum, segment) => sum + segment.length, 0)
    parts.push({ pending, offset: at, length: size, first, end })
    at += size
  }
  pending.left = parts.length
  return parts
}
