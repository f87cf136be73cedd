import { decodeUtf8, encodeUtf8 } from '../../base/utf8.ts'
import type { BlockNode } from '../block-node.ts'
import type { ByteStream } from './byte-stream.ts'
import type { MessageReader } from './message-reader.ts'
import {
  ALLOCATION_CONTEXT, DEFAULT_PAYLOAD_LIMIT, EXPORT_NAME_PADDING, HandshakeFlag, IHAVEOPT, Info, NBDMAGIC, Option,
  OPTION_HEADER_LENGTH, OPTION_REPLY_HEADER_LENGTH, OPTION_REPLY_MAGIC, OptionReply, STRING_LIMIT, TransmissionFlag,
} from './protocol.ts'
import type { NbdExport } from './server.ts'
import { MessageFields, MessageWriter, ProtocolViolation } from './wire.ts'

/** What a client has chosen for the transmission phase. */
export interface ClientChoice {
  readonly exported: NbdExport
  readonly structuredReplies: boolean
  readonly allocationContext: boolean
}

/** The number of base:allocation with us. */
export const ALLOCATION_CONTEXT_ID = 1
/** Bytes of one option: names and queries. Longer ones are refused, and far longer ones end the connection. */
const OPTION_LIMIT = 64 << 10
const SKIPPED_LIMIT = 1 << 20
/** Options of one client: nobody needs that many. */
const OPTIONS_LIMIT = 1000
const PREFERRED_BLOCK = 4096

/** The server's side of the handshake. Null: the client has left without choosing. Rejects when the client breaks the protocol. */
export async function acceptExport(
  stream: ByteStream, reader: MessageReader, exports: ReadonlyMap<string, NbdExport>,
): Promise<ClientChoice | null> {
  const ours = HandshakeFlag.FIXED_NEWSTYLE | HandshakeFlag.NO_ZEROES
  await stream.write([new MessageWriter(18).magic(NBDMAGIC).magic(IHAVEOPT).u16(ours).bytes])
  const greeting = await reader.takeUnlessEnded(4)
  if (greeting === null) return null
  const flags = new MessageFields(greeting).u32()
  if ((flags & ~ours) !== 0) throw new ProtocolViolation(`${stream.peer} has flags in its greeting that were not offered`)
  return new ServerHandshake(stream, reader, exports, (flags & HandshakeFlag.NO_ZEROES) === 0).run()
}

/** Transmission flags of an export. Clients share one node, so a flush of one covers the writes of all. */
export function transmissionFlags({ node, readOnly }: NbdExport, structuredReplies: boolean): number {
  const { HAS_FLAGS, READ_ONLY, SEND_FLUSH, SEND_FUA, SEND_TRIM, SEND_WRITE_ZEROES, SEND_DF, CAN_MULTI_CONN } = TransmissionFlag
  const always = HAS_FLAGS | SEND_FLUSH | SEND_FUA | CAN_MULTI_CONN | (structuredReplies ? SEND_DF : 0)
  return always | (isReadOnly(node, readOnly) ? READ_ONLY : SEND_TRIM | SEND_WRITE_ZEROES)
}

export function isReadOnly(node: BlockNode, readOnly: boolean | undefined): boolean { return node.readOnly || readOnly === true }

class ServerHandshake {
  private readonly stream: ByteStream
  private readonly reader: MessageReader
  private readonly exports: ReadonlyMap<string, NbdExport>
  private readonly hasPadding: boolean
  private structuredReplies = false
  /** The export for which base:allocation was chosen. */
  private allocationFor: string | null = null

  constructor(stream: ByteStream, reader: MessageReader, exports: ReadonlyMap<string, NbdExport>, hasPadding: boolean) {
    this.stream = stream
    this.reader = reader
    this.exports = exports
    this.hasPadding = hasPadding
  }

  async run(): Promise<ClientChoice | null> {
    for (let count = 0; count < OPTIONS_LIMIT; count++) {
      const header = await this.reader.takeUnlessEnded(OPTION_HEADER_LENGTH)
      if (header === null) return null
      const fields = new MessageFields(header)
      if (!fields.magic(IHAVEOPT)) throw new ProtocolViolation(`${this.stream.peer} sends something that is no option`)
      const outcome = await this.option(fields.u32(), fields.u32())
      if (outcome !== undefined) return outcome
    }
    throw new ProtocolViolation(`${this.stream.peer} has sent ${OPTIONS_LIMIT} options and chosen no export`)
  }

  /** Undefined: the handshake goes on. */
  private async option(option: number, length: number): Promise<ClientChoice | null | undefined> {
    if (length > OPTION_LIMIT) return this.tooLong(option, length)
    const data = new MessageFields(await this.reader.take(length))
    if (option === Option.EXPORT_NAME) return this.exportName(data)
    if (option === Option.ABORT) return this.abort()
    try {
      return await this.answered(option, data)
    } catch (error) {
      // The lengths in it contradict each other; the option as a whole was read.
      if (!(error instanceof ProtocolViolation)) throw error
      return this.reply(option, OptionReply.ERR_INVALID)
    }
  }

  private async answered(option: number, data: MessageFields): Promise<ClientChoice | undefined> {
    switch (option) {
      case Option.LIST: return this.list(data)
      case Option.INFO: case Option.GO: return this.info(option, data)
      case Option.STRUCTURED_REPLY: return this.agree(data)
      case Option.LIST_META_CONTEXT: case Option.SET_META_CONTEXT: return this.metaContext(option, data)
      default: return this.reply(option, OptionReply.ERR_UNSUP)
    }
  }

  private async tooLong(option: number, length: number): Promise<undefined> {
    if (length > SKIPPED_LIMIT || option === Option.EXPORT_NAME) throw new ProtocolViolation(`${this.stream.peer} sends an option of ${length} bytes`)
    await this.reader.skip(length)
    await this.reply(option, OptionReply.ERR_TOO_BIG)
  }

  private async abort(): Promise<null> {
    // Some clients do not wait for the answer.
    await this.reply(Option.ABORT, OptionReply.ACK).catch(() => {})
    return null
  }

  private async exportName(data: MessageFields): Promise<ClientChoice> {
    const name = decodeUtf8(data.rest())
    const exported = this.exports.get(name)
    if (exported === undefined) throw new ProtocolViolation(`${this.stream.peer} wants an export that there is not`)
    const flags = transmissionFlags(exported, this.structuredReplies)
    const answer = new MessageWriter(10 + (this.hasPadding ? EXPORT_NAME_PADDING : 0)).u64(exported.node.size).u16(flags)
    await this.stream.write([answer.bytes])
    return this.choice(exported)
  }

  private choice(exported: NbdExport): ClientChoice {
    return { exported, structuredReplies: this.structuredReplies, allocationContext: this.allocationFor === exported.name }
  }

  private async list(data: MessageFields): Promise<undefined> {
    if (data.left > 0) return this.reply(Option.LIST, OptionReply.ERR_INVALID)
    for (const { name, description } of this.exports.values()) {
      const [nameBytes, text] = [encodeUtf8(name), encodeUtf8(description ?? '').subarray(0, STRING_LIMIT)]
      await this.reply(Option.LIST, OptionReply.SERVER, new MessageWriter(4 + nameBytes.length + text.length).string(nameBytes).raw(text).bytes)
    }
    return this.reply(Option.LIST, OptionReply.ACK)
  }

  private async info(option: number, data: MessageFields): Promise<ClientChoice | undefined> {
    const name = decodeUtf8(data.string())
    const wanted = new Set(Array.from({ length: data.u16() }, () => data.u16()))
    const exported = this.exports.get(name)
    if (exported === undefined) return this.reply(option, OptionReply.ERR_UNKNOWN)
    await this.sendInfo(option, exported, wanted)
    await this.reply(option, OptionReply.ACK)
    return option === Option.GO ? this.choice(exported) : undefined
  }

  private async sendInfo(option: number, exported: NbdExport, wanted: ReadonlySet<number>): Promise<void> {
    const flags = transmissionFlags(exported, this.structuredReplies)
    const send = (info: MessageWriter) => this.reply(option, OptionReply.INFO, info.bytes)
    await send(new MessageWriter(12).u16(Info.EXPORT).u64(exported.node.size).u16(flags))
    await send(new MessageWriter(14).u16(Info.BLOCK_SIZE).u32(1).u32(PREFERRED_BLOCK).u32(DEFAULT_PAYLOAD_LIMIT))
    for (const [info, text] of [[Info.NAME, exported.name], [Info.DESCRIPTION, exported.description ?? '']] as const) {
      const bytes = encodeUtf8(text).subarray(0, STRING_LIMIT)
      if (wanted.has(info)) await send(new MessageWriter(2 + bytes.length).u16(info).raw(bytes))
    }
  }

  private async agree(data: MessageFields): Promise<undefined> {
    if (data.left > 0) return this.reply(Option.STRUCTURED_REPLY, OptionReply.ERR_INVALID)
    this.structuredReplies = true
    return this.reply(Option.STRUCTURED_REPLY, OptionReply.ACK)
  }

  private async metaContext(option: number, data: MessageFields): Promise<undefined> {
    const isSetting = option === Option.SET_META_CONTEXT
    if (isSetting) this.allocationFor = null
    const name = decodeUtf8(data.string())
    const count = data.u32()
    const queries: string[] = []
    while (queries.length < count) queries.push(decodeUtf8(data.string()))
    if (!this.structuredReplies || data.left > 0) return this.reply(option, OptionReply.ERR_INVALID)
    if (!this.exports.has(name)) return this.reply(option, OptionReply.ERR_UNKNOWN)
    const isWanted = queries.includes(ALLOCATION_CONTEXT) || !isSetting && (count === 0 || queries.includes('base:'))
    if (isWanted && isSetting) this.allocationFor = name
    if (isWanted) await this.sendContext(option, isSetting ? ALLOCATION_CONTEXT_ID : 0)
    return this.reply(option, OptionReply.ACK)
  }

  private sendContext(option: number, id: number): Promise<undefined> {
    const name = encodeUtf8(ALLOCATION_CONTEXT)
    return this.reply(option, OptionReply.META_CONTEXT, new MessageWriter(4 + name.length).u32(id).raw(name).bytes)
  }

  private async reply(option: number, type: number, data: Uint8Array = new Uint8Array(0)): Promise<undefined> {
    const header = new MessageWriter(OPTION_REPLY_HEADER_LENGTH).magic(OPTION_REPLY_MAGIC).u32(option).u32(type).u32(data.length)
    await this.stream.write([header.bytes, data])
  }
}
