import { request as httpRequest } from 'node:http'
import type { IncomingMessage } from 'node:http'
import { connect } from 'node:net'
import { TenonError } from '../../base/errors.ts'
import type { AgentArguments, AgentCaller, AgentCommandName, AgentReply, CallOptions } from '../../host/agent/commands.ts'
import type { SnapshotReport } from '../../host/disks/disk-snapshots.ts'
import { hostError } from '../../host/errors.ts'
import type { TakenSnapshot } from '../../host/guests/guest-snapshots.ts'
import type { NetworkReport } from '../../host/network/network-order.ts'
import type { AgentRequest, ErrorBody, GuestView, HostView, NewSnapshotRequest, StartRequest, StopRequest, StopView } from './schema.ts'

/** What connecting says where nobody listens. */
const NOBODY = new Set(['ENOENT', 'ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ENOTSOCK'])
const ANSWER_MS = 15_000

/** A guest's agent, at the other end of a connection. */
export interface RemoteAgent extends AgentCaller {
  call<Name extends AgentCommandName>(
    name: Name, takes: AgentArguments<Name>, options?: CallOptions & { readonly waitMs?: number },
  ): Promise<AgentReply<Name>>
}

/** A background process as its clients see it. Every call throws the TenonErrors that the process answers with. */
export class HostClient {
  readonly #socket: string
  readonly view: HostView

  private constructor(socket: string, view: HostView) {
    this.#socket = socket
    this.view = view
  }

  /** Undefined if no process listens there. Throws TenonError HOST_PROCESS_FAILED if one does and does not answer. */
  static async connect(socket: string): Promise<HostClient | undefined> {
    try {
      return new HostClient(socket, await call<HostView>(socket, 'GET', '/v1/host', undefined, AbortSignal.timeout(ANSWER_MS)))
    } catch (error) {
      if (NOBODY.has((error as NodeJS.ErrnoException).code ?? '')) return undefined
      if (error instanceof TenonError) throw error
      throw hostError('HOST_PROCESS_FAILED', `the background process at ${socket} does not answer: end it, and its guests, by hand`, error)
    }
  }

  async guests(): Promise<readonly GuestView[]> { return (await this.#call<{ guests: GuestView[] }>('GET', '/v1/guests')).guests }

  guest(name: string): Promise<GuestView> { return this.#call('GET', `/v1/guests/${name}`) }

  start(name: string, request: StartRequest = {}): Promise<GuestView> { return this.#call('POST', `/v1/guests/${name}/start`, request) }

  async suspend(name: string): Promise<void> { await this.#call('POST', `/v1/guests/${name}/suspend`) }

  stop(name: string, request: StopRequest = {}): Promise<StopView> { return this.#call('POST', `/v1/guests/${name}/stop`, request) }

  async remove(name: string): Promise<void> { await this.#call('DELETE', `/v1/guests/${name}`) }

  /** Snapshots of a guest's disks. */
  snapshots(name: string): Promise<SnapshotReport> { return this.#call('GET', `/v1/guests/${name}/snapshots`) }

  takeSnapshot(name: string, snapshot: string): Promise<TakenSnapshot> {
    return this.#call('POST', `/v1/guests/${name}/snapshots`, { name: snapshot } satisfies NewSnapshotRequest)
  }

  deleteSnapshot(name: string, snapshot: string): Promise<SnapshotReport> {
    return this.#call('DELETE', `/v1/guests/${name}/snapshots/${encodeURIComponent(snapshot)}`)
  }

  /** The agent in a guest. With `waitMs` a call waits so long for one to start. */
  agent(name: string): RemoteAgent {
    return {
      call: async (execute, takes, options = {}) => {
        const request: AgentRequest = { execute, arguments: takes as Record<string, unknown>, ...options }
        return (await this.#call<{ return: never }>('POST', `/v1/guests/${name}/agent`, request)).return
      },
    }
  }

  async networks(): Promise<readonly NetworkReport[]> { return (await this.#call<{ networks: NetworkReport[] }>('GET', '/v1/networks')).networks }

  /** A connection for a WebSocket, or anything else that begins as HTTP. */
  stream(): ReturnType<typeof connect> { return connect(this.#socket) }

  async #call<T>(method: string, path: string, body?: unknown): Promise<T> {
    try {
      return await call<T>(this.#socket, method, path, body)
    } catch (error) {
      if (error instanceof TenonError) throw error
      const { domain, process: number } = this.view
      throw hostError('HOST_PROCESS_FAILED', `the background process of the domain ${domain} (process ${number}) ended before it answered`, error)
    }
  }
}

async function call<T>(socketPath: string, method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const headers = body === undefined ? {} : { 'content-type': 'application/json' }
    httpRequest({ socketPath, method, path, headers, signal, agent: false }, resolve)
      .on('error', reject).end(body === undefined ? undefined : JSON.stringify(body))
  })
  const chunks: Buffer[] = []
  for await (const chunk of response) chunks.push(chunk as Buffer)
  const answer = JSON.parse(Buffer.concat(chunks).toString()) as T & Partial<ErrorBody>
  if ((response.statusCode ?? 500) < 400) return answer
  const { code = 'HOST_PROCESS_FAILED', message = `the background process answered ${response.statusCode}` } = answer.error ?? {}
  throw new TenonError(code, message)
}
