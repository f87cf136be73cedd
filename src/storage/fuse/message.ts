import { byteLength, gatherInto, sliceBuffers, type Buffers } from '../buffers.ts'
import { FuseError } from './errors.ts'
import { byteString, checkFileName, type ByteString } from './names.ts'
import { IN_HEADER_SIZE } from './protocol.ts'

/**
 * A request as it lies in the guest's memory. Header, arguments and names are copied once, before anything is looked at: the guest may
 * change its memory meanwhile. The data of a WRITE stays where it is.
 *
 * A field beyond the message's end reads as 0: what an operation takes at least is checked before it sees the message.
 */
const COPIED = 8192

export class FuseMessage {
  /** Bytes behind the header, names and data included, as the header says. */
  bodyLength = 0
  private readonly bytes = new Uint8Array(COPIED)
  private readonly view = new DataView(this.bytes.buffer)
  private segments: Buffers = []

  /** Takes the next message. False: its header cannot be right. */
  read(segments: Buffers): boolean {
    const total = byteLength(segments)
    const copied = Math.min(total, COPIED)
    gatherInto(this.bytes, sliceBuffers(segments, 0, copied))
    this.bytes.fill(0, copied)
    this.segments = segments
    const length = this.view.getUint32(0, true)
    this.bodyLength = length - IN_HEADER_SIZE
    return total >= IN_HEADER_SIZE && length >= IN_HEADER_SIZE && length <= total
  }

  get opcode(): number { return this.view.getUint32(4, true) }
  /** Names the request; the reply repeats it. */
  get unique(): bigint { return this.view.getBigUint64(8, true) }
  get node(): number { return this.number(16) }

  /** Fields of the body. */
  u32(offset: number): number { return offset + 4 <= this.bodyLength ? this.view.getUint32(IN_HEADER_SIZE + offset, true) : 0 }

  /** A 64-bit number: exact up to 2^53, and still too large above. */
  u64(offset: number): number { return offset + 8 <= this.bodyLength ? this.number(IN_HEADER_SIZE + offset) : 0 }

  /** Signed, exact up to 2^53. */
  i64(offset: number): number {
    return offset + 8 <= this.bodyLength ? Number(this.view.getBigInt64(IN_HEADER_SIZE + offset, true)) : 0
  }

  /** The name at this offset, up to its zero. @throws FuseError EINVAL, ENAMETOOLONG. */
  name(offset: number): ByteString { return checkFileName(this.text(offset, 0)) }

  /** The bytes up to the zero that is number `index` (0, 1) from `offset`. @throws FuseError EINVAL. */
  text(offset: number, index: number): ByteString {
    const end = Math.min(IN_HEADER_SIZE + this.bodyLength, COPIED)
    let start = IN_HEADER_SIZE + offset
    for (let skipped = 0; ; skipped++) {
      const zero = this.bytes.indexOf(0, start)
      if (zero < 0 || zero >= end) throw new FuseError('EINVAL')
      if (skipped === index) return byteString(this.bytes.subarray(start, zero))
      start = zero + 1
    }
  }

  /** What follows at `offset`, where it lies. @throws FuseError EINVAL if there is less. */
  data(offset: number, length: number): Buffers {
    if (offset + length > this.bodyLength) throw new FuseError('EINVAL')
    return sliceBuffers(this.segments, IN_HEADER_SIZE + offset, length)
  }

  private number(at: number): number { return this.view.getUint32(at + 4, true) * 2 ** 32 + this.view.getUint32(at, true) }
}

/** How long a body can be whose fields and names are all copied. */
export const LONGEST_BODY = COPIED - IN_HEADER_SIZE
