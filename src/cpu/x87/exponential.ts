import { Category } from '../softfloat/number.ts'
import { Exception } from '../softfloat/status.ts'
import { exponentialMinusOne, fractionFor, ln2, setInexact, TINY, toFixed } from './fixed-point.ts'
import type { X87 } from './registers.ts'
import { unaryFunction } from './transcendental.ts'

/**
 * F2XM1: 2^ST0 - 1 for ST0 from -1 to 1. From 1 up, and below -1, where the result is undefined,
 * ST0 stays. PE is raised even for ±1, whose results are exact.
 */
export function f2xm1(x87: X87): void { unaryFunction(x87, power) }

function power(x87: X87): void {
  const { a, result } = x87
  result.copy(a)
  if (a.category === Category.INFINITY && a.sign !== 0) return result.set(Category.FINITE, 1, 0, 0x80000000 | 0, 0)
  if (a.category !== Category.FINITE) return
  if (a.exponent >= 0) {
    x87.status.flags |= Exception.PRECISION
    if (a.sign !== 0 && a.exponent === 0 && a.hi === (0x80000000 | 0) && a.lo === 0) result.exponent = -1
    return
  }
  if (a.exponent < -TINY) return tiny(x87)
  const fraction = fractionFor(a.exponent)
  const magnitude = (toFixed(a, fraction) * ln2(fraction)) >> BigInt(fraction)
  setInexact(result, 0, exponentialMinusOne(a.sign === 0 ? magnitude : -magnitude, fraction), fraction)
}

/** 2^x - 1 = x ln 2 (1 + x ln 2 / 2 + ...): for tiny x the first term, and a sticky bit. */
function tiny(x87: X87): void {
  const { a, result } = x87
  setInexact(result, a.sign, a.significand() * ln2(128), 128 + 63 - a.exponent)
}
