import { Exception, RoundingMode } from './status.ts'
import type { FloatStatus } from './status.ts'

/**
 * The common case of SSE arithmetic on the host's own binary64: rounding to nearest, normal operands, and a result far enough from
 * overflow and underflow that only PE can be raised. Whether the result is exact is found by error-free transforms: the error of
 * a sum (Knuth) and of a product (Veltkamp and Dekker) is itself a binary64. Binary32 operations are computed in binary64, whose 53
 * bits are enough (2 × 24 + 2) for the second rounding to be harmless.
 *
 * Codes are SseOperation's: 0 add, 1 multiply, 2 subtract, 3 divide, 4 square root.
 */
const doubles = new Float64Array(2)
const doubleWords = new Uint32Array(doubles.buffer)
const singles = new Float32Array(1)
const singleWords = new Uint32Array(singles.buffer)

/** 2^27 + 1 splits a binary64 into halves. */
const SPLITTER = 134217729
/** Exponents of operands and results for which no intermediate value leaves the range, unbiased. */
const SAFE = 450

/** a + b - sum, exactly. */
function sumError(a: number, b: number, sum: number): number {
  const virtual = sum - a
  return (a - (sum - virtual)) + (b - virtual)
}

/** a × b - product, exactly. */
function productError(a: number, b: number, product: number): number {
  const aSplit = SPLITTER * a
  const aHi = aSplit - (aSplit - a)
  const aLo = a - aHi
  const bSplit = SPLITTER * b
  const bHi = bSplit - (bSplit - b)
  const bLo = b - bHi
  return ((aHi * bHi - product) + aHi * bLo + aLo * bHi) + aLo * bLo
}

/** Whether x is exactly a × b. */
function isProduct(x: number, a: number, b: number): boolean {
  const product = a * b
  return x === product && productError(a, b, product) === 0
}

function isSafe(hi: number): boolean {
  const exponent = ((hi >>> 20) & 0x7ff) - 1023
  return exponent > -SAFE && exponent < SAFE
}

/** Computes into `words[to]` and raises PE; returns false, having done nothing, when the case is not a common one. */
export function fastBinary64(
  operation: number, words: Uint32Array, to: number, a: number, b: number, status: FloatStatus,
): boolean {
  if (operation > 4 || status.roundingMode !== RoundingMode.NEAREST || !isSafe(words[a + 1]) || !isSafe(words[b + 1])) return false
  doubleWords[0] = words[a]
  doubleWords[1] = words[a + 1]
  doubleWords[2] = words[b]
  doubleWords[3] = words[b + 1]
  const [x, y] = doubles
  const result = compute(operation, x, y)
  doubles[0] = result
  if (!isSafe(doubleWords[1])) return false
  if (!isExact64(operation, x, y, result)) status.flags |= Exception.PRECISION
  words[to] = doubleWords[0]
  words[to + 1] = doubleWords[1]
  return true
}

function compute(operation: number, x: number, y: number): number {
  switch (operation) {
    case 0: return x + y
    case 1: return x * y
    case 2: return x - y
    case 3: return x / y
    default: return Math.sqrt(y)
  }
}

function isExact64(operation: number, x: number, y: number, result: number): boolean {
  switch (operation) {
    case 0: return sumError(x, y, result) === 0
    case 1: return productError(x, y, result) === 0
    case 2: return sumError(x, -y, result) === 0
    case 3: return isProduct(x, result, y)
    default: return isProduct(y, result, result)
  }
}

/** The bits of the result, or -1 when the case is not a common one. */
export function fastBinary32(operation: number, a: number, b: number, status: FloatStatus): number {
  if (operation > 4 || status.roundingMode !== RoundingMode.NEAREST || !isNormal32(a) || !isNormal32(b)) return -1
  singleWords[0] = a
  const x = singles[0]
  singleWords[0] = b
  const y = singles[0]
  const wide = compute(operation, x, y)
  singles[0] = wide
  const bits = singleWords[0]
  if (!isNormal32(bits)) return -1
  if (!isExact32(operation, x, y, wide, singles[0])) status.flags |= Exception.PRECISION
  return bits
}

/** Normal, and not in the lowest or highest binade, where rounding might have crossed the border. */
function isNormal32(bits: number): boolean {
  const exponent = (bits >>> 23) & 0xff
  return exponent > 1 && exponent < 254
}

function isExact32(operation: number, x: number, y: number, wide: number, result: number): boolean {
  if (wide !== result) return false
  if (operation === 0) return sumError(x, y, wide) === 0
  if (operation === 2) return sumError(x, -y, wide) === 0
  if (operation === 3) return result * y === x
  return operation === 4 ? result * result === y : true
}
