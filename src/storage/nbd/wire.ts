import { TenonError } from '../../base/errors.ts'
import type { StorageErrorCode } from '../errors.ts'

/** The peer has sent what the protocol does not allow. Another connection to it may do no better. */
export class ProtocolViolation extends TenonError<StorageErrorCode> {
  constructor(what: string) { super('DISK_PEER_FAILED', what) }
}

/** A message to send, filled from its start; numbers are big-endian. */
export class MessageWriter {
  readonly bytes: Uint8Array
  private readonly view: DataView
  private position = 0

  constructor(length: number) {
    this.bytes = new Uint8Array(length)
    this.view = new DataView(this.bytes.buffer)
  }

  u16(value: number): this {
    this.view.setUint16(this.position, value)
    this.position += 2
    return this
  }

  u32(value: number): this {
    this.view.setUint32(this.position, value)
    this.position += 4
    return this
  }

  /** A whole number below 2^53. */
  u64(value: number): this { return this.u32(Math.floor(value / 2 ** 32)).u32(value % 2 ** 32) }

  magic(halves: readonly [number, number]): this { return this.u32(halves[0]).u32(halves[1]) }

  raw(bytes: Uint8Array): this {
    this.bytes.set(bytes, this.position)
    this.position += bytes.length
    return this
  }

  /** Its length as 32 bits, then the bytes. */
  string(bytes: Uint8Array): this { return this.u32(bytes.length).raw(bytes) }
}

/** A message that came, read from its start. Reading past the end throws ProtocolViolation: its lengths contradict each other. */
export class MessageFields {
  private readonly bytes: Uint8Array
  private readonly view: DataView
  private position = 0

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  }

  get left(): number { return this.bytes.length - this.position }

  u16(): number { return this.view.getUint16(this.advance(2)) }

  u32(): number { return this.view.getUint32(this.advance(4)) }

  /** Exact up to 2^53; beyond, about right, and in any case above what is allowed anywhere. */
  u64(): number { return this.u32() * 2 ** 32 + this.u32() }

  /** Whether the next eight bytes are these halves. */
  magic(halves: readonly [number, number]): boolean {
    const high = this.u32()
    return high === halves[0] && this.u32() === halves[1]
  }

  raw(length: number): Uint8Array {
    const start = this.advance(length)
    return this.bytes.subarray(start, start + length)
  }

  /** Bytes after their length of 32 bits. */
  string(): Uint8Array { return this.raw(this.u32()) }

  rest(): Uint8Array { return this.raw(this.left) }

  private advance(length: number): number {
    if (length > this.left) throw new ProtocolViolation('a message is shorter than the lengths in it say')
    this.position += length
    return this.position - length
  }
}
