import { denormalStops } from '../softfloat/arithmetic.ts'
import { EXTENDED } from '../softfloat/formats.ts'
import { propagateNan, propagateNans } from '../softfloat/nan.ts'
import { Category, NUMBER } from '../softfloat/number.ts'
import { roundToFormat } from '../softfloat/round.ts'
import { underflow } from './arithmetic.ts'
import type { X87 } from './registers.ts'

/**
 * The common frame of the transcendental instructions. `compute` sees a number in x87.a (and x87.b), neither a NaN nor unsupported,
 * and leaves its result unrounded in x87.result. Results do not depend on the precision control field.
 */
export function unaryFunction(x87: X87, compute: (x87: X87) => void): void {
  if (x87.isEmpty(0)) return underflow(x87, 0, false)
  x87.begin()
  x87.load(x87.a, 0)
  if (x87.a.category > NUMBER) propagateNan(x87.result, x87.a, x87.status)
  else if (!denormalStops(x87.a, x87.a, x87.status)) computeRounded(x87, compute)
  if (x87.settle()) x87.store(0, x87.result)
}

/** A function of a = ST0 and b = ST1 that replaces ST1 and pops. */
export function binaryFunction(x87: X87, compute: (x87: X87) => void): void {
  if (x87.isEmpty(0) || x87.isEmpty(1)) return underflow(x87, 1, true)
  x87.begin()
  const { a, b, result, status } = x87
  x87.load(a, 0)
  x87.load(b, 1)
  if ((a.category | b.category) > NUMBER) propagateNans(result, a, b, status)
  else computeRounded(x87, compute)
  if (!x87.settle()) return
  x87.store(1, result)
  x87.pop()
}

function computeRounded(x87: X87, compute: (x87: X87) => void): void {
  compute(x87)
  if (!x87.status.stopped && x87.result.category === Category.FINITE) roundToFormat(x87.result, EXTENDED, x87.status)
}
