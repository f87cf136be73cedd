import { Worker } from 'node:worker_threads'
import { TenonError } from '../../base/errors.ts'
import { hostError } from '../errors.ts'
import { Bell } from '../machine/channel.ts'
import type { MachineChannel } from '../machine/channel.ts'
import { Doorbell } from '../machine/doorbell.ts'
import { threadEnd } from '../machine/thread-end.ts'
import { StreamChannel } from './stream-channel.ts'
import type { MachineVsock, VsockOrder } from './vsock-order.ts'
import type { VsockThreadMessage, VsockThreadOrder } from './vsock-protocol.ts'

/** A thread that takes so long to close its sockets is ended. */
const CLOSE_TIMEOUT_MS = 5000

/**
 * The vsock thread of a machine, as the main thread holds it.
 *
 *     starting ──▶ listening ──close()──▶ closed
 *        └─▶ refused   └─▶ broken: the guest's streams are reset
 */
export class VsockThread {
  readonly #worker: Worker
  readonly #channel = new StreamChannel()
  readonly #doorbell = new Doorbell()
  readonly #machine: MachineChannel
  readonly #cid: number
  readonly #onFailure: (error: TenonError) => void
  readonly #listening: Promise<void>
  readonly #ended: Promise<void>
  #settle!: { resolve(): void, reject(error: TenonError): void }
  #closing: Promise<void> | undefined
  /** It has said its last word. */
  #isDone = false

  private constructor({ path, cid }: VsockOrder, machine: MachineChannel, onFailure: (error: TenonError) => void) {
    const order: VsockThreadOrder = { path, streams: this.#channel.memory, doorbell: this.#doorbell.memory, machine: machine.memory }
    this.#worker = new Worker(new URL('./vsock-worker.js', import.meta.url), {
      name: 'tenon-vsock', workerData: order, execArgv: [], resourceLimits: { maxYoungGenerationSizeMb: 8 },
    })
    this.#machine = machine
    this.#cid = cid
    this.#onFailure = onFailure
    this.#listening = new Promise((resolve, reject) => { this.#settle = { resolve, reject } })
    this.#ended = this.#follow()
  }

  /**
   * Listens, on a thread of its own. `onFailure` is told VSOCK_THREAD_FAILED.
   * @throws TenonError VSOCK_UNFIT, VSOCK_IN_USE, VSOCK_THREAD_FAILED.
   */
  static async start(order: VsockOrder, machine: MachineChannel, onFailure: (error: TenonError) => void): Promise<VsockThread> {
    const thread = new VsockThread(order, machine, onFailure)
    await thread.#listening
    return thread
  }

  get forMachine(): MachineVsock { return { cid: this.#cid, memory: this.#channel.memory, doorbell: this.#doorbell.memory } }

  /** Ends all streams and removes the socket. The machine's thread must have ended. Resolves when the thread is gone. */
  close(): Promise<void> { return this.#closing ??= this.#close() }

  async #close(): Promise<void> {
    const timer = setTimeout(() => void this.#worker.terminate(), CLOSE_TIMEOUT_MS)
    this.#worker.postMessage('close', [])
    await this.#ended
    clearTimeout(timer)
  }

  async #follow(): Promise<void> {
    this.#worker.on('message', (message: VsockThreadMessage) => this.#receive(message))
    const reason = await threadEnd(this.#worker)
    if (!this.#isDone && this.#closing === undefined) this.#broke(reason)
  }

  #receive(message: VsockThreadMessage): void {
    if (message.kind === 'listening') return this.#settle.resolve()
    this.#isDone = true
    if (message.kind === 'refused') this.#settle.reject(new TenonError(message.code, message.message))
    void this.#worker.terminate()
  }

  #broke(reason: string): void {
    const error = hostError('VSOCK_THREAD_FAILED', `the thread of the vsock failed (${reason}): the guest's streams are reset; `
      + 'this is a fault of Tenon, please report it')
    this.#isDone = true
    this.#channel.fail()
    this.#machine.ring(Bell.SOCKET)
    this.#settle.reject(error)
    this.#onFailure(error)
  }
}
