import { Category, FloatNumber, NUMBER } from './number.ts'
import { roundToBits } from './round.ts'
import { Exception } from './status.ts'
import type { FloatStatus } from './status.ts'

const scratch = new FloatNumber()

/** A 64-bit integer as two words; the low word alone is the result of narrower conversions. */
export interface IntegerWords {
  lo: number
  hi: number
}

/**
 * Rounds to a signed integer of 16, 32 or 64 bits in the status's rounding mode. NaN, infinity and out of range raise invalid alone
 * and give the "integer indefinite", the smallest integer (SDM Vol. 1 §4.8.3.7); a fraction lost raises precision.
 */
export function toInteger(out: IntegerWords, a: FloatNumber, bits: 16 | 32 | 64, status: FloatStatus): void {
  status.roundedUp = false
  if (a.category === Category.ZERO) return setWords(out, 0, 0)
  if (a.category !== Category.FINITE || a.exponent >= bits) return integerIndefinite(out, bits, status)
  scratch.copy(a)
  const inexact = roundToBits(scratch, scratch.exponent + 1, status)
  if (scratch.category !== Category.ZERO && !fits(scratch, bits)) return integerIndefinite(out, bits, status)
  if (inexact) status.flags |= Exception.PRECISION
  setInteger(out, scratch)
}

function fits(n: FloatNumber, bits: number): boolean {
  if (n.exponent < bits - 1) return true
  return n.exponent === bits - 1 && n.sign === 1 && n.hi === (0x80000000 | 0) && n.lo === 0
}

function integerIndefinite(out: IntegerWords, bits: number, status: FloatStatus): void {
  status.flags |= Exception.INVALID
  status.roundedUp = false
  setWords(out, bits === 64 ? 0 : -1 << (bits - 1), bits === 64 ? 0x80000000 | 0 : -1)
}

/** Writes an integral number whose magnitude is below 2^64 as two's complement. */
function setInteger(out: IntegerWords, n: FloatNumber): void {
  if (n.category === Category.ZERO) return setWords(out, 0, 0)
  const shift = 63 - n.exponent
  const lo = shift < 32 ? (shift === 0 ? n.lo : (n.lo >>> shift) | (n.hi << (32 - shift))) : n.hi >>> (shift - 32)
  const hi = shift < 32 ? n.hi >>> shift : 0
  if (n.sign === 0) setWords(out, lo, hi)
  else setWords(out, -lo, ~hi + ((lo | 0) === 0 ? 1 : 0))
}

function setWords(out: IntegerWords, lo: number, hi: number): void {
  out.lo = lo | 0
  out.hi = hi | 0
}

/** result = a rounded to an integral value in the status's mode. Zeros and infinities stay; NaNs are the caller's. */
export function roundToIntegral(result: FloatNumber, a: FloatNumber, status: FloatStatus): void {
  result.copy(a)
  if (a.category !== Category.FINITE || a.exponent >= 63) return
  if (roundToBits(result, a.exponent + 1, status)) status.flags |= Exception.PRECISION
}

const MAXIMUM_BCD = 999_999_999_999_999_999n

/**
 * Rounds to an 18-digit packed decimal: ten bytes, least significant digits first, the sign in bit 7 of the last
 * (SDM Vol. 1 §4.7). Out of range gives the packed-decimal indefinite and raises invalid.
 */
export function toPackedDecimal(out: Uint8Array, a: FloatNumber, status: FloatStatus): void {
  status.roundedUp = false
  scratch.copy(a)
  let inexact = false
  if (a.category === Category.FINITE && a.exponent < 63) inexact = roundToBits(scratch, a.exponent + 1, status)
  const value = integralMagnitude(scratch)
  if (value > MAXIMUM_BCD) return decimalIndefinite(out, status)
  if (inexact) status.flags |= Exception.PRECISION
  let digits = value
  for (let i = 0; i < 9; i++) {
    const pair = Number(digits % 100n)
    out[i] = ((pair / 10) << 4) | pair % 10
    digits /= 100n
  }
  out[9] = scratch.sign << 7
}

function integralMagnitude(n: FloatNumber): bigint {
  if (n.category === Category.ZERO) return 0n
  if (n.category > NUMBER || n.category === Category.INFINITY || n.exponent >= 63) return MAXIMUM_BCD + 1n
  return n.significand() >> BigInt(63 - n.exponent)
}

function decimalIndefinite(out: Uint8Array, status: FloatStatus): void {
  status.flags |= Exception.INVALID
  status.roundedUp = false
  out.fill(0)
  out.set([0xc0, 0xff, 0xff], 7)
}

/** Reads a packed decimal. Digits above nine are not checked, as in the processor: they count with their binary weight. */
export function fromPackedDecimal(n: FloatNumber, bytes: Uint8Array): void {
  let value = 0n
  for (let i = 8; i >= 0; i--) value = value * 100n + BigInt((bytes[i] >> 4) * 10 + (bytes[i] & 15))
  const sign = bytes[9] >> 7
  if (value === 0n) n.setZero(sign)
  else n.setScaled(sign, value, 0)
}
