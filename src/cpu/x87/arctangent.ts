import { denormalStops } from '../softfloat/arithmetic.ts'
import { Category, compareMagnitudes } from '../softfloat/number.ts'
import type { FloatNumber } from '../softfloat/number.ts'
import { arcTangent, fractionFor, pi, setInexact } from './fixed-point.ts'
import type { X87 } from './registers.ts'
import { binaryFunction } from './transcendental.ts'

const { ZERO, INFINITY } = Category

/** Quotients below 2^-SMALL: arctan q = q - ε, and beside π or π/2 they are only a sticky bit. */
const SMALL = 100

/** Fraction bits of angles of the order of π. */
const FRACTION = 192

/** FPATAN: the angle of the point (ST0, ST1), from -π to π, popped (SDM Vol. 2, table 3-30). */
export function fpatan(x87: X87): void { binaryFunction(x87, angle) }

function angle(x87: X87): void {
  const { a: x, b: y, result, status } = x87
  if (denormalStops(x, y, status)) return
  if (y.category === ZERO || x.category === INFINITY || x.category === ZERO || y.category === INFINITY) return axisAngle(x87)
  const steep = compareMagnitudes(y, x) > 0
  const [smaller, larger] = steep ? [x, y] : [y, x]
  const exponent = smaller.exponent - larger.exponent
  if (!steep && x.sign === 0 && exponent < -SMALL) return smallAngle(result, y, x)
  const fraction = fractionFor(Math.max(exponent, -SMALL))
  const base = arcTangent(quotient(smaller, larger, fraction), fraction)
  setInexact(result, y.sign, place(base, steep, x.sign, fraction), fraction)
}

/** smaller / larger with `fraction` fraction bits. */
function quotient(smaller: FloatNumber, larger: FloatNumber, fraction: number): bigint {
  const shift = fraction + smaller.exponent - larger.exponent
  return shift < 0 ? 0n : (smaller.significand() << BigInt(shift)) / larger.significand()
}

/** Moves an angle of the first octant to that of (±x, y), y positive. */
function place(base: bigint, steep: boolean, xSign: number, fraction: number): bigint {
  if (steep) return xSign === 0 ? pi(fraction) / 2n - base : pi(fraction) / 2n + base
  return xSign === 0 ? base : pi(fraction) - base
}

/** y / x, rounded once: the cubic term is far below. An exact quotient still counts as inexact, a hair above the angle. */
function smallAngle(result: FloatNumber, y: FloatNumber, x: FloatNumber): void {
  const value = (y.significand() << 192n) / x.significand()
  result.setScaled(y.sign, (value << 1n) - 1n, y.exponent - x.exponent - 193)
}

/** The point is at the origin, on an axis, or at infinity: a multiple of π/4. */
function axisAngle(x87: X87): void {
  const { a: x, b: y, result } = x87
  const flat = y.category === ZERO || (x.category === INFINITY && y.category !== INFINITY)
  let eighths = x.sign === 0 ? 0 : 4
  if (!flat) eighths = x.category === INFINITY && y.category === INFINITY ? (x.sign === 0 ? 1 : 3) : 2
  if (eighths === 0) return result.setZero(y.sign)
  setInexact(result, y.sign, (pi(FRACTION) * BigInt(eighths)) >> 2n, FRACTION)
}
