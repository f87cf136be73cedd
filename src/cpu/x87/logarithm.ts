import { denormalStops } from '../softfloat/arithmetic.ts'
import { EXTENDED } from '../softfloat/formats.ts'
import { invalid } from '../softfloat/nan.ts'
import { Category } from '../softfloat/number.ts'
import type { FloatNumber } from '../softfloat/number.ts'
import { Exception } from '../softfloat/status.ts'
import { fractionFor, inverseTanh, ln2, TINY } from './fixed-point.ts'
import type { X87 } from './registers.ts'
import { binaryFunction } from './transcendental.ts'

const { ZERO, FINITE, INFINITY } = Category

/** FYL2X: ST1 × log2(ST0), popped. */
export function fyl2x(x87: X87): void { binaryFunction(x87, yLog2x) }
/** FYL2XP1: ST1 × log2(ST0 + 1), popped. Where ST0 is -1 or less, which is undefined, the result is ST0. */
export function fyl2xp1(x87: X87): void { binaryFunction(x87, yLog2xPlus1) }

/** A logarithm to base 2: value / 2^fraction, exact or with an error far below the last bit of a result. */
interface Logarithm { value: bigint, fraction: number, exact: boolean }

function yLog2x(x87: X87): void {
  const { a, b, result, status } = x87
  if (a.category === ZERO) return logarithmOfZero(x87)
  if (a.sign !== 0) return invalid(result, status)
  if (a.category === INFINITY) return infiniteLogarithm(x87)
  const one = a.exponent === 0 && a.hi === (0x80000000 | 0) && a.lo === 0
  if (b.category === INFINITY && one) return invalid(result, status)
  if (denormalStops(a, b, status)) return
  const sign = b.sign ^ (a.exponent < 0 ? 1 : 0)
  if (b.category === INFINITY) return result.setInfinity(sign)
  if (b.category === ZERO || one) return result.setZero(sign)
  scaleBy(x87, log2(a))
}

/** log2 of zero is -∞: a division by zero unless the factor makes it invalid or is infinite itself. */
function logarithmOfZero(x87: X87): void {
  const { b, result, status } = x87
  if (b.category === ZERO) return invalid(result, status)
  if (b.category === FINITE) status.flags |= Exception.DIVIDE_BY_ZERO
  result.setInfinity(b.sign ^ 1)
}

function infiniteLogarithm(x87: X87): void {
  const { a, b, result, status } = x87
  if (b.category === ZERO) return invalid(result, status)
  if (denormalStops(a, b, status)) return
  result.setInfinity(b.sign)
}

/** log2(a) = exponent + log2(m) with m from √½ to √2: log2(m) = 2 artanh((m - 1) / (m + 1)) / ln 2. */
function log2(a: FloatNumber): Logarithm {
  const large = (a.hi >>> 0) > 0xb504f333
  const exponent = BigInt(a.exponent + (large ? 1 : 0))
  if (a.hi === (0x80000000 | 0) && a.lo === 0) return { value: exponent, fraction: 0, exact: true }
  const fraction = 128 + 64
  const shift = BigInt(fraction)
  const m = a.significand() << (shift - 63n - (large ? 1n : 0n))
  const s = ((m - (1n << shift)) << shift) / (m + (1n << shift))
  const value = (exponent << shift) + ((2n * inverseTanh(s, fraction)) << shift) / ln2(fraction)
  return { value, fraction, exact: false }
}

function yLog2xPlus1(x87: X87): void {
  const { a, b, result, status } = x87
  const sign = a.sign ^ b.sign
  if (a.category === INFINITY) return a.sign !== 0 ? invalid(result, status) : infiniteLogarithm(x87)
  if (a.category === ZERO && b.category === INFINITY) return invalid(result, status)
  if (denormalStops(a, b, status)) return
  if (b.category === INFINITY) return result.setInfinity(sign)
  if (a.category === ZERO || b.category === ZERO) return result.setZero(sign)
  if (a.sign !== 0 && a.exponent >= 0) {
    status.flags |= Exception.PRECISION
    return result.copy(a)
  }
  scaleBy(x87, log2Plus1(a))
}

/** log2(1 + a) for finite a > -1. */
function log2Plus1(a: FloatNumber): Logarithm {
  if (a.exponent < -TINY) return tinyLogarithm(a)
  const fraction = fractionFor(a.exponent) + 64
  const shift = BigInt(fraction)
  const one = 1n << shift
  // 1 + a = 2^scale × m, so that m stays below 3.
  const scale = Math.max(0, a.exponent)
  const magnitude = a.significand() << BigInt(fraction - 63 + a.exponent - scale)
  let m = (one >> BigInt(scale)) + (a.sign === 0 ? magnitude : -magnitude)
  let exponent = BigInt(scale)
  for (; m > one + (one >> 1n); exponent++) m >>= 1n
  for (; m < one - (one >> 2n); exponent--) m <<= 1n
  const s = ((m - one) << shift) / (m + one)
  return { value: (exponent << shift) + ((2n * inverseTanh(s, fraction)) << shift) / ln2(fraction), fraction, exact: m === one }
}

/** log2(1 + a) = a / ln 2 (1 - a / 2 + ...). */
function tinyLogarithm(a: FloatNumber): Logarithm {
  const value = (a.significand() << 256n) / ln2(128)
  return { value: a.sign === 0 ? value : -value, fraction: 128 + 63 - a.exponent, exact: false }
}

/** result = ST1 × logarithm, not rounded. The processor raises PE (and UE) even where that is exact. */
function scaleBy({ result, b: y, status }: X87, { value, fraction, exact }: Logarithm): void {
  status.flags |= Exception.PRECISION
  const magnitude = (value < 0n ? -value : value) * y.significand()
  result.setScaled(y.sign ^ (value < 0n ? 1 : 0), (magnitude << 1n) | (exact ? 0n : 1n), y.exponent - 63 - fraction - 1)
  if (exact && result.exponent < EXTENDED.minimumExponent) status.flags |= Exception.UNDERFLOW
}
