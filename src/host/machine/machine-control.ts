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

/** Who serves the guest's requests on another thread. */
export interface QuietServer {
  readonly busy: boolean
  settle(): void
}

export interface QuietDisks extends QuietServer {
  readonly disks: readonly BlockBackend[]
}

export interface MachineControlParts {
  readonly machine: PausableMachine
  readonly channel: MachineChannel
  /** Undefined for a machine without disks. */
  readonly disks: QuietDisks | undefined
  /** Undefined for one without shares. */
  readonly shares?: QuietServer
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
 * A machine that stands still has answers to all that it asked of its shares and disks, and the disks are flushed. So what is on a disk at that time
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
    const { disks, shares } = this.parts
    const deadline = performance.now() + (this.parts.diskTimeout ?? DISK_TIMEOUT_MS)
    if (shares !== undefined) this.drain(shares, deadline, 'a share')
    if (disks === undefined) return
    this.drain(disks, deadline, 'a disk')
    this.flush(disks, deadline)
  }

  /**
   * Until a server owes nothing. A controller may go on with requests that have waited, but a guest that stands still makes no new ones.
   */
  private drain(server: QuietServer, deadline: number, what: string): void {
    const { channel } = this.parts
    let bells = 0
    server.settle()
    while (server.busy && performance.now() < deadline) {
      channel.sleep(Math.max(1, deadline - performance.now()))
      bells |= channel.answer()
      server.settle()
    }
    // What else the bell was rung for is the loop's affair.
    channel.ring(bells & ~(Bell.DISK | Bell.SHARE))
    if (server.busy) throw serverBusy(what, 'does not answer')
  }

  private flush(disks: QuietDisks, deadline: number): void {
    let failed = 0
    for (const disk of disks.disks.filter(({ readOnly }) => !readOnly)) {
      const done = (status: string): void => { if (status !== 'ok') failed++ }
      disk.submit({ operation: 'flush', offset: 0, length: 0, segments: [], done })
    }
    this.drain(disks, deadline, 'a disk')
    if (failed > 0) throw serverBusy('a disk', 'cannot be flushed')
  }
}

function serverBusy(what: string, problem: string): TenonError {
  return hostError('MACHINE_DISKS_BUSY', `the guest goes on, and was not saved: ${what} of it ${problem}; see to that, and try again`)
}
