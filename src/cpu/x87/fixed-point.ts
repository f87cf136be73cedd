import type { FloatNumber } from '../softfloat/number.ts'

/**
 * Fixed-point arithmetic on BigInt for the transcendental functions: a value v stands for v / 2^fraction. Every series here is cut
 * off below the last bit, so that with the fractions chosen by `fractionFor` results are good to more than 100 significant bits and
 * are rounded to 64 once.
 */

/** Significant bits carried. */
const WORKING_BITS = 128

/** Magnitudes below 2^-TINY are not expanded: the second term of their series is below the last bit of the result. */
export const TINY = 140

/** The number of fraction bits that gives a magnitude of 2^exponent its WORKING_BITS significant bits. */
export function fractionFor(exponent: number): number {
  return WORKING_BITS + Math.max(0, -exponent)
}

/** A finite number's magnitude with `fraction` fraction bits, rounded down. */
export function toFixed(n: FloatNumber, fraction: number): bigint {
  const shift = fraction + n.exponent - 63
  return shift >= 0 ? n.significand() << BigInt(shift) : n.significand() >> BigInt(-shift)
}

/** Sets a number to value / 2^fraction, marked as inexact, with its own sign times `sign` (0 or 1). The value must not be zero. */
export function setInexact(n: FloatNumber, sign: number, value: bigint, fraction: number): void {
  const magnitude = value < 0n ? -value : value
  n.setScaled(value < 0n ? sign ^ 1 : sign, (magnitude << 1n) | 1n, -fraction - 1)
}

/** sum of t^k / k! from k = 1, for |t| < 1. */
export function exponentialMinusOne(t: bigint, fraction: number): bigint {
  const shift = BigInt(fraction)
  let term = t
  let sum = 0n
  for (let k = 2n; term !== 0n && term !== -1n; k++) {
    sum += term
    term = ((term * t) >> shift) / k
  }
  return sum
}

/** Inverse hyperbolic tangent: s + s³/3 + s⁵/5 + ..., for small s. */
export function inverseTanh(s: bigint, fraction: number): bigint {
  return oddSeries(s, (s * s) >> BigInt(fraction), fraction)
}

/** Arc tangent: s - s³/3 + s⁵/5 - ..., for small s. */
function arcTangentSeries(s: bigint, fraction: number): bigint {
  return oddSeries(s, -((s * s) >> BigInt(fraction)), fraction)
}

function oddSeries(s: bigint, square: bigint, fraction: number): bigint {
  const shift = BigInt(fraction)
  let power = s
  let sum = 0n
  for (let k = 1n; power !== 0n && power !== -1n; k += 2n) {
    sum += power / k
    power = (power * square) >> shift
  }
  return sum
}

/** Sine and cosine of |t| < 1. */
export function sineAndCosine(t: bigint, fraction: number): { sine: bigint, cosine: bigint } {
  const shift = BigInt(fraction)
  let term = 1n << shift
  const sums = [0n, 0n, 0n, 0n]
  for (let k = 1n; term !== 0n && term !== -1n; k++) {
    sums[Number((k - 1n) & 3n)] += term
    term = ((term * t) >> shift) / k
  }
  return { sine: sums[1] - sums[3], cosine: sums[0] - sums[2] }
}

/** Constants have this many fraction bits and are shortened for use. */
const CONSTANT_FRACTION = 320

/** ln 2 = 2 artanh(1/3). */
const LN2 = 2n * inverseTanh((1n << BigInt(CONSTANT_FRACTION)) / 3n, CONSTANT_FRACTION)

/** π by Machin's formula: 16 arctan(1/5) - 4 arctan(1/239). */
const PI = 16n * arcTangentSeries((1n << BigInt(CONSTANT_FRACTION)) / 5n, CONSTANT_FRACTION) -
  4n * arcTangentSeries((1n << BigInt(CONSTANT_FRACTION)) / 239n, CONSTANT_FRACTION)

/** ln 2 and π with up to 310 fraction bits. */
export function ln2(fraction: number): bigint { return LN2 >> BigInt(CONSTANT_FRACTION - fraction) }
export function pi(fraction: number): bigint { return PI >> BigInt(CONSTANT_FRACTION - fraction) }

/** Steps of the table of arc tangents, as a power of two. */
const TABLE_BITS = 5
const TABLE_FRACTION = 304
const arcTangents = new Map<number, bigint>()

/** arctan(i / 32), i from 0 to 32, with TABLE_FRACTION bits: 2 arctan(z) with z = x / (1 + √(1 + x²)) until z is small. */
function tableEntry(i: number): bigint {
  const known = arcTangents.get(i)
  if (known !== undefined) return known
  const one = 1n << BigInt(TABLE_FRACTION)
  let x = (one * BigInt(i)) >> BigInt(TABLE_BITS)
  let doublings = 0n
  for (; x > one >> 4n; doublings++) x = (x << BigInt(TABLE_FRACTION)) / (one + squareRoot(one * one + x * x))
  const value = arcTangentSeries(x, TABLE_FRACTION) << doublings
  arcTangents.set(i, value)
  return value
}

/** Integer square root by Newton's iteration from above. */
function squareRoot(value: bigint): bigint {
  let root = 1n << BigInt((value.toString(16).length * 4) >> 1)
  root <<= 1n
  for (;;) {
    const next = (root + value / root) >> 1n
    if (next >= root) return root
    root = next
  }
}

/** arctan(x) for 0 <= x <= 1, by the nearest table entry c: arctan(c) + arctan((x - c) / (1 + x c)). `fraction` is at most 300. */
export function arcTangent(x: bigint, fraction: number): bigint {
  const shift = BigInt(fraction)
  const step = shift - BigInt(TABLE_BITS)
  const i = (x + (1n << (step - 1n))) >> step
  const c = i << step
  const rest = ((x - c) << shift) / ((1n << shift) + ((x * c) >> shift))
  return (tableEntry(Number(i)) >> BigInt(TABLE_FRACTION - fraction)) + arcTangentSeries(rest, fraction)
}
