import { MessageChannel, Worker } from 'node:worker_threads'
import type { MessagePort } from 'node:worker_threads'
import { TenonError } from '../../base/errors.ts'
import { hostError } from '../errors.ts'
import { Bell } from '../machine/channel.ts'
import type { MachineChannel } from '../machine/channel.ts'
import { threadEnd } from '../machine/thread-end.ts'
import { DiskChannel } from './disk-channel.ts'
import type { DiskFailureListener, DiskInfo, DiskOrder } from './disk-order.ts'
import type { SnapshotReport, SnapshotRequest } from './disk-snapshots.ts'
import type { DiskThreadCommand, DiskThreadMessage, DiskThreadOrder, MachineDisks } from './disk-protocol.ts'

/** The machine that is served. */
interface AttachedMachine {
  readonly machine: MachineChannel
  readonly channel: DiskChannel
}

interface Waiting {
  resolve(report: SnapshotReport): void
  reject(error: TenonError): void
}

/** A disk that does not answer for so long at the machine's end is given up. */
const CLOSE_TIMEOUT_MS = 30_000

/**
 * Disks on a thread of their own, as the main thread holds it. They serve a machine, or several one after another.
 *
 *     opening ──▶ open ◀──attach(), detach()──▶ with a machine ──close()──▶ closed
 *        └─▶ refused  └─▶ broken: the guest's requests fail
 */
export class DiskThread {
  readonly #worker: Worker
  readonly #onFailure: DiskFailureListener
  readonly #opened: Promise<readonly DiskInfo[]>
  /** Settled when the thread is gone. */
  readonly #ended: Promise<void>
  #infos: readonly DiskInfo[] = []
  #settle!: { resolve(infos: readonly DiskInfo[]): void, reject(error: TenonError): void }
  #machine: AttachedMachine | undefined
  #detached: (() => void) | undefined
  #closing: Promise<void> | undefined
  readonly #waiting = new Map<number, Waiting>()
  #last = 0
  /** It has said its last word, or all that there was to say about it was said. */
  #isDone = false

  private constructor(disks: readonly DiskOrder[], onFailure: DiskFailureListener, guest?: string) {
    const order: DiskThreadOrder = { disks, guest }
    this.#worker = new Worker(new URL('./disk-worker.js', import.meta.url), { name: 'tenon-disks', workerData: order, execArgv: [] })
    this.#onFailure = onFailure
    this.#opened = new Promise((resolve, reject) => { this.#settle = { resolve, reject } })
    this.#ended = this.#follow()
  }

  /**
   * Opens the disks on a thread of their own. `guest`: the named guest whose disks they are.
   * @throws TenonError (StorageErrorCode) if one of them cannot be opened; DISK_THREAD_FAILED.
   */
  static async start(disks: readonly DiskOrder[], onFailure: DiskFailureListener, guest?: string): Promise<DiskThread> {
    const thread = new DiskThread(disks, onFailure, guest)
    thread.#infos = await thread.#opened
    return thread
  }

  /** Serves a machine; the one before must have been detached. What is returned is for the machine's thread: its port is given away. */
  attach(machine: MachineChannel): MachineDisks {
    const { port1, port2 } = new MessageChannel()
    const channel = new DiskChannel()
    this.#machine = { machine, channel }
    if (this.#isDone) channel.rings.fail()
    this.#say({ kind: 'attach', disksMemory: channel.memory, machineMemory: machine.memory, port: port1 }, [port1])
    return { infos: this.#infos, memory: channel.memory, port: port2 }
  }

  /** Waits for what is under way; the disks stay open. The machine's thread must have ended. */
  async detach(): Promise<void> {
    const detached = new Promise<void>(resolve => { this.#detached = resolve })
    this.#say({ kind: 'detach' })
    await this.#inTime(Promise.race([detached, this.#ended]))
    this.#machine = undefined
  }

  /**
   * Internal snapshots of the disks that can be written. The machine goes on meanwhile, if it is not paused.
   * @throws TenonError as `snapshotDisks`; DISK_THREAD_FAILED if the disks are being closed, or their thread is gone.
   */
  snapshots(request: SnapshotRequest): Promise<SnapshotReport> {
    if (this.#isDone || this.#closing !== undefined) return Promise.reject(hostError('DISK_THREAD_FAILED', 'the disks are closed already'))
    const number = ++this.#last
    return new Promise((resolve, reject) => {
      this.#waiting.set(number, { resolve, reject })
      this.#say({ kind: 'snapshots', number, request })
    })
  }

  /** Waits for what is under way, flushes, closes. The machine's thread must have ended. Resolves when the thread is gone. */
  close(): Promise<void> { return this.#closing ??= this.#close() }

  #say(command: DiskThreadCommand, transferList: readonly MessagePort[] = []): void { this.#worker.postMessage(command, [...transferList]) }

  async #close(): Promise<void> {
    this.#say({ kind: 'close' })
    await this.#inTime(this.#ended)
  }

  async #inTime(work: Promise<void>): Promise<void> {
    const timer = setTimeout(() => this.#giveUp(), CLOSE_TIMEOUT_MS)
    await work
    clearTimeout(timer)
  }

  async #follow(): Promise<void> {
    this.#worker.on('message', (message: DiskThreadMessage) => this.#receive(message))
    this.#broke(await threadEnd(this.#worker))
    for (const { reject } of this.#waiting.values()) reject(hostError('DISK_THREAD_FAILED', 'the disks were closed before it was done'))
    this.#waiting.clear()
  }

  #receive(message: DiskThreadMessage): void {
    switch (message.kind) {
      case 'opened': return this.#settle.resolve(message.infos)
      case 'refused':
        this.#isDone = true
        return this.#settle.reject(new TenonError(message.code, message.message))
      case 'notice': return this.#onFailure(hostError('DISK_NOTICE', message.message))
      case 'detached': return this.#detached?.()
      case 'snapshots': return this.#take(message.number)?.resolve(message.report)
      case 'problem': return this.#take(message.number)?.reject(new TenonError(message.code, message.message))
      case 'closed':
        this.#isDone = true
        for (const problem of message.problems) this.#fail(`a disk could not be closed, and may lack what was written last: ${problem}`)
    }
  }

  #take(number: number): Waiting | undefined {
    const waiting = this.#waiting.get(number)
    this.#waiting.delete(number)
    return waiting
  }

  #giveUp(): void {
    this.#isDone = true
    this.#fail(`a disk did not answer for ${CLOSE_TIMEOUT_MS / 1000} s, and may lack what was written last`)
    void this.#worker.terminate()
  }

  #broke(reason: string): void {
    if (this.#isDone) return
    this.#isDone = true
    this.#machine?.channel.rings.fail()
    this.#machine?.machine.ring(Bell.DISK)
    const failed = `the thread of the disks failed (${reason})`
    this.#settle.reject(hostError('DISK_THREAD_FAILED', `${failed}: this is a fault of Tenon, please report it`))
    this.#fail(`${failed}: the guest gets I/O errors; this is a fault of Tenon, please report it`)
  }

  #fail(message: string): void { this.#onFailure(hostError('DISK_THREAD_FAILED', message)) }
}
