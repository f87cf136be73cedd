import { decodeUtf8 } from '../../base/utf8.ts'
import { byteLength, fillZeroes, sliceBuffers } from '../buffers.ts'
import type { NegotiatedExport } from './client-handshake.ts'
import type { ClientCommand, CommandResult } from './connection.ts'
import type { MessageReader } from './message-reader.ts'
import { printable } from './printable.ts'
import { Command, NbdError, REPLY_DONE, ReplyType } from './protocol.ts'
import { MessageFields, ProtocolViolation } from './wire.ts'

/** Bytes of a chunk that is not data: a message and some numbers. */
const CHUNK_LIMIT = 64 << 10
/** Pieces that lie apart, in one reply to a READ: a server that sends more of them is up to no good. */
const GAPS_LIMIT = 1024

/** A server's answer to one command, taken from the stream chunk by chunk. Everything that breaks the protocol is a ProtocolViolation. */
export class Reply {
  private readonly command: ClientCommand
  private readonly negotiated: NegotiatedExport
  private readonly coverage = new Coverage()
  private error = 0
  private message = ''
  private status: { readonly length: number, readonly flags: number } | null = null

  constructor(command: ClientCommand, negotiated: NegotiatedExport) {
    this.command = command
    this.negotiated = negotiated
  }

  /** For a reply that has come whole. */
  result(): CommandResult { return { error: this.error, message: this.message, status: this.status } }

  /** Takes the rest of a simple reply. */
  async simple(error: number, reader: MessageReader): Promise<void> {
    const { type, buffers } = this.command
    this.error = error
    if (error !== 0) return
    if (type === Command.BLOCK_STATUS || type === Command.READ && this.negotiated.structuredReplies) {
      throw new ProtocolViolation('a simple reply where only a structured one will do')
    }
    if (type === Command.READ) for (const buffer of buffers) await reader.readInto(buffer)
  }

  /** Takes the payload of a chunk. Returns whether it was the last one. */
  async chunk(flags: number, type: number, length: number, reader: MessageReader): Promise<boolean> {
    const isDone = (flags & REPLY_DONE) !== 0
    if (type === ReplyType.OFFSET_DATA) await this.data(length, reader)
    else if (length > CHUNK_LIMIT) throw new ProtocolViolation(`a chunk of ${length} bytes that is not data`)
    else this.smallChunk(type, isDone, length, new MessageFields(await reader.take(length)))
    if (isDone) this.checkWhole()
    return isDone
  }

  private smallChunk(type: number, isDone: boolean, length: number, payload: MessageFields): void {
    if ((type & ReplyType.ERROR_BIT) !== 0) this.failure(payload)
    else if (type === ReplyType.OFFSET_HOLE && length === 12) this.hole(payload)
    else if (type === ReplyType.BLOCK_STATUS) this.blockStatus(length, payload)
    else if (type !== ReplyType.NONE || length !== 0 || !isDone) throw new ProtocolViolation(`a chunk of type ${type} and ${length} bytes`)
  }

  private async data(length: number, reader: MessageReader): Promise<void> {
    if (length <= 8) throw new ProtocolViolation('a chunk of data without data')
    const start = this.cover(new MessageFields(await reader.take(8)).u64(), length - 8)
    for (const buffer of sliceBuffers(this.command.buffers, start, length - 8)) await reader.readInto(buffer)
  }

  private hole(payload: MessageFields): void {
    const [offset, length] = [payload.u64(), payload.u32()]
    fillZeroes(sliceBuffers(this.command.buffers, this.cover(offset, length), length))
  }

  /** Notes that a range of the disk was answered. Returns where it starts in the command's buffers. */
  private cover(offset: number, length: number): number {
    const start = offset - this.command.offset
    if (this.command.type !== Command.READ || length === 0 || start < 0 || start + length > this.command.length) {
      throw new ProtocolViolation(`${length} bytes at ${offset} that were not asked for`)
    }
    this.coverage.add(start, start + length)
    return start
  }

  private blockStatus(length: number, payload: MessageFields): void {
    const isAsked = this.command.type === Command.BLOCK_STATUS && this.status === null
    if (!isAsked || length < 12 || (length - 4) % 8 !== 0 || payload.u32() !== this.negotiated.allocationContext) {
      throw new ProtocolViolation('a block status that was not asked for')
    }
    this.status = { length: payload.u32(), flags: payload.u32() }
    if (this.status.length === 0) throw new ProtocolViolation('a block status of no bytes')
  }

  private failure(payload: MessageFields): void {
    const error = payload.u32()
    const message = printable(decodeUtf8(payload.raw(payload.u16()).subarray(0, 200)))
    if (this.error !== 0) return
    this.error = error === 0 ? NbdError.EIO : error
    this.message = message
  }

  /** A success is one only when everything that was asked for has come. */
  private checkWhole(): void {
    if (this.error !== 0) return
    const { type, buffers } = this.command
    if (type === Command.READ && this.coverage.total !== byteLength(buffers)) throw new ProtocolViolation('a reply that lacks some of the data')
    if (type === Command.BLOCK_STATUS && this.status === null) throw new ProtocolViolation('a reply that lacks the block status')
  }
}

/** Which parts of a range have come: sorted, apart from each other. */
class Coverage {
  total = 0
  private readonly parts: { start: number, end: number }[] = []

  add(start: number, end: number): void {
    const after = this.parts.findIndex(part => part.end >= start)
    const at = after < 0 ? this.parts.length : after
    const touched = this.parts.slice(at).findIndex(part => part.start > end)
    const merged = this.parts.slice(at, touched < 0 ? undefined : at + touched)
    if (merged.some(part => part.start < end && start < part.end)) throw new ProtocolViolation('the same data twice')
    this.parts.splice(at, merged.length, {
      start: Math.min(start, ...merged.map(part => part.start)), end: Math.max(end, ...merged.map(part => part.end)),
    })
    if (this.parts.length > GAPS_LIMIT) throw new ProtocolViolation('data in too many pieces')
    this.total += end - start
  }
}
