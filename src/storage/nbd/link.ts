import { TenonError } from '../../base/errors.ts'
import { storageError } from '../errors.ts'
import type { ByteStream, Timers } from './byte-stream.ts'
import { type NegotiatedExport, negotiateExport } from './client-handshake.ts'
import { type ClientCommand, type CommandResult, Connection, ConnectionLost } from './connection.ts'
import { MessageReader } from './message-reader.ts'

export interface NbdLinkOptions {
  /** For messages: the URI. */
  readonly name: string
  readonly exportName: string
  /** Makes a new connection. Rejects with a TenonError. */
  connect(): Promise<ByteStream>
  readonly timers: Timers
  /** Milliseconds until a server must have answered a handshake, or a command. */
  readonly timeout: number
  /** How often a lost connection is tried to be made again, and a command to be sent again. */
  readonly retries: number
}

/** Milliseconds before the first attempt to connect again; doubled with each further one, up to the second. */
const FIRST_DELAY = 100
const LONGEST_DELAY = 5000

/**
 * A connection to an export that is made again when it is lost, with what was in flight sent again: every command may be repeated.
 *
 * What it cannot know: whether a server that is back still has what it had not flushed, and whether a command of a lost connection is
 * still on its way to the disk. That is so for every NBD client that reconnects.
 */
export class NbdLink {
  readonly export: NegotiatedExport
  private readonly options: NbdLinkOptions
  private connection: Connection
  private reconnecting: Promise<Connection> | null = null
  private isClosed = false

  private constructor(options: NbdLinkOptions, connection: Connection) {
    this.options = options
    this.connection = connection
    this.export = connection.export
  }

  /** Connects once, without further attempts. Rejects with a TenonError. */
  static async open(options: NbdLinkOptions): Promise<NbdLink> {
    return new NbdLink(options, await connectOnce(options))
  }

  /** Rejects with DISK_PEER_FAILED when the server breaks the protocol, or all attempts were in vain. */
  async send(command: ClientCommand): Promise<CommandResult> {
    for (let attempt = 0; ; attempt++) {
      try {
        return await (await this.ready()).send(command)
      } catch (lost) {
        if (lost instanceof ConnectionLost && !lost.violation && attempt < this.options.retries && !this.isClosed) continue
        if (!(lost instanceof ConnectionLost)) throw lost
        throw storageError('DISK_PEER_FAILED', `${this.options.name}: ${lost.message}; see to the server, then try again`, lost)
      }
    }
  }

  /** A connection that is lost from here on is not made again. */
  async close(): Promise<void> {
    this.isClosed = true
    await this.connection.disconnect()
  }

  private async ready(): Promise<Connection> {
    if (!this.connection.isLost || this.isClosed) return this.connection
    this.reconnecting ??= this.reconnect().finally(() => { this.reconnecting = null })
    return this.reconnecting
  }

  private async reconnect(): Promise<Connection> {
    for (let attempt = 1; ; attempt++) {
      try {
        return this.adopt(await connectOnce(this.options))
      } catch (error) {
        if (attempt >= this.options.retries || this.isClosed) throw error
      }
      await this.pause(Math.min(LONGEST_DELAY, FIRST_DELAY * 2 ** (attempt - 1)))
    }
  }

  /** A server that is back must still have the same disk. */
  private adopt(connection: Connection): Connection {
    const { size, flags, minimumBlock } = connection.export
    const before = this.export
    if (size !== before.size || flags !== before.flags || minimumBlock !== before.minimumBlock) {
      void connection.disconnect()
      throw storageError('DISK_PEER_FAILED', `${this.options.name} is another disk since the connection was lost: open it anew`)
    }
    this.connection = connection
    return connection
  }

  private pause(milliseconds: number): Promise<void> {
    return new Promise((resolve) => { this.options.timers.after(milliseconds, resolve) })
  }
}

async function connectOnce(options: NbdLinkOptions): Promise<Connection> {
  const { name, exportName, timers, timeout } = options
  const stream = await options.connect()
  const reader = new MessageReader(stream)
  const negotiated = await withinTime(stream, timers, timeout, name, negotiateExport(stream, reader, exportName))
  return new Connection(stream, reader, negotiated, timers, timeout)
}

/** Waits for a handshake; closes the stream if it fails or takes longer than `timeout` milliseconds. Rejects with a TenonError. */
export async function withinTime<Result>(
  stream: ByteStream, timers: Timers, timeout: number, name: string, handshake: Promise<Result>,
): Promise<Result> {
  let isLate = false
  const cancel = timers.after(timeout, () => {
    isLate = true
    stream.close()
  })
  try {
    return await handshake
  } catch (error) {
    stream.close()
    if (isLate) throw storageError('DISK_PEER_FAILED', `${name}: the server has not finished its handshake in ${timeout / 1000} s`, error)
    if (error instanceof TenonError) throw error
    throw storageError('DISK_PEER_FAILED', `${name}: the connection failed during the handshake`, error)
  } finally {
    cancel()
  }
}
