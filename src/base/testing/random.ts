/** A seeded generator for tests: Marsaglia's xorshift32 ("Xorshift RNGs", 2003). The same seed gives the same run everywhere. */
export class Random {
  private state: number

  constructor(seed: number) { this.state = seed >>> 0 || 1 }

  u32(): number {
    let x = this.state
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    this.state = x >>> 0
    return this.state
  }

  below(limit: number): number { return this.u32() % limit }

  pick<Item>(items: readonly Item[]): Item { return items[this.below(items.length)] }

  /** `length` bytes. They repeat nowhere near each other, so that a misplaced one is seen. */
  bytes(length: number): Uint8Array {
    const bytes = new Uint8Array(length)
    const words = new Uint32Array(bytes.buffer, 0, length >>> 2)
    for (let at = 0; at < words.length; at++) words[at] = this.u32()
    for (let at = words.length * 4; at < length; at++) bytes[at] = this.u32()
    return bytes
  }

  /** A value that is often a corner case: zero, all ones, one bit, a small number. */
  value(): number {
    switch (this.below(6)) {
      case 0: return 0
      case 1: return 0xffffffff
      case 2: return (1 << this.below(32)) >>> 0
      case 3: return this.below(256)
      default: return this.u32()
    }
  }
}
