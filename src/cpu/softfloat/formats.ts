import { Category, normalise } from './number.ts'
import type { FloatNumber } from './number.ts'

/** The limits that rounding needs. Exponents are unbiased; precision counts the leading bit. */
export interface FloatFormat {
  readonly precision: number
  readonly minimumExponent: number
  readonly maximumExponent: number
  /** Added to or taken from the exponent as the x87's answer to unmasked underflow and overflow (SDM Vol. 1 §4.9.1.4). */
  readonly wrap: number
}

export const BINARY16: FloatFormat = { precision: 11, minimumExponent: -14, maximumExponent: 15, wrap: 0 }
export const BINARY32: FloatFormat = { precision: 24, minimumExponent: -126, maximumExponent: 127, wrap: 0 }
export const BINARY64: FloatFormat = { precision: 53, minimumExponent: -1022, maximumExponent: 1023, wrap: 0 }
export const EXTENDED: FloatFormat = { precision: 64, minimumExponent: -16382, maximumExponent: 16383, wrap: 24576 }

/** Results in registers by the PC field of the x87 control word: the significand shrinks, the exponent's range does not. */
export const BY_PRECISION_CONTROL: readonly FloatFormat[] = [
  { ...EXTENDED, precision: 24 },
  EXTENDED, // 01 is reserved
  { ...EXTENDED, precision: 53 },
  EXTENDED,
]

const INTEGER_BIT = 0x80000000 | 0
const QUIET_BIT = 0x40000000

function setNan(n: FloatNumber, sign: number, hi: number, lo: number): void {
  n.set((hi & QUIET_BIT) !== 0 ? Category.QUIET_NAN : Category.SIGNALLING_NAN, sign, 0, hi | INTEGER_BIT, lo)
}

/** Takes a denormal apart: `hi:lo` has the value's leading bit somewhere below bit 63. */
function setDenormal(n: FloatNumber, sign: number, exponent: number, hi: number, lo: number, asZero: boolean): void {
  if (asZero) return n.setZero(sign)
  n.set(Category.FINITE, sign, exponent, hi, lo)
  normalise(n)
  n.denormal = true
}

/** Takes apart the 16 bits of a binary16. */
export function unpackBinary16(n: FloatNumber, bits: number): void {
  const sign = (bits >>> 15) & 1
  const exponent = (bits >>> 10) & 0x1f
  const hi = (bits & 0x3ff) << 21
  if (exponent === 0) {
    if (hi === 0) n.setZero(sign)
    else setDenormal(n, sign, -14, hi, 0, false)
  } else if (exponent !== 31) n.set(Category.FINITE, sign, exponent - 15, hi | INTEGER_BIT, 0)
  else if (hi === 0) n.setInfinity(sign)
  else setNan(n, sign, hi, 0)
}

/** Takes apart the 32 bits of a binary32. */
export function unpackBinary32(n: FloatNumber, bits: number, denormalsAreZero = false): void {
  const sign = bits >>> 31
  const exponent = (bits >>> 23) & 0xff
  const hi = bits << 8
  if (exponent === 0) {
    if ((bits & 0x7fffff) === 0) n.setZero(sign)
    else setDenormal(n, sign, -126, hi, 0, denormalsAreZero)
  } else if (exponent !== 255) n.set(Category.FINITE, sign, exponent - 127, hi | INTEGER_BIT, 0)
  else if ((bits & 0x7fffff) === 0) n.setInfinity(sign)
  else setNan(n, sign, hi, 0)
}

/** Takes apart a binary64 given as two words. */
export function unpackBinary64(n: FloatNumber, lo: number, hi: number, denormalsAreZero = false): void {
  const sign = hi >>> 31
  const exponent = (hi >>> 20) & 0x7ff
  const fraction = (hi << 11) | (lo >>> 21)
  const empty = ((hi & 0xfffff) | lo) === 0
  if (exponent === 0) {
    if (empty) n.setZero(sign)
    else setDenormal(n, sign, -1022, fraction & 0x7fffffff, lo << 11, denormalsAreZero)
  } else if (exponent !== 0x7ff) n.set(Category.FINITE, sign, exponent - 1023, fraction | INTEGER_BIT, lo << 11)
  else if (empty) n.setInfinity(sign)
  else setNan(n, sign, fraction, lo << 11)
}

/** Takes apart an 80-bit number: the significand's words, and `top`, the sign and biased exponent (u16). */
export function unpackExtended(n: FloatNumber, lo: number, hi: number, top: number): void {
  const sign = (top >>> 15) & 1
  const exponent = top & 0x7fff
  if (exponent === 0) {
    if ((hi | lo) === 0) n.setZero(sign)
    else setDenormal(n, sign, -16382, hi | 0, lo | 0, false)
  } else if ((hi & INTEGER_BIT) === 0) n.set(Category.UNSUPPORTED, sign, 0, hi | 0, lo | 0)
  else if (exponent !== 0x7fff) n.set(Category.FINITE, sign, exponent - 16383, hi | 0, lo | 0)
  else if (((hi & 0x7fffffff) | lo) === 0) n.setInfinity(sign)
  else setNan(n, sign, hi | 0, lo | 0)
}

/** Takes apart a signed 64-bit integer given as two words. */
export function unpackInteger(n: FloatNumber, lo: number, hi: number): void {
  if ((lo | hi) === 0) return n.setZero(0)
  if ((hi | 0) >= 0) n.set(Category.FINITE, 0, 63, hi | 0, lo | 0)
  else n.set(Category.FINITE, 1, 63, (~hi + (lo === 0 ? 1 : 0)) | 0, -lo | 0)
  normalise(n)
}

/** The 16 bits of a number that was rounded to BINARY16 (or a NaN, quieted). */
export function packBinary16(n: FloatNumber): number {
  const sign = n.sign << 15
  if (n.category === Category.ZERO) return sign
  if (n.category !== Category.FINITE) return sign | 0x7c00 | ((n.hi >>> 21) & 0x3ff)
  if (n.exponent < -14) return sign | (n.hi >>> 21 >>> (-14 - n.exponent))
  return sign | ((n.exponent + 15) << 10) | ((n.hi >>> 21) & 0x3ff)
}

/** The 32 bits, as an unsigned number, of a number that was rounded to BINARY32 (or a NaN, quieted). */
export function packBinary32(n: FloatNumber): number {
  const sign = n.sign << 31
  if (n.category === Category.ZERO) return sign >>> 0
  if (n.category !== Category.FINITE) return (sign | 0x7f800000 | ((n.hi >>> 8) & 0x7fffff)) >>> 0
  if (n.exponent < -126) return (sign | (n.hi >>> 8 >>> Math.min(31, -126 - n.exponent))) >>> 0
  return (sign | ((n.exponent + 127) << 23) | ((n.hi >>> 8) & 0x7fffff)) >>> 0
}

/** Writes a number that was rounded to BINARY64 (or a NaN, quieted) as two words at `words[at]`. */
export function packBinary64(n: FloatNumber, words: Uint32Array, at: number): void {
  let hi = 0
  let lo = 0
  if (n.category !== Category.ZERO) {
    lo = (n.lo >>> 11) | (n.hi << 21)
    hi = (n.hi >>> 11) & 0xfffff
  }
  if (n.category === Category.FINITE && n.exponent < -1022) {
    const shift = -1022 - n.exponent
    hi |= 0x100000
    lo = shift < 32 ? (lo >>> shift) | (hi << (32 - shift)) : hi >>> (shift - 32)
    hi = shift < 32 ? hi >>> shift : 0
  } else if (n.category === Category.FINITE) hi |= (n.exponent + 1023) << 20
  else if (n.category !== Category.ZERO) hi |= 0x7ff00000
  words[at] = lo
  words[at + 1] = hi | (n.sign << 31)
}

/** Writes a number that was rounded to EXTENDED (or a NaN, quieted) as three words, the last holding sign and exponent. */
export function packExtended(n: FloatNumber, words: Uint32Array, at: number): void {
  words[at] = n.lo
  words[at + 1] = n.hi
  const sign = n.sign << 15
  if (n.category === Category.FINITE && n.exponent < -16382) {
    const shift = -16382 - n.exponent
    words[at] = shift < 32 ? (n.lo >>> shift) | (n.hi << (32 - shift)) : n.hi >>> Math.min(31, shift - 32)
    words[at + 1] = shift < 32 ? n.hi >>> shift : 0
    words[at + 2] = sign
  } else if (n.category === Category.FINITE) words[at + 2] = sign | (n.exponent + 16383)
  else words[at + 2] = n.category === Category.ZERO ? sign : sign | 0x7fff
}
