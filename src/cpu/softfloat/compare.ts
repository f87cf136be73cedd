import { denormalStops } from './arithmetic.ts'
import { Category, compareMagnitudes, NUMBER } from './number.ts'
import type { FloatNumber } from './number.ts'
import { Exception } from './status.ts'
import type { FloatStatus } from './status.ts'

export const Ordering = { LESS: -1, EQUAL: 0, GREATER: 1, UNORDERED: 2 } as const

/**
 * How a stands to b. A quiet comparison raises invalid for signalling NaNs and unsupported encodings only, a signalling one for
 * every NaN. Denormal operands raise DE.
 */
export function compare(a: FloatNumber, b: FloatNumber, quiet: boolean, status: FloatStatus): number {
  const both = a.category | b.category
  if (both > NUMBER) {
    if (!quiet || (both & (Category.SIGNALLING_NAN | Category.UNSUPPORTED)) !== 0) status.flags |= Exception.INVALID
    return Ordering.UNORDERED
  }
  denormalStops(a, b, status)
  return orderNumbers(a, b)
}

/** How a stands to b when neither is a NaN. Zeros are equal. */
export function orderNumbers(a: FloatNumber, b: FloatNumber): number {
  if ((a.category | b.category) === Category.ZERO) return Ordering.EQUAL
  if (a.category === Category.ZERO) return b.sign !== 0 ? Ordering.GREATER : Ordering.LESS
  if (b.category === Category.ZERO || a.sign !== b.sign) return a.sign !== 0 ? Ordering.LESS : Ordering.GREATER
  const magnitude = orderMagnitudes(a, b)
  return a.sign !== 0 ? -magnitude || 0 : magnitude
}

function orderMagnitudes(a: FloatNumber, b: FloatNumber): number {
  if (a.category !== b.category) return a.category === Category.INFINITY ? Ordering.GREATER : Ordering.LESS
  return a.category === Category.INFINITY ? 0 : Math.sign(compareMagnitudes(a, b))
}
