import { TenonError } from '../../base/errors.ts'
import type { BlockNode } from '../block-node.ts'
import { type Buffers, isZero } from '../buffers.ts'
import { allocationOf } from './allocation.ts'
import type { ByteStream } from './byte-stream.ts'
import type { MessageReader } from './message-reader.ts'
import {
  Command, CommandFlag, DEFAULT_PAYLOAD_LIMIT, NbdError, REPLY_DONE, ReplyType, REQUEST_LENGTH, REQUEST_MAGIC, SIMPLE_REPLY_LENGTH,
  SIMPLE_REPLY_MAGIC, STRUCTURED_REPLY_LENGTH, STRUCTURED_REPLY_MAGIC,
} from './protocol.ts'
import { ALLOCATION_CONTEXT_ID, type ClientChoice, isReadOnly } from './server-handshake.ts'
import { Slots } from './slots.ts'
import { MessageFields, MessageWriter, ProtocolViolation } from './wire.ts'

interface Request {
  readonly type: number
  readonly flags: number
  readonly cookie: Uint8Array
  readonly offset: number
  readonly length: number
  /** Of a WRITE. */
  readonly payload: Uint8Array
}

/** Requests of one client that are worked on at a time. */
const DEPTH = 16
/** What a request costs beside its payload, in the bytes that a client may hold. */
const REQUEST_COST = 4096
const BYTES_IN_FLIGHT = DEFAULT_PAYLOAD_LIMIT + DEPTH * REQUEST_COST
/** Descriptors in one reply to BLOCK_STATUS. */
const DESCRIPTORS_LIMIT = 1024
const LOOKUPS_LIMIT = 16_384

const ALLOWED_FLAGS = new Map<number, number>([
  [Command.READ, CommandFlag.DF], [Command.WRITE, 0], [Command.DISC, 0], [Command.FLUSH, 0], [Command.TRIM, 0],
  [Command.WRITE_ZEROES, CommandFlag.NO_HOLE], [Command.BLOCK_STATUS, CommandFlag.REQ_ONE],
])
const WRITING: readonly number[] = [Command.WRITE, Command.TRIM, Command.WRITE_ZEROES]

/** The transmission phase with one client: requests are worked on beside each other and answered as they are done. */
export class ServerSession {
  private readonly stream: ByteStream
  private readonly reader: MessageReader
  private readonly choice: ClientChoice
  private readonly node: BlockNode
  private readonly requests = new Slots(DEPTH)
  private readonly bytes = new Slots(BYTES_IN_FLIGHT)
  private readonly output = new Slots(1)

  constructor(stream: ByteStream, reader: MessageReader, choice: ClientChoice) {
    this.stream = stream
    this.reader = reader
    this.choice = choice
    this.node = choice.exported.node
  }

  /** Resolves when the client leaves, rejects when it breaks the protocol or the connection; all its requests have ended then. */
  async run(): Promise<void> {
    try {
      while (await this.next());
    } finally {
      await this.requests.take(DEPTH)
    }
  }

  /** Starts the next request. False: the client leaves. */
  private async next(): Promise<boolean> {
    await this.requests.take()
    let cost = 0
    try {
      const header = await this.reader.takeUnlessEnded(REQUEST_LENGTH)
      if (header === null) return this.leave()
      const { type, length, ...rest } = readHeader(header, this.stream.peer)
      if (type === Command.DISC) return this.leave()
      cost = await this.reserve(type, length)
      const payload = type === Command.WRITE ? new Uint8Array(length) : NOTHING
      await this.reader.readInto(payload)
      void this.carryOut({ type, length, payload, ...rest }, cost)
      return true
    } catch (error) {
      this.release(cost)
      throw error
    }
  }

  private leave(): false {
    this.release(0)
    return false
  }

  private async reserve(type: number, length: number): Promise<number> {
    const hasPayload = type === Command.WRITE || type === Command.READ
    // What is too long to be read is refused later; what is too long to be taken in ends the connection.
    if (type === Command.WRITE && length > DEFAULT_PAYLOAD_LIMIT) throw new ProtocolViolation(`${this.stream.peer} sends a write of ${length} bytes`)
    const cost = REQUEST_COST + (hasPayload ? Math.min(length, DEFAULT_PAYLOAD_LIMIT) : 0)
    await this.bytes.take(cost)
    return cost
  }

  private release(cost: number): void {
    this.bytes.give(cost)
    this.requests.give()
  }

  /** Never rejects: a client that takes no answers is gone, which `next` sees as well. */
  private async carryOut(request: Request, cost: number): Promise<void> {
    try {
      await this.answer(request, this.refusal(request))
    } catch {
      this.stream.close()
    } finally {
      this.release(cost)
    }
  }

  private async answer(request: Request, refusal: number): Promise<void> {
    if (refusal !== 0) return this.fail(request, refusal)
    let chunk: Chunk
    try {
      chunk = await this.perform(request)
    } catch (error) {
      return this.fail(request, errorNumber(error))
    }
    await this.succeed(request, chunk)
  }

  /** NbdError, or 0 for a request that can be tried. */
  private refusal({ type, flags, offset, length }: Request): number {
    const allowed = ALLOWED_FLAGS.get(type)
    if (allowed === undefined || (flags & ~(allowed | CommandFlag.FUA)) !== 0) return NbdError.EINVAL
    if (type === Command.FLUSH) return 0
    const isWriting = WRITING.includes(type)
    if (isWriting && isReadOnly(this.node, this.choice.exported.readOnly)) return NbdError.EPERM
    if (type === Command.READ && length > DEFAULT_PAYLOAD_LIMIT) return NbdError.EOVERFLOW
    if (type === Command.BLOCK_STATUS && (!this.choice.allocationContext || length === 0)) return NbdError.EINVAL
    if (offset + length > this.node.size) return isWriting ? NbdError.ENOSPC : NbdError.EINVAL
    return 0
  }

  private async perform(request: Request): Promise<Chunk> {
    const { type, flags, offset, length } = request
    if (type === Command.READ) return this.read(request)
    if (type === Command.BLOCK_STATUS) return this.blockStatus(request)
    if (type === Command.WRITE) await this.node.write(offset, [request.payload])
    else if (type === Command.TRIM) await this.node.discard(offset, length)
    else if (type === Command.WRITE_ZEROES) await this.node.writeZeroes(offset, length, (flags & CommandFlag.NO_HOLE) === 0)
    if (type === Command.FLUSH || WRITING.includes(type) && (flags & CommandFlag.FUA) !== 0) await this.node.flush()
    return { type: ReplyType.NONE, payload: [] }
  }

  private async read({ offset, length, flags }: Request): Promise<Chunk> {
    if (length === 0) return { type: ReplyType.NONE, payload: [] }
    const data = new Uint8Array(length)
    await this.node.read(offset, [data])
    if (!this.choice.structuredReplies) return { type: ReplyType.OFFSET_DATA, payload: [data] }
    if ((flags & CommandFlag.DF) === 0 && isZero(data)) {
      return { type: ReplyType.OFFSET_HOLE, payload: [new MessageWriter(12).u64(offset).u32(length).bytes] }
    }
    return { type: ReplyType.OFFSET_DATA, payload: [new MessageWriter(8).u64(offset).bytes, data] }
  }

  private async blockStatus({ offset, length, flags }: Request): Promise<Chunk> {
    const limit = (flags & CommandFlag.REQ_ONE) === 0 ? DESCRIPTORS_LIMIT : 1
    const descriptors: { length: number, state: number }[] = []
    for (let at = 0, steps = 0; at < length && steps < LOOKUPS_LIMIT; steps++) {
      const { state, length: known } = await allocationOf(this.node, offset + at, length - at)
      const last = descriptors.at(-1)
      if (last?.state !== state && descriptors.length === limit) break
      if (last?.state === state) last.length += known
      else descriptors.push({ length: known, state })
      at += known
    }
    const payload = new MessageWriter(4 + descriptors.length * 8).u32(ALLOCATION_CONTEXT_ID)
    for (const { length, state } of descriptors) payload.u32(length).u32(state)
    return { type: ReplyType.BLOCK_STATUS, payload: [payload.bytes] }
  }

  private succeed(request: Request, { type, payload }: Chunk): Promise<void> {
    return this.choice.structuredReplies ? this.sendChunk(request, type, payload) : this.sendSimple(request, 0, payload)
  }

  private fail(request: Request, error: number): Promise<void> {
    if (!this.choice.structuredReplies) return this.sendSimple(request, error, [])
    return this.sendChunk(request, ReplyType.ERROR, [new MessageWriter(6).u32(error).u16(0).bytes])
  }

  private sendSimple({ cookie }: Request, error: number, payload: Buffers): Promise<void> {
    return this.send([new MessageWriter(SIMPLE_REPLY_LENGTH).u32(SIMPLE_REPLY_MAGIC).u32(error).raw(cookie).bytes, ...payload])
  }

  private sendChunk({ cookie }: Request, type: number, payload: Buffers): Promise<void> {
    const length = payload.reduce((sum, piece) => sum + piece.length, 0)
    const header = new MessageWriter(STRUCTURED_REPLY_LENGTH).u32(STRUCTURED_REPLY_MAGIC).u16(REPLY_DONE).u16(type).raw(cookie).u32(length)
    return this.send([header.bytes, ...payload])
  }

  private async send(pieces: Buffers): Promise<void> {
    await this.output.take()
    try {
      await this.stream.write(pieces)
    } finally {
      this.output.give()
    }
  }
}

const NOTHING = new Uint8Array(0)

interface Chunk {
  /** ReplyType. */
  readonly type: number
  readonly payload: Buffers
}

function readHeader(header: Uint8Array, peer: string): Omit<Request, 'payload'> {
  const fields = new MessageFields(header)
  if (fields.u32() !== REQUEST_MAGIC) throw new ProtocolViolation(`${peer} sends something that is no request`)
  return { flags: fields.u16(), type: fields.u16(), cookie: fields.raw(8).slice(), offset: fields.u64(), length: fields.u32() }
}

const ERROR_NUMBERS: Readonly<Record<string, number>> = {
  DISK_FULL: NbdError.ENOSPC, DISK_READ_ONLY: NbdError.EPERM, DISK_OUT_OF_RANGE: NbdError.EINVAL, DISK_UNSUPPORTED: NbdError.ENOTSUP,
  DISK_CLOSED: NbdError.ESHUTDOWN,
}

/** Messages of ours may name the host's files, which are none of a client's business: it gets the number only. */
function errorNumber(error: unknown): number {
  return error instanceof TenonError ? ERROR_NUMBERS[error.code] ?? NbdError.EIO : NbdError.EIO
}
