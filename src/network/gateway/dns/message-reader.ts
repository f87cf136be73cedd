/** DNS messages in a TCP stream: two bytes of length before each. RFC 1035 section 4.2.2. */
import { getU16, setU16 } from '../../packet/bytes.ts'

/** Takes messages out of a stream. Whoever pushes takes all that are whole, so that at most one and a half are held. */
export class MessageReader {
  private bytes = new Uint8Array(0)
  private length = 0

  push(bytes: Uint8Array): void {
    const length = this.length + bytes.length
    if (length > this.bytes.length) {
      const larger = new Uint8Array(Math.max(length, Math.min(this.bytes.length * 2, 0x10001)))
      larger.set(this.bytes.subarray(0, this.length))
      this.bytes = larger
    }
    this.bytes.set(bytes, this.length)
    this.length = length
  }

  take(): Uint8Array | undefined {
    const end = this.length < 2 ? Infinity : getU16(this.bytes, 0) + 2
    if (end > this.length) return undefined
    const message = this.bytes.slice(2, end)
    this.bytes.copyWithin(0, end, this.length)
    this.length -= end
    if (this.length === 0) this.bytes = new Uint8Array(0)
    return message
  }
}

/** A message behind its length. */
export function framed(message: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(message.length + 2)
  setU16(bytes, 0, message.length)
  bytes.set(message, 2)
  return bytes
}
