import { Worker } from 'node:worker_threads'
import { TenonError } from '../../base/errors.ts'
import type { PlainData } from '../../machine/lifecycle.ts'
import { hostError } from '../errors.ts'
import { Doorbell } from '../machine/doorbell.ts'
import { threadEnd } from '../machine/thread-end.ts'
import type { AttachedCard, CardOrder, NetworkOrder, NetworkReport } from './network-order.ts'
import type { NetworkMessage, NetworkRequests, NetworkThreadOrder, RequestBody, RequestKind } from './network-protocol.ts'

/** What goes wrong with networks while guests run. */
export type NetworkNoticeListener = (error: TenonError) => void

interface Waiting {
  resolve(answer: unknown): void
  reject(error: TenonError): void
}

/** A thread that takes so long to close its sockets is ended. */
const CLOSE_TIMEOUT_MS = 5000
/** Frames make no garbage, so that a small nursery is collected seldom. V8's own choice holds 30 MiB more once flows have come and gone. */
const YOUNG_GENERATION_MIB = 8

/**
 * The network thread, as the main thread holds it: the networks of one process. Guests' cards come and go, by `attach` and `detach`.
 *
 *     running ──close()──▶ closed
 *        └─▶ broken: every request is refused, and guests are as if their cables were cut
 */
export class NetworkThread {
  readonly #worker: Worker
  readonly #onNotice: NetworkNoticeListener
  readonly #waiting = new Map<number, Waiting>()
  readonly #ended: Promise<void>
  #next = 1
  #closing: Promise<void> | undefined
  #failure: TenonError | undefined

  constructor(onNotice: NetworkNoticeListener) {
    const order: NetworkThreadOrder = { doorbell: new Doorbell().memory }
    this.#onNotice = onNotice
    this.#worker = new Worker(new URL('./network-worker.js', import.meta.url), {
      name: 'tenon-network', workerData: order, execArgv: [], resourceLimits: { maxYoungGenerationSizeMb: YOUNG_GENERATION_MIB },
    })
    this.#worker.on('message', (message: NetworkMessage) => this.#receive(message))
    this.#ended = threadEnd(this.#worker).then(reason => this.#broke(reason))
  }

  /** Throws TenonError NETWORK_EXISTS, NETWORK_CONFIGURATION_INVALID, NETWORK_RULE_INVALID. */
  async create(order: NetworkOrder): Promise<void> { await this.#ask('create', { order }) }

  /** Throws TenonError NETWORK_UNKNOWN, NETWORK_IN_USE. */
  async remove(name: string): Promise<void> { await this.#ask('remove', { name }) }

  /**
   * Plugs a card of a machine in; `machine` is the memory of its MachineChannel.
   * @throws TenonError NETWORK_UNKNOWN, NETWORK_CONFIGURATION_INVALID, NETWORK_RULE_INVALID, NETWORK_FULL, PORT_IN_USE, PORT_UNAVAILABLE,
   * FILE_UNWRITABLE.
   */
  attach(card: CardOrder, machine: SharedArrayBuffer): Promise<AttachedCard> { return this.#ask('attach', { card, machine }) }

  async detach(card: number): Promise<void> { await this.#ask('detach', { card }) }

  /** What the guest of a card has, for `CardOrder.standing`. The guest must stand still. */
  standingOf(card: number): Promise<PlainData> { return this.#ask('standing', { card }) }

  /** Throws TenonError NETWORK_UNKNOWN. */
  inspect(name: string): Promise<NetworkReport> { return this.#ask('inspect', { name }) }

  /** Resolves when the thread is gone. Machines whose cards are plugged in lose their networks. */
  close(): Promise<void> { return this.#closing ??= this.#close() }

  async #close(): Promise<void> {
    const timer = setTimeout(() => void this.#worker.terminate(), CLOSE_TIMEOUT_MS)
    await this.#ask('close', {}).catch(() => {})
    await this.#worker.terminate()
    await this.#ended
    clearTimeout(timer)
  }

  #ask<Kind extends RequestKind>(kind: Kind, body: RequestBody<Kind>): Promise<NetworkRequests[Kind]['answer']> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure)
    const id = this.#next++
    const answer = new Promise<NetworkRequests[Kind]['answer']>((resolve, reject) => {
      this.#waiting.set(id, { resolve: resolve as Waiting['resolve'], reject })
    })
    this.#worker.postMessage({ id, kind, ...body }, [])
    return answer
  }

  #receive(message: NetworkMessage): void {
    if (message.kind === 'notice') return this.#onNotice(hostError('NETWORK_NOTICE', message.message))
    const waiting = this.#waiting.get(message.id)
    this.#waiting.delete(message.id)
    if (message.kind === 'answer') waiting?.resolve(message.answer)
    else waiting?.reject(new TenonError(message.code, message.message))
  }

  #broke(reason: string): void {
    this.#failure = hostError('NETWORK_THREAD_FAILED',
      `the thread of the networks failed (${reason}): this is a fault of Tenon, please report it`)
    for (const { reject } of this.#waiting.values()) reject(this.#failure)
    this.#waiting.clear()
    if (this.#closing === undefined) this.#onNotice(this.#failure)
  }
}
