import { gpa } from '../../base/addresses.ts'
import type { GuestMemory } from '../../machine/memory.ts'
import type { Command } from './command.ts'

/**
 * Submission and completion queues in guest memory. Source: NVM Express Base Specification 1.4, §4.1 and §4.6.
 *
 *   submission entry, 64 bytes    see command.ts
 *   completion entry, 16 bytes    dword 0 result, 2 SQHD 15:0 and SQID 31:16, 3 CID 15:0, phase 16, status 31:17
 */
export const SUBMISSION_ENTRY = 64
export const COMPLETION_ENTRY = 16

/** A completion that is not in its queue yet. */
export interface Completion {
  readonly submissionQueue: number
  readonly commandId: number
  /** As statusField gives it. */
  readonly status: number
  readonly result: number
}

export interface CompletionQueueConfig {
  readonly id: number
  /** Guest-physical, page-aligned, with all of the queue in RAM. */
  readonly base: number
  /** Entries, from 2. */
  readonly size: number
  readonly vector: number
  readonly interrupts: boolean
}

export class CompletionQueue {
  readonly config: CompletionQueueConfig
  head = 0
  tail = 0
  phase = 1
  /** What found no room, in order. */
  readonly waiting: Completion[] = []

  constructor(config: CompletionQueueConfig) { this.config = config }

  get isEmpty(): boolean { return this.head === this.tail }
  get isFull(): boolean { return (this.tail + 1) % this.config.size === this.head }

  /** Puts a completion into the queue, which must have room. `head` is that of its submission queue. */
  post(memory: GuestMemory, completion: Completion, head: number): void {
    const address = this.config.base + this.tail * COMPLETION_ENTRY
    memory.writeU32(gpa(address), completion.result)
    memory.writeU32(gpa(address + 4), 0)
    memory.writeU32(gpa(address + 8), (head | completion.submissionQueue << 16) >>> 0)
    memory.writeU32(gpa(address + 12), (completion.commandId | this.phase << 16 | completion.status << 17) >>> 0)
    this.tail++
    if (this.tail < this.config.size) return
    this.tail = 0
    this.phase ^= 1
  }

  /** The host has taken what is before `head`. False if that cannot be. */
  moveHead(head: number): boolean {
    const { size } = this.config
    if (head >= size || (head - this.head + size) % size > (this.tail - this.head + size) % size) return false
    this.head = head
    return true
  }
}

export interface SubmissionQueueConfig {
  readonly id: number
  readonly base: number
  readonly size: number
  /** Its completion queue. */
  readonly completionQueue: number
}

export class SubmissionQueue {
  readonly config: SubmissionQueueConfig
  head = 0
  tail = 0
  /** Commands that were taken from it and are not completed. */
  inFlight = 0
  /** The command that deletes it, once there is one: nothing is taken any more. */
  deletion: Command | undefined

  constructor(config: SubmissionQueueConfig) { this.config = config }

  get isEmpty(): boolean { return this.head === this.tail }

  /** Takes the next entry. */
  take(memory: GuestMemory, into: Uint8Array): void {
    memory.read(gpa(this.config.base + this.head * SUBMISSION_ENTRY), into)
    this.head = (this.head + 1) % this.config.size
  }

  /** There are entries before `tail`. False if that cannot be. */
  moveTail(tail: number): boolean {
    if (tail >= this.config.size) return false
    this.tail = tail
    return true
  }
}
