import { denormalStops } from './arithmetic.ts'
import {
  BINARY32, BINARY64, packBinary32, packBinary64, unpackBinary32, unpackBinary64, unpackInteger,
} from './formats.ts'
import type { FloatFormat } from './formats.ts'
import { roundToIntegral, toInteger } from './integer.ts'
import { propagateNan } from './nan.ts'
import { Category, FloatNumber, NUMBER } from './number.ts'
import { roundToFormat } from './round.ts'
import { Exception, RoundingMode } from './status.ts'
import type { SseStatus } from './sse-status.ts'

/**
 * SSE's conversions and ROUNDxx, one lane at a time, over words as in sse.ts. Packed forms call them lane by lane; a widening one
 * must not overlap its operand.
 */

const operand = new FloatNumber()
const result = new FloatNumber()
const integer = { lo: 0, hi: 0 }

function convert(format: FloatFormat, status: SseStatus): void {
  if (operand.category > NUMBER) return propagateNan(result, operand, status)
  result.copy(operand)
  if (!denormalStops(operand, operand, status) && operand.category === Category.FINITE) roundToFormat(result, format, status)
}

/** CVTSS2SD, and a lane of CVTPS2PD: writes two words. */
export function binary32To64(words: Uint32Array, to: number, bits: number, status: SseStatus): void {
  unpackBinary32(operand, bits, status.denormalsAreZero)
  convert(BINARY64, status)
  packBinary64(result, words, to)
  status.endLane()
}

/** CVTSD2SS, and a lane of CVTPD2PS: returns the bits. */
export function binary64To32(words: Uint32Array, from: number, status: SseStatus): number {
  unpackBinary64(operand, words[from], words[from + 1], status.denormalsAreZero)
  convert(BINARY32, status)
  status.endLane()
  return packBinary32(result)
}

/** CVTSI2SS, and a lane of CVTDQ2PS: from a signed integer of 64 bits (sign-extended if it is narrower). */
export function integerTo32(lo: number, hi: number, status: SseStatus): number {
  unpackInteger(result, lo, hi)
  if (result.category === Category.FINITE) roundToFormat(result, BINARY32, status)
  status.endLane()
  return packBinary32(result)
}

/** CVTSI2SD, and a lane of CVTDQ2PD. */
export function integerTo64(words: Uint32Array, to: number, lo: number, hi: number, status: SseStatus): void {
  unpackInteger(result, lo, hi)
  if (result.category === Category.FINITE) roundToFormat(result, BINARY64, status)
  packBinary64(result, words, to)
  status.endLane()
}

/** Rounds the operand to an integer of 32 or 64 bits and writes one or two words. */
function store(words: Uint32Array, to: number, bits: 32 | 64, truncate: boolean, status: SseStatus): void {
  const mode = status.roundingMode
  if (truncate) status.roundingMode = RoundingMode.TOWARD_ZERO
  toInteger(integer, operand, bits, status)
  status.roundingMode = mode
  words[to] = integer.lo
  if (bits === 64) words[to + 1] = integer.hi
  status.endLane()
}

/** CVTSS2SI, CVTTSS2SI (`truncate`), and lanes of CVTPS2DQ and CVTTPS2DQ. */
export function binary32ToInteger(
  words: Uint32Array, to: number, operandBits: number, bits: 32 | 64, truncate: boolean, status: SseStatus,
): void {
  unpackBinary32(operand, operandBits, status.denormalsAreZero)
  store(words, to, bits, truncate, status)
}

/** CVTSD2SI, CVTTSD2SI (`truncate`), and lanes of CVTPD2DQ and CVTTPD2DQ. */
export function binary64ToInteger(
  words: Uint32Array, to: number, from: number, bits: 32 | 64, truncate: boolean, status: SseStatus,
): void {
  unpackBinary64(operand, words[from], words[from + 1], status.denormalsAreZero)
  store(words, to, bits, truncate, status)
}

/** Bits of ROUNDSS's immediate above the rounding mode. */
const USE_MXCSR = 4
const NO_PRECISION = 8

function round(immediate: number, status: SseStatus): void {
  const mode = status.roundingMode
  if ((immediate & USE_MXCSR) === 0) status.roundingMode = immediate & 3
  if (operand.category > NUMBER) propagateNan(result, operand, status)
  else roundToIntegral(result, operand, status)
  status.roundingMode = mode
  if ((immediate & NO_PRECISION) !== 0) status.flags &= ~Exception.PRECISION
}

/** ROUNDSS, and a lane of ROUNDPS: returns the bits. */
export function round32(immediate: number, bits: number, status: SseStatus): number {
  unpackBinary32(operand, bits, status.denormalsAreZero)
  round(immediate, status)
  status.endLane()
  return packBinary32(result)
}

/** ROUNDSD, and a lane of ROUNDPD. */
export function round64(immediate: number, words: Uint32Array, to: number, from: number, status: SseStatus): void {
  unpackBinary64(operand, words[from], words[from + 1], status.denormalsAreZero)
  round(immediate, status)
  packBinary64(result, words, to)
  status.endLane()
}
