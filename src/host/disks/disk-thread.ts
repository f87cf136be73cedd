import { MessageChannel, Worker } from 'node:worker_threads'
import { TenonError } from '../../base/errors.ts'
import { hostError } from '../errors.ts'
import { Bell } from '../machine/channel.ts'
import type { MachineChannel } from '../machine/channel.ts'
import { DiskChannel } from './disk-channel.ts'
import type { DiskInfo, DiskOrder } from './disk-order.ts'
import { CLOSE } from './disk-protocol.ts'
import type { DiskThreadMessage, DiskThreadOrder, MachineDisks } from './disk-protocol.ts'

/** A disk that does not answer for so long at the machine's end is given up. */
const CLOSE_TIMEOUT_MS = 30_000

/** Told, once, what went wrong with a machine's disks: DISK_THREAD_FAILED. */
export type DiskFailureListener = (error: TenonError) => void

/** The disk thread of a machine, as the main thread holds it. */
export class DiskThread {
  /** For the machine's thread. Its port is given away. */
  readonly forMachine: MachineDisks
  readonly #worker: Worker
  readonly #channel: DiskChannel
  readonly #machine: MachineChannel
  readonly #onFailure: DiskFailureListener
  /** Settled when the thread is gone. */
  readonly #ended: Promise<void>
  #closing: Promise<void> | undefined
  #isClosed = false

  private constructor(
    worker: Worker, channel: DiskChannel, machine: MachineChannel, forMachine: MachineDisks, onFailure: DiskFailureListener,
  ) {
    this.#worker = worker
    this.#channel = channel
    this.#machine = machine
    this.forMachine = forMachine
    this.#onFailure = onFailure
    let reason = 'it ended by itself'
    worker.on('message', (message: DiskThreadMessage) => this.#receive(message))
    worker.on('error', error => { reason = error.message })
    this.#ended = new Promise(resolve => {
      worker.on('exit', () => {
        this.#broke(reason)
        resolve()
      })
    })
  }

  /**
   * Opens the disks on a thread of their own.
   * @throws TenonError (StorageErrorCode) if one of them cannot be opened; DISK_THREAD_FAILED.
   */
  static async start(disks: readonly DiskOrder[], machine: MachineChannel, onFailure: DiskFailureListener): Promise<DiskThread> {
    const channel = new DiskChannel()
    const { port1, port2 } = new MessageChannel()
    const order: DiskThreadOrder = { disks, disksMemory: channel.memory, machineMemory: machine.memory, port: port1 }
    const worker = new Worker(new URL('./disk-worker.js', import.meta.url), {
      name: 'tenon-disks', workerData: order, transferList: [port1], execArgv: [],
    })
    const infos = await firstWord(worker)
    return new DiskThread(worker, channel, machine, { infos, memory: channel.memory, port: port2 }, onFailure)
  }

  /** Waits for what is under way, flushes, closes. The machine's thread must have ended. Resolves when the thread is gone. */
  close(): Promise<void> { return this.#closing ??= this.#close() }

  async #close(): Promise<void> {
    this.#worker.postMessage(CLOSE, [])
    const timer = setTimeout(() => this.#giveUp(), CLOSE_TIMEOUT_MS)
    await this.#ended
    clearTimeout(timer)
  }

  #receive(message: DiskThreadMessage): void {
    if (message.kind !== 'closed') return
    this.#isClosed = true
    for (const problem of message.problems) this.#fail(`a disk could not be closed, and may lack what was written last: ${problem}`)
  }

  #giveUp(): void {
    this.#isClosed = true
    this.#fail(`a disk did not answer for ${CLOSE_TIMEOUT_MS / 1000} s, and may lack what was written last`)
    void this.#worker.terminate()
  }

  #broke(reason: string): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#channel.fail()
    this.#machine.ring(Bell.DISK)
    this.#fail(`the thread of the disks failed (${reason}): the guest gets I/O errors; this is a fault of Tenon, please report it`)
  }

  #fail(message: string): void { this.#onFailure(hostError('DISK_THREAD_FAILED', message)) }
}

/** Waits until the disks are open. */
function firstWord(worker: Worker): Promise<readonly DiskInfo[]> {
  return new Promise((resolve, reject) => {
    const failed = (reason: string): void => {
      reject(hostError('DISK_THREAD_FAILED', `the thread of the disks failed (${reason}): please report it`))
    }
    worker.once('error', error => failed(error.message))
    worker.once('exit', status => failed(`status ${status}`))
    worker.once('message', (message: DiskThreadMessage) => {
      if (message.kind === 'opened') resolve(message.infos)
      else if (message.kind === 'refused') reject(new TenonError(message.code, message.message))
    })
  })
}
