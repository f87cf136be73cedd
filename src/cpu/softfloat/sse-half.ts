import { denormalStops } from './arithmetic.ts'
import { BINARY16, packBinary16, packBinary32, unpackBinary16, unpackBinary32 } from './formats.ts'
import { propagateNan } from './nan.ts'
import { Category, FloatNumber, NUMBER } from './number.ts'
import { roundToFormat } from './round.ts'
import type { SseStatus } from './sse-status.ts'

/** F16C's conversions, one lane at a time (SDM Vol. 1 §14.4.1). */

const operand = new FloatNumber()
const result = new FloatNumber()

/** A lane of VCVTPH2PS: the bits of a binary32. Denormal operands are taken as they are, whatever DAZ says, and raise nothing. */
export function binary16To32(bits: number, status: SseStatus): number {
  unpackBinary16(operand, bits)
  if (operand.category > NUMBER) propagateNan(result, operand, status)
  else result.copy(operand)
  status.endLane()
  return packBinary32(result)
}

/** Of VCVTPS2PH's immediate: rounding by MXCSR instead of bits 0 and 1. */
const BY_MXCSR = 4

/** A lane of VCVTPS2PH: the bits of a binary16. DAZ counts, FTZ does not. */
export function binary32To16(immediate: number, bits: number, status: SseStatus): number {
  const { roundingMode, flushToZero } = status
  if ((immediate & BY_MXCSR) === 0) status.roundingMode = immediate & 3
  status.flushToZero = false
  unpackBinary32(operand, bits, status.denormalsAreZero)
  if (operand.category > NUMBER) propagateNan(result, operand, status)
  else toHalf(status)
  status.roundingMode = roundingMode
  status.flushToZero = flushToZero
  status.endLane()
  return packBinary16(result)
}

function toHalf(status: SseStatus): void {
  result.copy(operand)
  if (!denormalStops(operand, operand, status) && operand.category === Category.FINITE) roundToFormat(result, BINARY16, status)
}
