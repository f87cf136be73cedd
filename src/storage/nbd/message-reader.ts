import { storageError } from '../errors.ts'
import type { ByteStream } from './byte-stream.ts'

/** Takes messages out of a stream: exactly so many bytes, whatever pieces they come in. */
export class MessageReader {
  private readonly stream: ByteStream
  private chunk: Uint8Array = new Uint8Array(0)
  private position = 0
  private stopped = false

  constructor(stream: ByteStream) { this.stream = stream }

  /** From now on reads reject and no buffer is written to, even by reads under way. */
  stop(): void { this.stopped = true }

  /** The next `length` bytes, which the caller bounds. Valid until they are changed by the caller. */
  async take(length: number): Promise<Uint8Array> {
    if (this.chunk.length - this.position >= length) return this.chunk.subarray(this.position, this.position += length)
    const bytes = new Uint8Array(length)
    await this.readInto(bytes)
    return bytes
  }

  /** As `take`, but null where the stream ends before the first byte: between messages, that is no fault. */
  async takeUnlessEnded(length: number): Promise<Uint8Array | null> {
    if (this.position === this.chunk.length && !await this.refill()) return null
    return this.take(length)
  }

  async readInto(into: Uint8Array): Promise<void> {
    for (let filled = 0; filled < into.length;) {
      if (this.position === this.chunk.length && !await this.refill()) throw endedEarly(this.stream)
      const taken = Math.min(into.length - filled, this.chunk.length - this.position)
      into.set(this.chunk.subarray(this.position, this.position + taken), filled)
      this.position += taken
      filled += taken
    }
  }

  async skip(length: number): Promise<void> {
    for (let left = length; left > 0;) {
      if (this.position === this.chunk.length && !await this.refill()) throw endedEarly(this.stream)
      const taken = Math.min(left, this.chunk.length - this.position)
      this.position += taken
      left -= taken
    }
  }

  /** False at the end of the stream. */
  private async refill(): Promise<boolean> {
    this.chunk = await this.stream.read()
    this.position = 0
    if (this.stopped) throw storageError('DISK_PEER_FAILED', `the connection to ${this.stream.peer} was given up`)
    return this.chunk.length > 0
  }
}

function endedEarly(stream: ByteStream): Error {
  return storageError('DISK_PEER_FAILED', `${stream.peer} has closed the connection in the middle of a message`)
}
