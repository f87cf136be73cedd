import type { FloatFormat } from './formats.ts'
import { Category, FloatNumber, normalise, shiftRightSticky } from './number.ts'
import { Exception, RoundingMode } from './status.ts'
import type { FloatStatus } from './status.ts'

const scratch = new FloatNumber()

/** Whether a magnitude with the given lowest kept bit, half bit and rest must be increased. */
function roundsUp(mode: number, sign: number, odd: boolean, half: boolean, rest: boolean): boolean {
  if (mode === RoundingMode.NEAREST) return half && (rest || odd)
  if (mode === RoundingMode.TOWARD_ZERO) return false
  return (half || rest) && (mode === RoundingMode.UP) === (sign === 0)
}

/**
 * Rounds a finite number to its `keep` leading bits (64 or fewer; zero and negative counts leave nothing, or one unit of the lowest
 * place). Sets `roundedUp`. May yield ZERO. Returns whether anything was lost.
 */
export function roundToBits(n: FloatNumber, keep: number, status: FloatStatus): boolean {
  const drop = 64 - keep
  shiftRightSticky(n, drop)
  const inexact = n.extra !== 0
  const up = inexact && roundsUp(status.roundingMode, n.sign, (n.lo & 1) !== 0, n.extra < 0, n.extra << 1 !== 0)
  status.roundedUp = up
  n.extra = 0
  n.exponent += drop
  if (up) increment(n)
  if ((n.hi | n.lo) === 0) n.category = Category.ZERO
  else normalise(n)
  return inexact
}

function increment(n: FloatNumber): void {
  n.lo = (n.lo + 1) | 0
  if (n.lo !== 0) return
  n.hi = (n.hi + 1) | 0
  if (n.hi !== 0) return
  n.hi = 0x80000000 | 0
  n.exponent += 1
}

/** Tininess is detected after rounding as if the exponent were unbounded (SDM Vol. 1 §4.9.1.5). */
function isTiny(n: FloatNumber, format: FloatFormat, status: FloatStatus): boolean {
  if (n.exponent < format.minimumExponent - 1) return true
  scratch.copy(n)
  roundToBits(scratch, format.precision, status)
  return scratch.exponent < format.minimumExponent
}

function roundSmall(n: FloatNumber, format: FloatFormat, status: FloatStatus): void {
  const tiny = isTiny(n, format, status)
  if (tiny && (status.masks & Exception.UNDERFLOW) === 0) {
    const inexact = roundToBits(n, format.precision, status)
    wrap(n, format, Exception.UNDERFLOW, inexact, status)
  } else if (tiny && status.flushToZero) {
    status.flags |= Exception.UNDERFLOW | Exception.PRECISION
    n.setZero(n.sign)
  } else if (roundToBits(n, format.precision - (format.minimumExponent - n.exponent), status)) {
    status.flags |= Exception.PRECISION | (tiny ? Exception.UNDERFLOW : 0)
  }
}

/**
 * The response to unmasked overflow and underflow: in x87 registers the exponent is moved into range; elsewhere there is no result.
 * An x87 store then reports nothing about its precision, an SSE instruction does.
 */
function wrap(n: FloatNumber, format: FloatFormat, exception: number, inexact: boolean, status: FloatStatus): void {
  status.flags |= exception
  if (inexact && (format.wrap !== 0 || !status.x87)) status.flags |= Exception.PRECISION
  if (format.wrap === 0) return
  n.exponent += exception === Exception.UNDERFLOW ? format.wrap : -format.wrap
  if (n.exponent >= format.minimumExponent && n.exponent <= format.maximumExponent) return
  status.flags |= Exception.PRECISION
  status.roundedUp = exception === Exception.OVERFLOW
  if (status.roundedUp) n.setInfinity(n.sign)
  else n.setZero(n.sign)
}

function overflow(n: FloatNumber, format: FloatFormat, inexact: boolean, status: FloatStatus): void {
  if ((status.masks & Exception.OVERFLOW) === 0) {
    return wrap(n, format, Exception.OVERFLOW, inexact, status)
  }
  status.flags |= Exception.OVERFLOW | Exception.PRECISION
  status.roundedUp = roundsUp(status.roundingMode, n.sign, true, true, true)
  if (status.roundedUp) n.setInfinity(n.sign)
  else setLargest(n, format)
}

/** The finite number of largest magnitude, of n's sign. */
function setLargest(n: FloatNumber, format: FloatFormat): void {
  n.set(Category.FINITE, n.sign, format.maximumExponent, -1, -1)
  if (format.precision <= 32) {
    n.hi = -1 << (32 - format.precision)
    n.lo = 0
  } else if (format.precision < 64) n.lo = -1 << (64 - format.precision)
}

/**
 * Rounds a finite number to a format, raising overflow, underflow and precision exceptions with their masked or unmasked results.
 * Afterwards it is ZERO, FINITE or INFINITY and can be packed exactly.
 */
export function roundToFormat(n: FloatNumber, format: FloatFormat, status: FloatStatus): void {
  if (n.exponent < format.minimumExponent) return roundSmall(n, format, status)
  const inexact = roundToBits(n, format.precision, status)
  if (n.exponent > format.maximumExponent) overflow(n, format, inexact, status)
  else if (inexact) status.flags |= Exception.PRECISION
}
