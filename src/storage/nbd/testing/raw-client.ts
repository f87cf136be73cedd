import { encodeUtf8 } from '../../../base/utf8.ts'
import type { ByteStream } from '../byte-stream.ts'
import { ClientOptions } from '../client-options.ts'
import { MessageReader } from '../message-reader.ts'
import { Option, REQUEST_MAGIC, SIMPLE_REPLY_MAGIC } from '../protocol.ts'
import type { NbdServer, ServedClient } from '../server.ts'
import { MessageFields, MessageWriter } from '../wire.ts'
import { streamPair } from './streams.ts'

/** A client that says what the test wants it to. */
export class RawClient {
  readonly stream: ByteStream
  readonly reader: MessageReader
  readonly served: Promise<ServedClient>

  constructor(server: NbdServer) {
    const [near, far] = streamPair()
    this.stream = near
    this.reader = new MessageReader(near)
    this.served = server.serve(far)
  }

  /** Through the handshake, with or without structured replies. */
  async enter(isStructured = false): Promise<this> {
    const options = await ClientOptions.begin(this.stream, this.reader)
    if (isStructured) await options.ask(Option.STRUCTURED_REPLY, new Uint8Array(0))
    if (isStructured) await options.ask(Option.SET_META_CONTEXT, query('disk', 'base:allocation'), 9)
    if (await options.ask(Option.GO, goFor('disk'), 9) !== null) throw new Error('the server has refused its export')
    return this
  }

  async send(type: number, flags: number, offset: number, length: number, payload: Uint8Array = new Uint8Array(0)): Promise<void> {
    const header = new MessageWriter(28).u32(REQUEST_MAGIC).u16(flags).u16(type).u64(77).u64(offset).u32(length)
    await this.stream.write([header.bytes, payload])
  }

  /** The error of a simple reply. */
  async request(type: number, flags: number, offset: number, length: number, payload?: Uint8Array): Promise<number> {
    await this.send(type, flags, offset, length, payload)
    const fields = new MessageFields(await this.reader.take(16))
    const [magic, error, cookie] = [fields.u32(), fields.u32(), fields.u64()]
    if (magic !== SIMPLE_REPLY_MAGIC || cookie !== 77) throw new Error('the server has sent another reply than was expected')
    return error
  }

  /** Type and payload of a structured reply of one chunk. */
  async structured(type: number, flags: number, offset: number, length: number): Promise<{ type: number, payload: Uint8Array }> {
    await this.send(type, flags, offset, length)
    const fields = new MessageFields((await this.reader.take(20)).subarray(6))
    const [replyType] = [fields.u16(), fields.u64()]
    return { type: replyType, payload: await this.reader.take(fields.u32()) }
  }
}

export const goFor = (name: string) => {
  const bytes = encodeUtf8(name)
  return new MessageWriter(6 + bytes.length).string(bytes).u16(0).bytes
}

export const query = (name: string, ...contexts: string[]) => {
  const strings = contexts.map(encodeUtf8)
  const message = new MessageWriter(8 + name.length + strings.reduce((sum, each) => sum + 4 + each.length, 0))
  message.string(encodeUtf8(name)).u32(strings.length)
  strings.forEach(each => message.string(each))
  return message.bytes
}
