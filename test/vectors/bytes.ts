/** A growing little-endian byte string. */
export class ByteWriter {
  private buffer = new Uint8Array(1 << 16)
  private view = new DataView(this.buffer.buffer)
  length = 0

  /** Makes room for `size` more bytes and returns where they begin. The buffer may be another one afterwards. */
  private reserve(size: number): number {
    const at = this.length
    this.length += size
    if (this.length > this.buffer.length) this.grow()
    return at
  }

  private grow(): void {
    const larger = new Uint8Array(Math.max(this.length, this.buffer.length * 2))
    larger.set(this.buffer)
    this.buffer = larger
    this.view = new DataView(larger.buffer)
  }

  u8(value: number): void {
    const at = this.reserve(1)
    this.buffer[at] = value
  }

  u16(value: number): void {
    const at = this.reserve(2)
    this.view.setUint16(at, value, true)
  }

  u32(value: number): void {
    const at = this.reserve(4)
    this.view.setUint32(at, value, true)
  }

  u64(value: bigint): void {
    const at = this.reserve(8)
    this.view.setBigUint64(at, value, true)
  }

  bytes(value: Uint8Array): void {
    const at = this.reserve(value.length)
    this.buffer.set(value, at)
  }

  finish(): Uint8Array { return this.buffer.subarray(0, this.length) }
}

/** Reads what ByteWriter wrote; throws RangeError past the end. */
export class ByteReader {
  at = 0
  private readonly buffer: Uint8Array
  private readonly view: DataView

  constructor(buffer: Uint8Array) {
    this.buffer = buffer
    this.view = new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength)
  }

  private skip(size: number): number {
    const at = this.at
    this.at += size
    if (this.at > this.buffer.length) throw new RangeError(`vector file ends at byte ${this.buffer.length}, inside a field`)
    return at
  }

  get ended(): boolean { return this.at === this.buffer.length }
  u8(): number { return this.buffer[this.skip(1)] }
  u16(): number { return this.view.getUint16(this.skip(2), true) }
  u32(): number { return this.view.getUint32(this.skip(4), true) }
  u64(): bigint { return this.view.getBigUint64(this.skip(8), true) }
  bytes(length: number): Uint8Array {
    const at = this.skip(length)
    return this.buffer.subarray(at, at + length)
  }
}
