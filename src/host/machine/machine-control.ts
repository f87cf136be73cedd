import type { TenonError } from '../../base/errors.ts'
import type { BlockBackend } from '../../machine/block.ts'
import { hostError } from '../errors.ts'
import { Bell } from './channel.ts'
import type { MachineChannel } from './channel.ts'
import type { ControlOrder, ControlProblem } from './control-protocol.ts'
import { writeSnapshotFile } from './snapshot-file.ts'

/** Disks that do not answer for so long are given up, and the guest goes on. */
const DISK_TIMEOUT_MS = 30_000

/** What is asked of a machine that stands still. */
export interface PausableMachine {
  /** Stops virtual time; running starts it again. */
  pause(): void
  encode(): Iterable<Uint8Array>
}

export interface QuietDisks {
  readonly disks: readonly BlockBackend[]
  readonly busy: boolean
  settle(): void
}

export interface MachineControlParts {
  readonly machine: PausableMachine
  readonly channel: MachineChannel
  /** Undefined for a machine without disks. */
  readonly disks: QuietDisks | undefined
  /** The next order, if one has come. */
  receive(): ControlOrder | undefined
  answer(number: number, problem?: ControlProblem): void
  /** What the owner is told of an error. */
  explain(error: unknown): ControlProblem
  /** Milliseconds; for tests. */
  readonly diskTimeout?: number
}

/**
 * Carries out, on the machine's thread and between slices, what its owner asks for: to stand still, to be saved.
 *
 * A machine that stands still has answers to all that it asked of its disks, and they are flushed. So what is on a disk at that time
 * fits what is in memory, whatever becomes of the process afterwards.
 */
export class MachineControl {
  /** The machine's loop runs no slices. */
  paused = false
  private readonly parts: MachineControlParts

  constructor(parts: MachineControlParts) { this.parts = parts }

  /** The bell was rung for it. */
  look(): void {
    for (let order = this.parts.receive(); order !== undefined; order = this.parts.receive()) this.carryOut(order)
  }

  private carryOut({ number, request }: ControlOrder): void {
    const { answer, explain } = this.parts
    try {
      if (request.kind === 'resume') this.paused = false
      else this.beStill()
      if (request.kind === 'pause') this.paused = true
      if (request.kind === 'save') writeSnapshotFile(request.path, this.parts.machine.encode())
      answer(number)
    } catch (error) {
      answer(number, explain(error))
    }
  }

  private beStill(): void {
    if (this.paused) return
    this.parts.machine.pause()
    const { disks } = this.parts
    if (disks === undefined) return
    const deadline = performance.now() + (this.parts.diskTimeout ?? DISK_TIMEOUT_MS)
    this.drain(disks, deadline)
    this.flush(disks, deadline)
  }

  /**
   * Until the disks owe nothing. A controller may go on with requests that have waited, but a guest that stands still makes no new ones.
   */
  private drain(disks: QuietDisks, deadline: number): void {
    const { channel } = this.parts
    let others = 0
    disks.settle()
    while (disks.busy && performance.now() < deadline) {
      channel.sleep(Math.max(1, deadline - performance.now()))
      others |= channel.answer()
      disks.settle()
    }
    // What else the bell was rung for is the loop's affair.
    channel.ring(others & ~Bell.DISK)
    if (disks.busy) throw disksBusy('does not answer')
  }

  private flush(disks: QuietDisks, deadline: number): void {
    let failed = 0
    for (const disk of disks.disks.filter(({ readOnly }) => !readOnly)) {
      const done = (status: string): void => { if (status !== 'ok') failed++ }
      disk.submit({ operation: 'flush', offset: 0, length: 0, segments: [], done })
    }
    this.drain(disks, deadline)
    if (failed > 0) throw disksBusy('cannot be flushed')
  }
}

function disksBusy(problem: string): TenonError {
  return hostError('MACHINE_DISKS_BUSY', `the guest goes on, and was not saved: a disk of it ${problem}; see to the disk, and try again`)
}
