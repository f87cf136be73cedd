/** Classes of operand, as bits so that the classes of two operands can be tested together. */
export const Category = {
  ZERO: 1,
  FINITE: 2,
  INFINITY: 4,
  QUIET_NAN: 8,
  SIGNALLING_NAN: 16,
  /** Encodings that only the 80-bit format has: unnormals, pseudo-infinities, pseudo-NaNs (SDM Vol. 1 §8.2.2). */
  UNSUPPORTED: 32,
} as const

/** Above every category that is a number: `category > NUMBER` means NaN or unsupported. */
export const NUMBER = 7

/**
 * A floating-point number of any format, taken apart.
 *
 * FINITE: (-1)^sign × (hi:lo:extra as a fraction with 95 bits after the point) × 2^exponent, normalised so that bit 31 of `hi` is
 * set. `extra` holds bits below the 64 of the widest format; its bit 0 is sticky (set when anything below is lost). NaN: hi:lo is
 * the payload as in the 80-bit format. The words are signed 32-bit integers.
 */
export class FloatNumber {
  category: number = Category.ZERO
  sign = 0
  exponent = 0
  hi = 0
  lo = 0
  extra = 0
  /** It was encoded as a denormal (or pseudo-denormal). */
  denormal = false

  copy(from: FloatNumber): void {
    this.category = from.category
    this.sign = from.sign
    this.exponent = from.exponent
    this.hi = from.hi
    this.lo = from.lo
    this.extra = from.extra
    this.denormal = from.denormal
  }

  setZero(sign: number): void { this.set(Category.ZERO, sign, 0, 0, 0) }
  setInfinity(sign: number): void { this.set(Category.INFINITY, sign, 0, 0x80000000 | 0, 0) }
  /** The default NaN, "real indefinite": negative, quiet, with no payload. */
  setIndefinite(): void { this.set(Category.QUIET_NAN, 1, 0, 0xc0000000 | 0, 0) }

  set(category: number, sign: number, exponent: number, hi: number, lo: number): void {
    this.category = category
    this.sign = sign
    this.exponent = exponent
    this.hi = hi
    this.lo = lo
    this.extra = 0
    this.denormal = false
  }

  /** Sets a finite number from a positive BigInt scaled by 2^scale, keeping 95 bits and a sticky one. */
  setScaled(sign: number, value: bigint, scale: number): void {
    const bits = value.toString(16).length * 4
    const shift = bits - 95
    let top = value
    if (shift > 0) {
      top = value >> BigInt(shift)
      top = (top << 1n) | (top << BigInt(shift) === value ? 0n : 1n)
    } else {
      top = value << BigInt(1 - shift)
    }
    const word = (lowest: bigint): number => Number((top >> lowest) & 0xffffffffn) | 0
    this.set(Category.FINITE, sign, scale + bits - 1, word(64n), word(32n))
    this.extra = word(0n)
    normalise(this)
  }

  /** The 64-bit significand. */
  significand(): bigint { return (BigInt(this.hi >>> 0) << 32n) | BigInt(this.lo >>> 0) }
}

/** Compares two 64-bit unsigned magnitudes given as words. Negative, zero or positive. */
export function compareWords(aHi: number, aLo: number, bHi: number, bLo: number): number {
  return aHi === bHi ? (aLo >>> 0) - (bLo >>> 0) : (aHi >>> 0) - (bHi >>> 0)
}

/** Compares the magnitudes of two finite numbers. Negative, zero or positive. */
export function compareMagnitudes(a: FloatNumber, b: FloatNumber): number {
  return a.exponent !== b.exponent ? a.exponent - b.exponent : compareWords(a.hi, a.lo, b.hi, b.lo)
}

/** Shifts hi:lo:extra left until its top bit is set, adjusting the exponent. It must not be zero. */
export function normalise(n: FloatNumber): void {
  while (n.hi === 0) {
    n.hi = n.lo
    n.lo = n.extra
    n.extra = 0
    n.exponent -= 32
  }
  const shift = Math.clz32(n.hi)
  if (shift === 0) return
  n.hi = (n.hi << shift) | (n.lo >>> (32 - shift))
  n.lo = (n.lo << shift) | (n.extra >>> (32 - shift))
  n.extra <<= shift
  n.exponent -= shift
}

/** Shifts hi:lo:extra right by `count` bits (0 or more), collecting what falls off in the sticky bit. The exponent stays. */
export function shiftRightSticky(n: FloatNumber, count: number): void {
  let lost = 0
  let left = count > 96 ? 96 : count
  for (; left >= 32; left -= 32) {
    lost |= n.extra
    n.extra = n.lo
    n.lo = n.hi
    n.hi = 0
  }
  if (left > 0) {
    lost |= n.extra << (32 - left)
    n.extra = (n.extra >>> left) | (n.lo << (32 - left))
    n.lo = (n.lo >>> left) | (n.hi << (32 - left))
    n.hi >>>= left
  }
  if (lost !== 0) n.extra |= 1
}
