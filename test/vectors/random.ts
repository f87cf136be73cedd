/**
 * The pseudo-random numbers behind the files: a 32-bit counter through a mixing function. The reader rebuilds states with it, so it
 * is part of the format and must not change.
 */
export class Random {
  private counter: number

  constructor(seed: number) {
    this.counter = mix(seed)
  }

  /** 0 to 2^32 - 1. */
  u32(): number {
    this.counter = (this.counter + 0x9e3779b9) | 0
    return mix(this.counter) >>> 0
  }

  u64(): bigint {
    return BigInt(this.u32()) << 32n | BigInt(this.u32())
  }

  /** 0 to `limit` - 1. */
  below(limit: number): number {
    return Math.floor(this.u32() / 0x100000000 * limit)
  }

  /** True once in `n` times. */
  oneIn(n: number): boolean {
    return this.below(n) === 0
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]
  }
}

/** Spreads every bit of a number over all 32 of the result. */
function mix(x: number): number {
  x = Math.imul(x ^ (x >>> 16), 0x21f0aaad)
  x = Math.imul(x ^ (x >>> 15), 0x735a2d97)
  return x ^ (x >>> 15)
}
