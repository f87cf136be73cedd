import { MessageChannel, Worker } from 'node:worker_threads'
import type { MessagePort } from 'node:worker_threads'
import { TenonError } from '../../base/errors.ts'
import type { PlainData } from '../../machine/lifecycle.ts'
import { hostError } from '../errors.ts'
import { Bell } from '../machine/channel.ts'
import type { MachineChannel } from '../machine/channel.ts'
import { threadEnd } from '../machine/thread-end.ts'
import { ShareChannel } from './share-channel.ts'
import type { ShareInfo, ShareOrder } from './share-order.ts'
import type { MachineShares, ShareCall, ShareThreadMessage, ShareThreadOrder } from './share-protocol.ts'

/** A folder that does not answer for so long at the machine's end (one of a server, perhaps) is given up. */
const CLOSE_TIMEOUT_MS = 10_000

/** Told that the shares of a machine have failed: SHARE_THREAD_FAILED. */
export type ShareFailureListener = (error: TenonError) => void

/**
 * The share thread of a machine, as the main thread holds it.
 *
 *     opening ──▶ open ──close()──▶ closed
 *        └─▶ refused  └─▶ broken: the guest's requests fail
 */
export class ShareThread {
  readonly #worker: Worker
  readonly #pool: MessagePort
  readonly #calls: MessagePort
  readonly #channel = new ShareChannel()
  readonly #machine: MachineChannel
  readonly #onFailure: ShareFailureListener
  readonly #opened: Promise<readonly ShareInfo[]>
  /** Settled when the thread is gone. */
  readonly #ended: Promise<void>
  #infos: readonly ShareInfo[] = []
  #settle!: { resolve(infos: readonly ShareInfo[]): void, reject(error: TenonError): void }
  readonly #saving: { resolve(states: readonly PlainData[]): void, reject(error: TenonError): void }[] = []
  #closing: Promise<void> | undefined
  /** It has said its last word, or all that there was to say about it was said. */
  #isDone = false

  private constructor(shares: readonly ShareOrder[], machine: MachineChannel, onFailure: ShareFailureListener) {
    const [pool, calls] = [new MessageChannel(), new MessageChannel()]
    const order: ShareThreadOrder = {
      shares, sharesMemory: this.#channel.memory, machineMemory: machine.memory, pool: pool.port1, calls: calls.port1,
    }
    this.#worker = new Worker(new URL('./share-worker.js', import.meta.url), {
      name: 'tenon-shares', workerData: order, transferList: [pool.port1, calls.port1], execArgv: [],
    })
    this.#pool = pool.port2
    this.#calls = calls.port2
    this.#machine = machine
    this.#onFailure = onFailure
    this.#opened = new Promise((resolve, reject) => { this.#settle = { resolve, reject } })
    this.#ended = this.#follow()
  }

  /**
   * Opens the shares on a thread of their own.
   * @throws TenonError SHARE_UNFIT if one of them cannot be opened, SNAPSHOT_INVALID, SHARE_THREAD_FAILED.
   */
  static async start(shares: readonly ShareOrder[], machine: MachineChannel, onFailure: ShareFailureListener): Promise<ShareThread> {
    const thread = new ShareThread(shares, machine, onFailure)
    thread.#infos = await thread.#opened
    return thread
  }

  /** For the machine's thread. The port is given away. */
  get forMachine(): MachineShares { return { infos: this.#infos, memory: this.#channel.memory, port: this.#pool } }

  /**
   * What the guest knows of each share and has open, for `ShareOrder.state`. The machine must not run, and its requests be answered: not
   * all of them may be carried out twice. Rejects with SHARE_THREAD_FAILED if the thread ends before.
   */
  save(): Promise<readonly PlainData[]> {
    return new Promise((resolve, reject) => {
      if (this.#isDone) return reject(hostError('SHARE_THREAD_FAILED', 'the shares cannot be saved: their thread has ended'))
      this.#saving.push({ resolve, reject })
      this.#call('save')
    })
  }

  /** Closes the shares. The machine's thread must have ended. Resolves when the thread is gone. */
  close(): Promise<void> { return this.#closing ??= this.#close() }

  async #close(): Promise<void> {
    this.#call('close')
    const timer = setTimeout(() => this.#giveUp(), CLOSE_TIMEOUT_MS)
    await this.#ended
    clearTimeout(timer)
  }

  #call(call: ShareCall): void {
    this.#calls.postMessage(call, [])
    this.#channel.call()
  }

  async #follow(): Promise<void> {
    this.#worker.on('message', (message: ShareThreadMessage) => this.#receive(message))
    this.#broke(await threadEnd(this.#worker))
    this.#calls.close()
  }

  #receive(message: ShareThreadMessage): void {
    switch (message.kind) {
      case 'opened': return this.#settle.resolve(message.infos)
      case 'refused':
        this.#isDone = true
        return this.#settle.reject(new TenonError(message.code, message.message))
      case 'saved': return this.#saving.shift()?.resolve(message.states)
      case 'closed': this.#isDone = true
    }
  }

  #giveUp(): void {
    this.#isDone = true
    const seconds = CLOSE_TIMEOUT_MS / 1000
    this.#onFailure(hostError('SHARE_THREAD_FAILED', `a shared folder did not answer for ${seconds} s: what was written last may be lost`))
    void this.#worker.terminate()
  }

  #broke(reason: string): void {
    const error = hostError('SHARE_THREAD_FAILED', `the thread of the shares failed (${reason}): the guest gets I/O errors; `
      + 'this is a fault of Tenon, please report it')
    for (const { reject } of this.#saving.splice(0)) reject(error)
    if (this.#isDone) return
    this.#isDone = true
    this.#channel.rings.fail()
    this.#machine.ring(Bell.SHARE)
    this.#settle.reject(error)
    this.#onFailure(error)
  }
}
