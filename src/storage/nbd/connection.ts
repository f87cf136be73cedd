import type { Buffers } from '../buffers.ts'
import type { ByteStream, Timers } from './byte-stream.ts'
import type { NegotiatedExport } from './client-handshake.ts'
import type { MessageReader } from './message-reader.ts'
import {
  Command, NbdError, REQUEST_LENGTH, REQUEST_MAGIC, SIMPLE_REPLY_LENGTH, SIMPLE_REPLY_MAGIC, STRUCTURED_REPLY_MAGIC,
} from './protocol.ts'
import { Reply } from './reply.ts'
import { MessageFields, MessageWriter, ProtocolViolation } from './wire.ts'

/** A command as a client sends it; `buffers` are read into or written from. */
export interface ClientCommand {
  /** Command. */
  readonly type: number
  /** CommandFlag. */
  readonly flags: number
  readonly offset: number
  readonly length: number
  readonly buffers: Buffers
}

/** What a server answered. */
export interface CommandResult {
  /** NbdError, 0 for success. */
  readonly error: number
  /** What the server says about the error, fit for a message; often nothing. */
  readonly message: string
  /** Answer to BLOCK_STATUS: the first descriptor. */
  readonly status: { readonly length: number, readonly flags: number } | null
}

/** The connection ended before a command was answered: it may be sent again over another. `violation`: it is the server's fault. */
export class ConnectionLost extends Error {
  readonly violation: boolean

  constructor(message: string, violation: boolean, cause?: unknown) {
    super(message, { cause })
    this.violation = violation
  }
}

interface InFlight {
  readonly reply: Reply
  readonly deadline: () => void
  resolve(result: CommandResult): void
  reject(lost: ConnectionLost): void
}

/**
 * The transmission phase as a client sees it: commands out, replies in whatever order they come. A command that is not answered in
 * time, or an answer that breaks the protocol, ends the connection, and with it every command in flight.
 */
export class Connection {
  readonly export: NegotiatedExport
  private readonly stream: ByteStream
  private readonly reader: MessageReader
  private readonly timers: Timers
  /** Milliseconds that a server has for a command. */
  private readonly timeout: number
  private readonly inFlight = new Map<number, InFlight>()
  private nextCookie = 1
  private outgoing: Uint8Array[] = []
  private isSending = false
  private sending: Promise<void> = Promise.resolve()
  private lost: ConnectionLost | null = null

  constructor(stream: ByteStream, reader: MessageReader, negotiated: NegotiatedExport, timers: Timers, timeout: number) {
    this.stream = stream
    this.reader = reader
    this.export = negotiated
    this.timers = timers
    this.timeout = timeout
    void this.receive()
  }

  get isLost(): boolean { return this.lost !== null }

  /** Rejects with ConnectionLost, and with nothing else. The buffers are left alone once this has settled. */
  send(command: ClientCommand): Promise<CommandResult> {
    if (this.lost !== null) return Promise.reject(this.lost)
    const cookie = this.nextCookie++
    const answered = new Promise<CommandResult>((resolve, reject) => {
      const deadline = this.timers.after(this.timeout, () => this.end(`has not answered for ${this.timeout / 1000} s`, false))
      this.inFlight.set(cookie, { reply: new Reply(command, this.export), deadline, resolve, reject })
    })
    this.enqueue(command, cookie)
    return answered
  }

  /** Says goodbye and hangs up. Nothing may be in flight that still matters. */
  async disconnect(): Promise<void> {
    if (this.lost !== null) return
    this.enqueue({ type: Command.DISC, flags: 0, offset: 0, length: 0, buffers: [] }, 0)
    const overdue = this.timers.after(this.timeout, () => this.stream.close())
    await this.sending
    overdue()
    this.end('was told goodbye', false)
  }

  private enqueue({ type, flags, offset, length, buffers }: ClientCommand, cookie: number): void {
    const header = new MessageWriter(REQUEST_LENGTH).u32(REQUEST_MAGIC).u16(flags).u16(type).u64(cookie).u64(offset).u32(length)
    this.outgoing.push(header.bytes)
    if (type === Command.WRITE) this.outgoing.push(...buffers)
    if (!this.isSending) this.sending = this.sendAll()
  }

  /** What is queued while the stream is busy goes out together afterwards. */
  private async sendAll(): Promise<void> {
    this.isSending = true
    try {
      while (this.outgoing.length > 0) await this.stream.write(this.outgoing.splice(0))
    } catch (cause) {
      this.end('takes nothing any more', false, cause)
    } finally {
      this.isSending = false
    }
  }

  private async receive(): Promise<void> {
    try {
      while (await this.receiveReply());
      this.end('has hung up', false)
    } catch (cause) {
      const isViolation = cause instanceof ProtocolViolation
      this.end(isViolation ? 'breaks the NBD protocol' : 'cannot be read from', isViolation, cause)
    }
  }

  /** False where the stream ends. */
  private async receiveReply(): Promise<boolean> {
    const header = await this.reader.takeUnlessEnded(SIMPLE_REPLY_LENGTH)
    if (header === null) return false
    const fields = new MessageFields(header)
    const magic = fields.u32()
    if (magic === SIMPLE_REPLY_MAGIC) await this.simpleReply(fields)
    else if (magic === STRUCTURED_REPLY_MAGIC && this.export.structuredReplies) await this.chunk(fields)
    else throw new ProtocolViolation('a reply without its magic number')
    return true
  }

  private async simpleReply(fields: MessageFields): Promise<void> {
    const error = fields.u32()
    const cookie = fields.u64()
    await this.replyOf(cookie).simple(error, this.reader)
    this.settle(cookie)
  }

  private async chunk(fields: MessageFields): Promise<void> {
    const [flags, type, cookie] = [fields.u16(), fields.u16(), fields.u64()]
    const length = new MessageFields(await this.reader.take(4)).u32()
    if (await this.replyOf(cookie).chunk(flags, type, length, this.reader)) this.settle(cookie)
  }

  private replyOf(cookie: number): Reply {
    const entry = this.inFlight.get(cookie)
    if (entry === undefined) throw new ProtocolViolation('a reply to a command that was not sent')
    return entry.reply
  }

  private settle(cookie: number): void {
    const entry = this.inFlight.get(cookie)
    if (entry === undefined) return
    const result = entry.reply.result()
    if (result.error === NbdError.ESHUTDOWN) {
      this.end('is shutting down', false)
      return
    }
    this.inFlight.delete(cookie)
    entry.deadline()
    entry.resolve(result)
  }

  private end(what: string, isViolation: boolean, cause?: unknown): void {
    if (this.lost !== null) return
    this.lost = new ConnectionLost(`${this.stream.peer} ${what}${cause instanceof Error ? `: ${cause.message}` : ''}`, isViolation, cause)
    this.reader.stop()
    this.stream.close()
    this.outgoing = []
    for (const entry of this.inFlight.values()) {
      entry.deadline()
      entry.reject(this.lost)
    }
    this.inFlight.clear()
  }
}
