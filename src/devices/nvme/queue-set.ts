import { isRam } from '../../machine/memory.ts'
import type { GuestMemory } from '../../machine/memory.ts'
import type { Command } from './command.ts'
import { STARTED } from './io-commands.ts'
import { IO_QUEUES, PAGE, QUEUE_ENTRIES, VECTORS } from './limits.ts'
import { COMPLETION_ENTRY, CompletionQueue, SUBMISSION_ENTRY, SubmissionQueue } from './queues.ts'
import { Status } from './status.ts'

/**
 * The queues of a controller by their numbers, and the admin commands that make and delete them. Source: NVM Express Base Specification
 * 1.4, §5.3 to §5.6.
 *
 *   dword 10: queue 15:0, entries - 1 31:16
 *   dword 11: PC (contiguous) 0; of a completion queue: IEN 1, vector 31:16; of a submission queue: priority 2:1, completion queue 31:16
 *
 * Queues must lie in RAM, all of them.
 */
const CONTIGUOUS = 1
const INTERRUPTS_ENABLED = 2

export class QueueSet {
  /** By number; 0 is the admin queue's. */
  readonly submission: (SubmissionQueue | undefined)[] = Array.from({ length: IO_QUEUES + 1 }, () => undefined)
  readonly completion: (CompletionQueue | undefined)[] = Array.from({ length: IO_QUEUES + 1 }, () => undefined)
  private readonly memory: GuestMemory
  /** CC's entry sizes are what they must be. */
  private readonly entrySizesFit: (kind: 'submission' | 'completion') => boolean

  constructor(memory: GuestMemory, entrySizesFit: (kind: 'submission' | 'completion') => boolean) {
    this.memory = memory
    this.entrySizesFit = entrySizesFit
  }

  get hasIoQueues(): boolean { return this.submission.slice(1).some(Boolean) || this.completion.slice(1).some(Boolean) }

  /** Makes the admin queues. False if they cannot be. */
  createAdminQueues(submission: { base: number, size: number }, completion: { base: number, size: number }): boolean {
    if (!isRam(this.memory, submission.base, submission.size * SUBMISSION_ENTRY) || submission.size < 2) return false
    if (!isRam(this.memory, completion.base, completion.size * COMPLETION_ENTRY) || completion.size < 2) return false
    this.submission[0] = new SubmissionQueue({ id: 0, ...submission, completionQueue: 0 })
    this.completion[0] = new CompletionQueue({ id: 0, ...completion, vector: 0, interrupts: true })
    return true
  }

  createCompletionQueue(command: Command): number {
    const id = command.dword(10) & 0xffff
    const size = (command.dword(10) >>> 16) + 1
    const vector = command.dword(11) >>> 16
    const interrupts = (command.dword(11) & INTERRUPTS_ENABLED) !== 0
    const status = this.check(command, this.completion, id, size * COMPLETION_ENTRY)
    if (status !== Status.SUCCESS) return status
    if (vector >= VECTORS) return Status.INVALID_INTERRUPT_VECTOR
    if (!this.entrySizesFit('completion')) return Status.INVALID_QUEUE_SIZE
    this.completion[id] = new CompletionQueue({ id, base: command.prp1, size, vector, interrupts })
    return Status.SUCCESS
  }

  createSubmissionQueue(command: Command): number {
    const id = command.dword(10) & 0xffff
    const size = (command.dword(10) >>> 16) + 1
    const completionQueue = command.dword(11) >>> 16
    const status = this.check(command, this.submission, id, size * SUBMISSION_ENTRY)
    if (status !== Status.SUCCESS) return status
    if (completionQueue === 0 || completionQueue > IO_QUEUES) return Status.INVALID_QUEUE_IDENTIFIER
    if (this.completion[completionQueue] === undefined) return Status.COMPLETION_QUEUE_INVALID
    if (!this.entrySizesFit('submission')) return Status.INVALID_QUEUE_SIZE
    this.submission[id] = new SubmissionQueue({ id, base: command.prp1, size, completionQueue })
    return Status.SUCCESS
  }

  /** The command is completed when those that were taken from the queue are: see `Controller`. */
  deleteSubmissionQueue(command: Command): number {
    const id = command.dword(10) & 0xffff
    const queue = id === 0 ? undefined : this.submission[id]
    if (queue === undefined || queue.deletion !== undefined) return Status.INVALID_QUEUE_IDENTIFIER
    if (queue.inFlight === 0) {
      this.submission[id] = undefined
      return Status.SUCCESS
    }
    queue.deletion = command
    return STARTED
  }

  deleteCompletionQueue(command: Command): number {
    const id = command.dword(10) & 0xffff
    if (id === 0 || this.completion[id] === undefined) return Status.INVALID_QUEUE_IDENTIFIER
    if (this.submission.some((queue) => queue?.config.completionQueue === id)) return Status.INVALID_QUEUE_DELETION
    this.completion[id] = undefined
    return Status.SUCCESS
  }

  clear(): void {
    this.submission.fill(undefined)
    this.completion.fill(undefined)
  }

  private check(command: Command, queues: readonly unknown[], id: number, length: number): number {
    const size = (command.dword(10) >>> 16) + 1
    if (id === 0 || id > IO_QUEUES || queues[id] !== undefined) return Status.INVALID_QUEUE_IDENTIFIER
    if (size < 2 || size > QUEUE_ENTRIES) return Status.INVALID_QUEUE_SIZE
    if ((command.dword(11) & CONTIGUOUS) === 0) return Status.INVALID_FIELD
    if (command.prp1 % PAGE !== 0) return Status.PRP_OFFSET_INVALID
    return isRam(this.memory, command.prp1, length) ? Status.SUCCESS : Status.DATA_TRANSFER_ERROR
  }
}
