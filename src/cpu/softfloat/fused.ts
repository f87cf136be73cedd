import { denormalStops } from './arithmetic.ts'
import type { FloatFormat } from './formats.ts'
import { invalid, propagateNan, propagateNans } from './nan.ts'
import { Category, NUMBER } from './number.ts'
import type { FloatNumber } from './number.ts'
import { roundToFormat } from './round.ts'
import { Exception, RoundingMode } from './status.ts'
import type { FloatStatus } from './status.ts'

const { ZERO, FINITE, INFINITY } = Category

/**
 * result = a × b + c with one rounding (FMA3). NaNs are chosen in the order a, b, c (SDM Vol. 1 §14.5.2, table 14-17); the invalid
 * product of zero and infinity does not hide a quiet NaN in c.
 */
export function fusedMultiplyAdd(
  result: FloatNumber, a: FloatNumber, b: FloatNumber, c: FloatNumber, format: FloatFormat, status: FloatStatus,
): void {
  if ((a.category | b.category | c.category) > NUMBER) return fusedNan(result, a, b, c, status)
  const product = a.category | b.category
  const sign = a.sign ^ b.sign
  if (product === (ZERO | INFINITY)) return invalid(result, status)
  if ((product & c.category & INFINITY) !== 0 && sign !== c.sign) return invalid(result, status)
  if (denormalStops(a, b, status) || denormalStops(c, c, status)) return
  if (((product | c.category) & INFINITY) !== 0) return result.setInfinity((product & INFINITY) !== 0 ? sign : c.sign)
  if ((product & ZERO) !== 0 && c.category === ZERO) return result.setZero(sign === c.sign ? sign : zeroSign(status))
  exactSum(result, a, b, c, status)
  if (result.category === FINITE) roundToFormat(result, format, status)
}

function fusedNan(result: FloatNumber, a: FloatNumber, b: FloatNumber, c: FloatNumber, status: FloatStatus): void {
  if ((a.category | b.category) > NUMBER) {
    propagateNans(result, a, b, status)
    if (c.category === Category.SIGNALLING_NAN) status.flags |= Exception.INVALID
    return
  }
  propagateNan(result, c, status)
}

function zeroSign(status: FloatStatus): number {
  return status.roundingMode === RoundingMode.DOWN ? 1 : 0
}

/** Terms this far below the other only matter as a sticky bit: more than twice the widest significand used here. */
const FAR = 300

function exactSum(result: FloatNumber, a: FloatNumber, b: FloatNumber, c: FloatNumber, status: FloatStatus): void {
  let product = (a.category | b.category) === FINITE ? a.significand() * b.significand() : 0n
  let addend = c.category === FINITE ? c.significand() << 63n : 0n
  let productScale = product === 0n ? c.exponent : a.exponent + b.exponent
  let addendScale = addend === 0n ? productScale : c.exponent
  if (productScale - addendScale > FAR) [addend, addendScale] = [1n, productScale - FAR]
  if (addendScale - productScale > FAR) [product, productScale] = [1n, addendScale - FAR]
  const scale = Math.min(productScale, addendScale)
  product <<= BigInt(productScale - scale)
  addend <<= BigInt(addendScale - scale)
  const total = ((a.sign ^ b.sign) === 0 ? product : -product) + (c.sign === 0 ? addend : -addend)
  if (total === 0n) result.setZero(zeroSign(status))
  else result.setScaled(total < 0n ? 1 : 0, total < 0n ? -total : total, scale - 126)
}
