import type { MessagePort } from 'node:worker_threads'
import { TenonError } from '../../base/errors.ts'
import type { PlainData } from '../../machine/lifecycle.ts'
import { hostError } from '../errors.ts'
import type { AttachedCards } from '../network/attached-cards.ts'
import type { ShareThread } from '../shares/share-thread.ts'
import { Bell } from './channel.ts'
import type { MachineChannel } from './channel.ts'
import type { ControlOrder, ControlProblem, ControlRequest } from './control-protocol.ts'
import type { MachineSnapshots } from './session.ts'

interface Waiting {
  resolve(): void
  reject(error: TenonError): void
}

/** Those who know of the guest what is not in its machine. */
interface SavedServers {
  readonly shares: ShareThread | undefined
  readonly cards: AttachedCards | undefined
}

/** The main thread's side of MachineControl. */
export class WorkerSnapshots implements MachineSnapshots {
  readonly #port: MessagePort
  readonly #channel: MachineChannel
  readonly #waiting = new Map<number, Waiting>()
  #last = 0
  readonly #servers: SavedServers
  #hasEnded = false

  constructor(port: MessagePort, channel: MachineChannel, servers: SavedServers) {
    this.#port = port
    this.#channel = channel
    this.#servers = servers
  }

  pause(): Promise<void> { return this.#ask({ kind: 'pause' }) }

  resume(): Promise<void> { return this.#ask({ kind: 'resume' }) }

  save(path: string): Promise<void> { return this.#ask({ kind: 'save', path }) }

  shares(): Promise<readonly PlainData[]> { return this.#servers.shares?.save() ?? Promise.resolve([]) }

  cards(): Promise<readonly PlainData[]> { return this.#servers.cards?.standings() ?? Promise.resolve([]) }

  answered(number: number, problem: ControlProblem | undefined): void {
    const waiting = this.#waiting.get(number)
    this.#waiting.delete(number)
    if (problem === undefined) waiting?.resolve()
    else waiting?.reject(new TenonError(problem.code, problem.message))
  }

  /** The machine has ended: what was asked and not answered never will be. */
  end(): void {
    this.#hasEnded = true
    this.#port.close()
    for (const { reject } of this.#waiting.values()) reject(ended())
    this.#waiting.clear()
  }

  #ask(request: ControlRequest): Promise<void> {
    if (this.#hasEnded) return Promise.reject(ended())
    const order: ControlOrder = { number: ++this.#last, request }
    return new Promise((resolve, reject) => {
      this.#waiting.set(order.number, { resolve, reject })
      this.#port.postMessage(order, [])
      this.#channel.ring(Bell.SNAPSHOT)
    })
  }
}

function ended(): TenonError { return hostError('MACHINE_ENDED', 'the virtual machine has ended: start it first') }
