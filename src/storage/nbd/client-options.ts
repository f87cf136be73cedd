import { storageError } from '../errors.ts'
import type { ByteStream } from './byte-stream.ts'
import type { MessageReader } from './message-reader.ts'
import {
  HandshakeFlag, IHAVEOPT, NBDMAGIC, OLDSTYLE_MAGIC, OPTION_HEADER_LENGTH, OPTION_REPLY_HEADER_LENGTH, OPTION_REPLY_MAGIC, OptionReply,
} from './protocol.ts'
import { MessageFields, MessageWriter } from './wire.ts'

export interface Reply {
  /** OptionReply. */
  readonly type: number
  readonly data: MessageFields
}

/** Bytes of one reply: no server needs more to say. */
const REPLY_LIMIT = 64 << 10

/** Options of the newstyle handshake, asked one after another by a client. */
export class ClientOptions {
  readonly stream: ByteStream
  readonly reader: MessageReader
  /** Whether the server answers options; if not, there is only EXPORT_NAME. */
  readonly isFixed: boolean
  /** Whether zeros follow the answer to EXPORT_NAME. */
  readonly hasPadding: boolean

  private constructor(stream: ByteStream, reader: MessageReader, flags: number) {
    this.stream = stream
    this.reader = reader
    this.isFixed = (flags & HandshakeFlag.FIXED_NEWSTYLE) !== 0
    this.hasPadding = (flags & HandshakeFlag.NO_ZEROES) === 0
  }

  /** Exchanges greetings. */
  static async begin(stream: ByteStream, reader: MessageReader): Promise<ClientOptions> {
    if (!new MessageFields(await reader.take(8)).magic(NBDMAGIC)) {
      throw storageError('DISK_PEER_FAILED', `${stream.peer} is no NBD server: it greets in another way`)
    }
    const style = await reader.take(8)
    if (new MessageFields(style).magic(OLDSTYLE_MAGIC)) {
      throw storageError('DISK_UNSUPPORTED', `${stream.peer} speaks NBD's oldstyle handshake: start it in newstyle, with a named export`)
    }
    if (!new MessageFields(style).magic(IHAVEOPT)) throw storageError('DISK_PEER_FAILED', `${stream.peer} does not greet as NBD servers do`)
    const flags = new MessageFields(await reader.take(2)).u16() & (HandshakeFlag.FIXED_NEWSTYLE | HandshakeFlag.NO_ZEROES)
    await stream.write([new MessageWriter(4).u32(flags).bytes])
    return new ClientOptions(stream, reader, flags)
  }

  async send(option: number, data: Uint8Array): Promise<void> {
    const header = new MessageWriter(OPTION_HEADER_LENGTH).magic(IHAVEOPT).u32(option).u32(data.length)
    await this.stream.write([header.bytes, data])
  }

  /** Sends an option and passes on its replies, up to `limit` of them. Returns null on ACK, else the reply that refuses. */
  async ask(option: number, data: Uint8Array, limit = 1, onReply: (reply: Reply) => void = () => {}): Promise<Reply | null> {
    await this.send(option, data)
    for (let count = 0; count <= limit; count++) {
      const reply = await this.reply(option)
      if (reply.type === OptionReply.ACK) return null
      if (reply.type >= OptionReply.ERROR) return reply
      onReply(reply)
    }
    throw storageError('DISK_PEER_FAILED', `${this.stream.peer} does not stop answering option ${option} of the NBD handshake`)
  }

  private async reply(option: number): Promise<Reply> {
    const header = new MessageFields(await this.reader.take(OPTION_REPLY_HEADER_LENGTH))
    const isReply = header.magic(OPTION_REPLY_MAGIC)
    const [answered, type, length] = [header.u32(), header.u32(), header.u32()]
    if (!isReply || answered !== option || length > REPLY_LIMIT) {
      throw storageError('DISK_PEER_FAILED', `${this.stream.peer} answers option ${option} of the NBD handshake with something else`)
    }
    return { type, data: new MessageFields(await this.reader.take(length)) }
  }
}
