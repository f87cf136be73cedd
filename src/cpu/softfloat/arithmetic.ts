import type { FloatFormat } from './formats.ts'
import { invalid, propagateNan, propagateNans } from './nan.ts'
import { Category, compareMagnitudes, FloatNumber, normalise, NUMBER, shiftRightSticky } from './number.ts'
import { roundToFormat } from './round.ts'
import { Exception, RoundingMode } from './status.ts'
import type { FloatStatus } from './status.ts'

/**
 * The five basic operations over numbers taken apart. Each computes result = a op b rounded to `format` and adds to `status.flags`.
 * The result is another object than the operands. With `status.stopped` afterwards there is no result.
 */
export type BinaryOperation =
  (result: FloatNumber, a: FloatNumber, b: FloatNumber, format: FloatFormat, status: FloatStatus) => void

const { ZERO, INFINITY, FINITE } = Category
const aligned = new FloatNumber()

/** Raises the denormal-operand exception where due; returns whether it is unmasked, so that the operation must stop. */
export function denormalStops(a: FloatNumber, b: FloatNumber, status: FloatStatus): boolean {
  if (!a.denormal && !b.denormal) return false
  status.flags |= Exception.DENORMAL
  return (status.masks & Exception.DENORMAL) === 0
}

export function add(result: FloatNumber, a: FloatNumber, b: FloatNumber, format: FloatFormat, status: FloatStatus): void {
  addSigned(result, a, b, b.sign, format, status)
}

export function subtract(result: FloatNumber, a: FloatNumber, b: FloatNumber, format: FloatFormat, status: FloatStatus): void {
  addSigned(result, a, b, b.sign ^ 1, format, status)
}

function addSigned(
  result: FloatNumber, a: FloatNumber, b: FloatNumber, bSign: number, format: FloatFormat, status: FloatStatus,
): void {
  const both = a.category | b.category
  if (both > NUMBER) return propagateNans(result, a, b, status)
  if ((a.category & b.category) === INFINITY && a.sign !== bSign) return invalid(result, status)
  if (denormalStops(a, b, status)) return
  if ((both & INFINITY) !== 0) return result.setInfinity(a.category === INFINITY ? a.sign : bSign)
  if (both === ZERO) return result.setZero(a.sign === bSign ? a.sign : status.roundingMode === RoundingMode.DOWN ? 1 : 0)
  sum(result, a, b, bSign)
  if (result.category === ZERO) result.sign = status.roundingMode === RoundingMode.DOWN ? 1 : 0
  else roundToFormat(result, format, status)
}

/** The sum of two numbers, at least one of them finite, the rest zero; with a sticky bit, not rounded. */
function sum(result: FloatNumber, a: FloatNumber, b: FloatNumber, bSign: number): void {
  if (a.category === ZERO || b.category === ZERO) {
    const sign = b.category === ZERO ? a.sign : bSign
    result.copy(b.category === ZERO ? a : b)
    result.sign = sign
    return
  }
  const order = compareMagnitudes(a, b)
  const sign = order < 0 ? bSign : a.sign
  const same = a.sign === bSign
  aligned.copy(order < 0 ? a : b)
  result.copy(order < 0 ? b : a)
  shiftRightSticky(aligned, result.exponent - aligned.exponent)
  if (same) addMagnitudes(result, aligned)
  else if (order === 0) result.setZero(0)
  else subtractMagnitudes(result, aligned)
  result.sign = sign
}

function addMagnitudes(n: FloatNumber, smaller: FloatNumber): void {
  const lo = (n.lo >>> 0) + (smaller.lo >>> 0)
  const hi = (n.hi >>> 0) + (smaller.hi >>> 0) + (lo > 0xffffffff ? 1 : 0)
  n.lo = lo | 0
  n.hi = hi | 0
  n.extra = smaller.extra
  if (hi <= 0xffffffff) return
  shiftRightSticky(n, 1)
  n.hi |= 0x80000000
  n.exponent += 1
}

function subtractMagnitudes(n: FloatNumber, smaller: FloatNumber): void {
  const extra = -(smaller.extra >>> 0)
  const lo = (n.lo >>> 0) - (smaller.lo >>> 0) - (extra < 0 ? 1 : 0)
  n.extra = extra | 0
  n.hi = (n.hi - smaller.hi - (lo < 0 ? 1 : 0)) | 0
  n.lo = lo | 0
  normalise(n)
}

export function multiply(result: FloatNumber, a: FloatNumber, b: FloatNumber, format: FloatFormat, status: FloatStatus): void {
  const both = a.category | b.category
  if (both > NUMBER) return propagateNans(result, a, b, status)
  if (both === (ZERO | INFINITY)) return invalid(result, status)
  if (denormalStops(a, b, status)) return
  const sign = a.sign ^ b.sign
  if ((both & INFINITY) !== 0) return result.setInfinity(sign)
  if ((both & ZERO) !== 0) return result.setZero(sign)
  product(result, a, b, sign)
  roundToFormat(result, format, status)
}

/** High word of the product of two unsigned 32-bit words. */
function multiplyHigh(a: number, b: number): number {
  const aHi = a >>> 16
  const aLo = a & 0xffff
  const bHi = b >>> 16
  const bLo = b & 0xffff
  const middle = aHi * bLo + (Math.imul(aLo, bLo) >>> 16)
  const other = aLo * bHi + (middle & 0xffff)
  return (aHi * bHi + Math.floor(middle / 65536) + Math.floor(other / 65536)) | 0
}

/** The exact product of two significands, its low 32 bits reduced to a sticky one; not rounded. */
function product(result: FloatNumber, a: FloatNumber, b: FloatNumber, sign: number): void {
  const lowest = Math.imul(a.lo, b.lo)
  const third = (multiplyHigh(a.lo, b.lo) >>> 0) + (Math.imul(a.lo, b.hi) >>> 0) + (Math.imul(a.hi, b.lo) >>> 0)
  const second = (multiplyHigh(a.lo, b.hi) >>> 0) + (multiplyHigh(a.hi, b.lo) >>> 0) + (Math.imul(a.hi, b.hi) >>> 0) +
    Math.floor(third / 0x100000000)
  const first = (multiplyHigh(a.hi, b.hi) >>> 0) + Math.floor(second / 0x100000000)
  result.set(FINITE, sign, a.exponent + b.exponent + 1, first | 0, second | 0)
  result.extra = (third | 0) | (lowest !== 0 ? 1 : 0)
  normalise(result)
}

export function divide(result: FloatNumber, a: FloatNumber, b: FloatNumber, format: FloatFormat, status: FloatStatus): void {
  const both = a.category | b.category
  if (both > NUMBER) return propagateNans(result, a, b, status)
  if (both === INFINITY || both === ZERO) return invalid(result, status)
  const sign = a.sign ^ b.sign
  if (b.category === ZERO && a.category === FINITE) status.flags |= Exception.DIVIDE_BY_ZERO
  else if (denormalStops(a, b, status)) return
  if (a.category === INFINITY || b.category === ZERO) return result.setInfinity(sign)
  if (a.category === ZERO || b.category === INFINITY) return result.setZero(sign)
  quotient(result, a, b, sign)
  roundToFormat(result, format, status)
}

/** The quotient of two significands to 66 bits and a sticky one, by restoring division; not rounded. */
function quotient(result: FloatNumber, a: FloatNumber, b: FloatNumber, sign: number): void {
  const bHi = b.hi
  const bLo = b.lo
  let hi = a.hi
  let lo = a.lo
  let carry = false
  let [first, second, third] = [0, 0, 0]
  for (let bit = 0; bit < 67; bit++) {
    first = (first << 1) | (second >>> 31)
    second = (second << 1) | (third >>> 31)
    third <<= 1
    if (carry || (hi === bHi ? lo >>> 0 >= bLo >>> 0 : hi >>> 0 > bHi >>> 0)) {
      hi = (hi - bHi - (lo >>> 0 < bLo >>> 0 ? 1 : 0)) | 0
      lo = (lo - bLo) | 0
      third |= 1
    }
    carry = hi < 0
    hi = (hi << 1) | (lo >>> 31)
    lo <<= 1
  }
  // 67 bits, of which the first or the second is set, stand at the bottom of 96.
  result.set(FINITE, sign, a.exponent - b.exponent + 29, first, second)
  result.extra = third
  normalise(result)
  if (carry || (hi | lo) !== 0) result.extra |= 1
}

/** result = √a. */
export function squareRoot(result: FloatNumber, a: FloatNumber, format: FloatFormat, status: FloatStatus): void {
  if (a.category > NUMBER) return propagateNan(result, a, status)
  if (a.category === ZERO) return result.setZero(a.sign)
  if (a.sign !== 0) return invalid(result, status)
  if (denormalStops(a, a, status)) return
  if (a.category === INFINITY) return result.setInfinity(0)
  const odd = a.exponent & 1
  // a = significand × 2^(exponent - 63); the radicand is scaled so that its root has 67 or 68 bits.
  const radicand = a.significand() << BigInt(71 + odd)
  const root = integerSquareRoot(radicand)
  result.setScaled(0, (root << 1n) | (root * root === radicand ? 0n : 1n), (a.exponent - odd - 63 - 71 - 2) / 2)
  roundToFormat(result, format, status)
}

/** The integer part of the square root of a value below 2^140: one Newton step from a 53-bit estimate, then corrected. */
export function integerSquareRoot(value: bigint): bigint {
  if (value === 0n) return 0n
  let root = BigInt(Math.floor(Math.sqrt(Number(value))))
  root = (root + value / root) >> 1n
  while (root * root > value) root -= 1n
  while ((root + 1n) * (root + 1n) <= value) root += 1n
  return root
}
