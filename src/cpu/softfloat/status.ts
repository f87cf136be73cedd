/**
 * Exception flags, in the bit order that the x87 status and control words and MXCSR share (SDM Vol. 1 §8.1.3.3 and §10.2.3).
 */
export const Exception = {
  INVALID: 1,
  DENORMAL: 2,
  DIVIDE_BY_ZERO: 4,
  OVERFLOW: 8,
  UNDERFLOW: 16,
  PRECISION: 32,
  ALL: 63,
} as const

/** Exceptions found before a result is computed: when one of them is unmasked there is no result (SDM Vol. 1 §4.9.2). */
export const PRE_COMPUTATION = Exception.INVALID | Exception.DENORMAL | Exception.DIVIDE_BY_ZERO

/** The RC field of both control registers. */
export const RoundingMode = { NEAREST: 0, DOWN: 1, UP: 2, TOWARD_ZERO: 3 } as const

/** What an operation is told about its environment, and what it reports. Reused from one operation to the next. */
export class FloatStatus {
  roundingMode = 0
  /** Exceptions raised so far; operations only add to them. */
  flags = 0
  /** Set bits are masked exceptions. */
  masks: number = Exception.ALL
  /** SSE's DAZ: denormal operands count as zeros, silently. */
  denormalsAreZero = false
  /** SSE's FTZ: tiny results become zeros while underflow is masked. */
  flushToZero = false
  /** The last rounding increased the magnitude: the x87's C1. */
  roundedUp = false
  /** Which of two NaN operands survives: the x87's rule (larger significand), else SSE's (first operand). */
  x87 = false

  /** True when an exception found before the computation is unmasked: the operation must stop and has no result. */
  get stopped(): boolean { return (this.flags & ~this.masks & PRE_COMPUTATION) !== 0 }
}
