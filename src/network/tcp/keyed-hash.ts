/**
 * HalfSipHash-2-4: Aumasson and Bernstein, "SipHash: a fast short-input PRF" (2012), in its variant of 32-bit words. Without the key
 * nobody can find endpoints that fall into the same place of the flow table, or the next initial sequence number from the last.
 *
 * Input are 32-bit words: `start`, `add` for each, `finish`. Nothing is allocated.
 */
export class KeyedHash {
  private readonly key0: number
  private readonly key1: number
  private v0 = 0
  private v1 = 0
  private v2 = 0
  private v3 = 0
  private words = 0

  constructor(key0: number, key1: number) {
    this.key0 = key0 | 0
    this.key1 = key1 | 0
  }

  start(): void {
    this.v0 = this.key0
    this.v1 = this.key1
    this.v2 = 0x6c796765 ^ this.key0
    this.v3 = 0x74656462 ^ this.key1
    this.words = 0
  }

  add(word: number): void {
    this.words++
    this.v3 ^= word
    this.round()
    this.round()
    this.v0 ^= word
  }

  /** 32 bits, signed. */
  finish(): number {
    this.add((this.words * 4) << 24)
    this.v2 ^= 0xff
    for (let round = 0; round < 4; round++) this.round()
    return this.v1 ^ this.v3
  }

  private round(): void {
    let { v0, v1, v2, v3 } = this
    v0 = (v0 + v1) | 0
    v1 = (v1 << 5 | v1 >>> 27) ^ v0
    v0 = v0 << 16 | v0 >>> 16
    v2 = (v2 + v3) | 0
    v3 = (v3 << 8 | v3 >>> 24) ^ v2
    v0 = (v0 + v3) | 0
    v3 = (v3 << 7 | v3 >>> 25) ^ v0
    v2 = (v2 + v1) | 0
    v1 = (v1 << 13 | v1 >>> 19) ^ v2
    v2 = v2 << 16 | v2 >>> 16
    this.v0 = v0
    this.v1 = v1
    this.v2 = v2
    this.v3 = v3
  }
}
