/**
 * A server of block nodes over NBD. Protocol: protocol.ts.
 *
 * A client is hostile: what it may make the server hold is bounded (handshake in options and in time, payloads in flight in bytes), and
 * whatever it does ends with its connection. Left out: TLS, authentication. Who may connect is the listener's to decide.
 */
import { storageError } from '../errors.ts'
import type { BlockNode } from '../block-node.ts'
import type { ByteStream, Timers } from './byte-stream.ts'
import { MessageReader } from './message-reader.ts'
import { acceptExport } from './server-handshake.ts'
import { ServerSession } from './server-session.ts'

export interface NbdExport {
  /** At most 4,096 bytes of UTF-8; "" is the one that a client gets which names none. */
  readonly name: string
  readonly description?: string
  readonly node: BlockNode
  /** Clients may not write, even where the node can. */
  readonly readOnly?: boolean
}

export interface NbdServerOptions {
  readonly timers: Timers
  /** Milliseconds that a client has to choose an export; default 10,000. */
  readonly handshakeTimeout?: number
  /** Default 16. Each may hold 32 MiB of requests. */
  readonly maximumClients?: number
}

/** How a client's connection ended: `error` says why, if it was not the client's wish. */
export interface ServedClient {
  readonly peer: string
  readonly error: Error | null
}

export class NbdServer {
  private readonly exports = new Map<string, NbdExport>()
  private readonly options: Required<NbdServerOptions>
  private readonly clients = new Map<ByteStream, Client>()
  private isClosed = false

  constructor(options: NbdServerOptions) {
    this.options = { handshakeTimeout: 10_000, maximumClients: 16, ...options }
  }

  get clientCount(): number { return this.clients.size }

  /** The node stays the caller's; it must be open while it is exported. Throws DISK_IN_USE if there is an export of this name. */
  add(exported: NbdExport): void {
    if (this.exports.has(exported.name)) throw storageError('DISK_IN_USE', `there is an NBD export "${exported.name}" already: choose another name`)
    this.exports.set(exported.name, exported)
  }

  /** Ends the export and its clients' connections. Their requests under way have ended when this resolves. */
  async remove(name: string): Promise<void> {
    const exported = this.exports.get(name)
    this.exports.delete(name)
    const served = [...this.clients.values()].filter(client => exported !== undefined && client.exported === exported)
    await Promise.all(served.map(client => client.hangUp()))
  }

  /** Serves one client until it is gone, and closes the stream. Never rejects. */
  async serve(stream: ByteStream): Promise<ServedClient> {
    if (this.isClosed || this.clients.size >= this.options.maximumClients) {
      stream.close()
      return { peer: stream.peer, error: storageError('DISK_PEER_FAILED', `${stream.peer} was turned away: there are ${this.clients.size} clients`) }
    }
    const client = new Client(stream, this.exports, this.options)
    this.clients.set(stream, client)
    const error = await client.done
    this.clients.delete(stream)
    return { peer: stream.peer, error }
  }

  /** Ends all connections and takes no more. Requests under way have ended when this resolves; nodes stay open. */
  async close(): Promise<void> {
    this.isClosed = true
    await Promise.all([...this.clients.values()].map(client => client.hangUp()))
  }
}

class Client {
  /** Why the connection ended, null if the client wished it. Never rejects. */
  readonly done: Promise<Error | null>
  exported: NbdExport | null = null
  private readonly stream: ByteStream
  private readonly exports: ReadonlyMap<string, NbdExport>
  private readonly options: Required<NbdServerOptions>

  constructor(stream: ByteStream, exports: ReadonlyMap<string, NbdExport>, options: Required<NbdServerOptions>) {
    this.stream = stream
    this.exports = exports
    this.options = options
    this.done = this.run()
  }

  async hangUp(): Promise<void> {
    this.stream.close()
    await this.done
  }

  private async run(): Promise<Error | null> {
    const reader = new MessageReader(this.stream)
    try {
      const choice = await this.choose(reader)
      if (choice === null) return null
      this.exported = choice.exported
      await new ServerSession(this.stream, reader, choice).run()
      return null
    } catch (error) {
      return error instanceof Error ? error : storageError('DISK_PEER_FAILED', `${this.stream.peer}: ${String(error)}`)
    } finally {
      this.stream.close()
    }
  }

  private async choose(reader: MessageReader): ReturnType<typeof acceptExport> {
    const overdue = this.options.timers.after(this.options.handshakeTimeout, () => this.stream.close())
    try {
      return await acceptExport(this.stream, reader, this.exports)
    } finally {
      overdue()
    }
  }
}
