/**
 * RCPPS and RSQRTPS. Processors differ in their approximations (AMD's and Intel's tables give different bits, both within the
 * promised relative error of 1.5 × 2^-12): ours is the true value rounded to 13 significant bits, on every host. Neither raises
 * exceptions nor reads MXCSR; denormal operands count as zeros and denormal results become zeros (SDM Vol. 2, RCPPS, RSQRTPS).
 */
const singles = new Float32Array(1)
const words = new Uint32Array(singles.buffer)

const SIGN = 0x80000000
const INFINITY = 0x7f800000
const INDEFINITE = 0xffc00000
/** Half a unit of the 13-bit significand, and the bits below it. */
const HALF = 1 << 10
const KEPT = 0xfffff800

/** The bits of `value` rounded to 13 significant bits, or of zero when that is denormal. */
function rounded(value: number): number {
  singles[0] = value
  const bits = (words[0] + HALF & KEPT) >>> 0
  return (bits & INFINITY) === 0 ? (bits & SIGN) >>> 0 : bits
}

function valueOf(bits: number): number {
  words[0] = bits
  return singles[0]
}

const isNan = (bits: number): boolean => (bits & 0x7fffffff) > INFINITY
const quiet = (bits: number): number => (bits | 0x400000) >>> 0

/** One lane of RCPPS: an approximation of 1 / x. */
export function reciprocal(bits: number): number {
  if (isNan(bits)) return quiet(bits)
  if ((bits & INFINITY) === 0) return (bits & SIGN | INFINITY) >>> 0
  return rounded(1 / valueOf(bits))
}

/** One lane of RSQRTPS: an approximation of 1 / √x. */
export function reciprocalSquareRoot(bits: number): number {
  if (isNan(bits)) return quiet(bits)
  if ((bits & INFINITY) === 0) return (bits & SIGN | INFINITY) >>> 0
  if ((bits & SIGN) !== 0) return INDEFINITE
  return rounded(1 / Math.sqrt(valueOf(bits)))
}
