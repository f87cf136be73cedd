/** Builds a little-endian binary structure field by field, in order. Every method returns the writer. */
export class ByteWriter {
  readonly #bytes: number[] = []

  get length(): number { return this.#bytes.length }

  u8(value: number): this { this.#bytes.push(value & 0xff); return this }
  u16(value: number): this { return this.u8(value).u8(value >>> 8) }
  u32(value: number): this { return this.u16(value & 0xffff).u16(value >>> 16) }
  /** A number up to 2^53 - 1, or any 64-bit bigint. */
  u64(value: number | bigint): this {
    const bits = BigInt.asUintN(64, BigInt(value))
    return this.u32(Number(bits & 0xffffffffn)).u32(Number(bits >> 32n))
  }

  bytes(values: Iterable<number>): this {
    for (const value of values) this.u8(value)
    return this
  }

  /** Exactly `length` bytes of ASCII: cut, or padded with `padding` (default 0). */
  ascii(text: string, length = text.length, padding = 0): this {
    for (let index = 0; index < length; index++) this.u8(index < text.length ? asciiCode(text, index) : padding)
    return this
  }

  zeros(count: number): this {
    for (let index = 0; index < count; index++) this.u8(0)
    return this
  }

  toBytes(): Uint8Array { return Uint8Array.from(this.#bytes) }
}

/** What does not fit in ASCII becomes a question mark: these strings are for people. */
function asciiCode(text: string, index: number): number {
  const code = text.charCodeAt(index)
  return code >= 0x20 && code < 0x7f ? code : 0x3f
}

/** The byte that makes the sum of all bytes zero modulo 256, as ACPI and SMBIOS define their checksums. */
export function checksum(bytes: Uint8Array): number {
  let sum = 0
  for (const byte of bytes) sum += byte
  return -sum & 0xff
}
