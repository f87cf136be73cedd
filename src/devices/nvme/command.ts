import type { BlockBackend, BlockOperation, BlockStatus } from '../../machine/block.ts'
import type { GuestMemory } from '../../machine/memory.ts'
import { gpa } from '../../base/addresses.ts'
import { Status } from './status.ts'
import { SUBMISSION_ENTRY } from './queues.ts'
import type { SubmissionQueue } from './queues.ts'

/** One thing that a disk must do for a command. */
export interface DiskStep {
  readonly backend: BlockBackend
  readonly operation: BlockOperation
  readonly offset: number
  readonly length: number
  readonly mayUnmap?: boolean
  readonly forceUnitAccess?: boolean
}

/**
 * A command that was taken from its queue, until it is completed. Source: NVM Express Base Specification 1.4, §4.2.
 *
 *   dword 0   opcode 7:0, FUSE 9:8, PSDT 15:14, CID 31:16
 *   dword 1   NSID      4 and 5 MPTR      6 and 7 PRP1      8 and 9 PRP2      10 to 15 the command's own
 *
 * The entry is copied: the host may use its place in the queue again at once. It is also what a snapshot has of the command.
 */
export class Command {
  readonly bytes: Uint8Array
  readonly queue: SubmissionQueue
  /** Dword 0 of the completion. */
  result = 0
  /** The controller was reset: nobody waits for it. */
  abandoned = false
  private readonly view: DataView
  private readonly finish: (command: Command, status: number) => void

  /** `finish` is called when the disks have done its steps. */
  constructor(queue: SubmissionQueue, finish: (command: Command, status: number) => void) {
    this.bytes = new Uint8Array(SUBMISSION_ENTRY)
    this.view = new DataView(this.bytes.buffer)
    this.queue = queue
    this.finish = finish
  }

  get opcode(): number { return this.bytes[0] }
  get isFused(): boolean { return (this.bytes[1] & 3) !== 0 }
  /** PSDT: data by scatter gather lists. */
  get usesSgl(): boolean { return (this.bytes[1] & 0xc0) !== 0 }
  get id(): number { return this.view.getUint16(2, true) }
  get namespaceId(): number { return this.dword(1) }
  get prp1(): number { return this.quadword(6) }
  get prp2(): number { return this.quadword(8) }

  dword(index: number): number { return this.view.getUint32(4 * index, true) }

  /** As a number: above 2^53 it is not exact, and then is no address and no block of ours either. */
  quadword(index: number): number { return this.dword(index + 1) * 2 ** 32 + this.dword(index) }

  /**
   * Has the disks do these steps, one after another. `segments` are for the first; `places` are where a read goes, in guest memory: pairs
   * of address and length.
   */
  perform(memory: GuestMemory, steps: readonly DiskStep[], segments: readonly Uint8Array[] = [], places: readonly number[] = []): void {
    const ended = (step: DiskStep, status: BlockStatus): void => {
      if (step.operation === 'read') for (let at = 0; at < places.length; at += 2) memory.written(gpa(places[at]), places[at + 1])
      if (this.abandoned) return
      if (status === 'ok') start()
      else this.finish(this, statusOf(step.operation, status))
    }
    let next = 0
    const start = (): void => {
      if (next === steps.length) return this.finish(this, Status.SUCCESS)
      const step = steps[next++]
      const { operation, offset, length, mayUnmap, forceUnitAccess } = step
      const transfer = memory.transfers.begin()
      const done = (status: BlockStatus): void => {
        memory.transfers.end(transfer)
        ended(step, status)
      }
      step.backend.submit({ operation, offset, length, segments, mayUnmap, forceUnitAccess, done })
    }
    start()
  }
}

function statusOf(operation: BlockOperation, status: Exclude<BlockStatus, 'ok'>): number {
  switch (status) {
    case 'no-space': return Status.CAPACITY_EXCEEDED
    // To deallocate is a hint.
    case 'unsupported': return operation === 'discard' ? Status.SUCCESS : Status.INVALID_OPCODE
    case 'io-error': return operation === 'read' ? Status.UNRECOVERED_READ_ERROR : Status.WRITE_FAULT
  }
}
