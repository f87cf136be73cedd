import { Category, compareWords, NUMBER } from './number.ts'
import type { FloatNumber } from './number.ts'
import { Exception } from './status.ts'
import type { FloatStatus } from './status.ts'

const QUIET_BIT = 0x40000000

function setQuiet(result: FloatNumber, nan: FloatNumber): void {
  result.copy(nan)
  result.category = Category.QUIET_NAN
  result.hi |= QUIET_BIT
}

/** The result of an invalid operation: raises it, and gives the default NaN. */
export function invalid(result: FloatNumber, status: FloatStatus): void {
  status.flags |= Exception.INVALID
  result.setIndefinite()
}

/** The result of a one-operand operation on a NaN or an unsupported encoding. */
export function propagateNan(result: FloatNumber, a: FloatNumber, status: FloatStatus): void {
  if (a.category === Category.UNSUPPORTED) return invalid(result, status)
  if (a.category === Category.SIGNALLING_NAN) status.flags |= Exception.INVALID
  setQuiet(result, a)
}

/** The result of a two-operand operation when at least one operand is a NaN or unsupported (SDM Vol. 1 §4.8.3.5, table 4-7). */
export function propagateNans(result: FloatNumber, a: FloatNumber, b: FloatNumber, status: FloatStatus): void {
  const both = a.category | b.category
  if ((both & Category.UNSUPPORTED) !== 0) return invalid(result, status)
  if ((both & Category.SIGNALLING_NAN) !== 0) status.flags |= Exception.INVALID
  setQuiet(result, status.x87 ? largerNan(a, b) : a.category > NUMBER ? a : b)
}

/** The x87's choice: a quiet NaN over a signalling one, else the larger significand, else the positive one. */
function largerNan(a: FloatNumber, b: FloatNumber): FloatNumber {
  if (a.category <= NUMBER) return b
  if (b.category <= NUMBER) return a
  if (a.category !== b.category) return a.category === Category.QUIET_NAN ? a : b
  const order = compareWords(a.hi, a.lo, b.hi, b.lo)
  return order > 0 || (order === 0 && a.sign <= b.sign) ? a : b
}
