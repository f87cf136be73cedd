import { EXTENDED } from './formats.ts'
import { denormalStops } from './arithmetic.ts'
import { invalid, propagateNans } from './nan.ts'
import { Category, FloatNumber, NUMBER } from './number.ts'
import { roundToFormat } from './round.ts'
import type { FloatStatus } from './status.ts'

/** What FPREM and FPREM1 report: whether the reduction is complete, and the low three bits of the quotient. */
export interface RemainderOutcome {
  complete: boolean
  quotient: number
}

const { ZERO, FINITE, INFINITY } = Category

/**
 * One step of result = a rem b: exact when the exponents differ by less than 64, else a partial reduction. `nearest` rounds the
 * quotient to nearest even (FPREM1, the IEEE remainder) instead of truncating it (FPREM).
 */
export function remainderStep(
  result: FloatNumber, a: FloatNumber, b: FloatNumber, nearest: boolean, status: FloatStatus, outcome: RemainderOutcome,
): void {
  outcome.complete = true
  outcome.quotient = 0
  if ((a.category | b.category) > NUMBER) return propagateNans(result, a, b, status)
  if (a.category === INFINITY || b.category === ZERO) return invalid(result, status)
  if (denormalStops(a, b, status)) return
  result.copy(a)
  result.denormal = false
  if (a.category === ZERO || b.category !== FINITE) return roundExact(result, status)
  const difference = a.exponent - b.exponent
  if (difference >= 64) partial(result, a, b, difference, outcome)
  else if (difference >= -1) complete(result, a, b, difference, nearest, outcome)
  roundExact(result, status)
}

/** The result is representable: rounding can only find that it is tiny. */
function roundExact(result: FloatNumber, status: FloatStatus): void {
  if (result.category === FINITE) roundToFormat(result, EXTENDED, status)
}

/** Reduces the exponent's difference by 32 to 63: `difference` modulo 32 is worked off together with 32 more bits. */
function partial(result: FloatNumber, a: FloatNumber, b: FloatNumber, difference: number, outcome: RemainderOutcome): void {
  const bits = (difference & 31) | 32
  outcome.complete = false
  const rest = (a.significand() << BigInt(bits)) % b.significand()
  setMagnitude(result, a.sign, rest, b.exponent - 63 + difference - bits)
}

function complete(
  result: FloatNumber, a: FloatNumber, b: FloatNumber, difference: number, nearest: boolean, outcome: RemainderOutcome,
): void {
  const divisor = b.significand() << (difference < 0 ? 1n : 0n)
  const dividend = a.significand() << BigInt(Math.max(0, difference))
  const scale = Math.min(a.exponent, b.exponent) - 63
  let quotient = dividend / divisor
  let rest = dividend % divisor
  let sign = a.sign
  if (nearest && (rest * 2n > divisor || (rest * 2n === divisor && (quotient & 1n) === 1n))) {
    quotient += 1n
    rest = divisor - rest
    sign ^= 1
  }
  outcome.quotient = Number(quotient & 7n)
  setMagnitude(result, sign, rest, scale)
}

function setMagnitude(result: FloatNumber, sign: number, magnitude: bigint, scale: number): void {
  if (magnitude === 0n) result.setZero(sign)
  else result.setScaled(sign, magnitude, scale)
}
