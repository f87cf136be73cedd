import { denormalStops } from '../softfloat/arithmetic.ts'
import { EXTENDED } from '../softfloat/formats.ts'
import { invalid, propagateNan } from '../softfloat/nan.ts'
import { Category, FloatNumber, NUMBER } from '../softfloat/number.ts'
import { roundToFormat } from '../softfloat/round.ts'
import { underflow } from './arithmetic.ts'
import { fractionFor, setInexact, sineAndCosine, toFixed } from './fixed-point.ts'
import { StatusWord } from './registers.ts'
import type { X87 } from './registers.ts'

/** π rounded to 66 bits, with 64 fraction bits: what processors reduce arguments by (SDM Vol. 1 §8.3.8). */
const PI_66 = 0x3243f6a8885a308d3n

/** Arguments of this exponent and above are not reduced: C2 is set and nothing else happens. */
const REDUCIBLE = 63

/** Below 2^-SMALL the first term of a series and a sticky bit give the result. */
const SMALL = 40

/** Exact fraction bits of the reduced argument. */
const REDUCED_FRACTION = 192

const cosineResult = new FloatNumber()

type Results = (x87: X87, quadrant: number, sine: bigint, cosine: bigint, fraction: number) => void
/** What is left of an argument so small that sin x = x - ε, cos x = 1 - ε, tan x = x + ε. */
type SmallResults = (x87: X87) => void

/** True when ST0 was handled: C2 is clear, and `results` or `small` computed from a finite argument. */
function evaluate(x87: X87, results: Results, small: SmallResults): void {
  const { a } = x87
  if (a.exponent < -SMALL) return small(x87)
  const { quadrant, rest } = reduce(a)
  const fraction = Math.max(REDUCED_FRACTION, fractionFor(a.exponent))
  const { sine, cosine } = sineAndCosine(rest << BigInt(fraction - REDUCED_FRACTION), fraction)
  results(x87, quadrant, sine, cosine, fraction)
}

/** |a| = n π/2 + rest, with |rest| up to π/4 and the quadrant n modulo 4; a's sign is left to the caller. */
function reduce(a: FloatNumber): { quadrant: number, rest: bigint } {
  const value = toFixed(a, REDUCED_FRACTION)
  const half = PI_66 << BigInt(REDUCED_FRACTION - 65)
  const n = (2n * value + half) / (2n * half)
  return { quadrant: Number(n & 3n), rest: value - n * half }
}

function setSine(n: FloatNumber, sign: number, quadrant: number, sine: bigint, cosine: bigint, fraction: number): void {
  const value = (quadrant & 1) !== 0 ? cosine : sine
  setInexact(n, sign ^ (quadrant >> 1), value, fraction)
}

/** The number's magnitude moved by a hair: below the last bit, but seen by rounding. */
function nudge(n: FloatNumber, from: FloatNumber, up: boolean): void {
  const value = (from.significand() << 32n) + (up ? 1n : -1n)
  n.setScaled(from.sign, value, from.exponent - 95)
}

function setOne(n: FloatNumber): void { n.set(Category.FINITE, 0, 0, 0x80000000 | 0, 0) }

function smallCosine(n: FloatNumber): void {
  setOne(n)
  nudge(n, n, false)
}

/** FSIN, FCOS: one result. */
function single(x87: X87, results: Results, small: SmallResults, ofZero: (x87: X87) => void): void {
  if (x87.isEmpty(0)) {
    clearC2(x87)
    return underflow(x87, 0, false)
  }
  if (!prepare(x87)) return
  const { a, result, status } = x87
  if (a.category > NUMBER) propagateNan(result, a, status)
  else if (a.category === Category.INFINITY) invalid(result, status)
  else if (!denormalStops(a, a, status)) {
    if (a.category === Category.ZERO) ofZero(x87)
    else {
      evaluate(x87, results, small)
      roundToFormat(result, EXTENDED, status)
    }
  }
  if (x87.settle()) x87.store(0, result)
}

function clearC2(x87: X87): void { x87.statusWord &= ~StatusWord.C2 }

/** Loads ST0 and clears C2; false, with C2 set, when the argument is out of range. */
function prepare(x87: X87): boolean {
  clearC2(x87)
  x87.begin()
  x87.load(x87.a, 0)
  if (x87.a.category !== Category.FINITE || x87.a.exponent < REDUCIBLE) return true
  x87.settle()
  x87.statusWord |= StatusWord.C2
  return false
}

export function fsin(x87: X87): void {
  single(x87, (unit, quadrant, sine, cosine, fraction) => setSine(unit.result, unit.a.sign, quadrant, sine, cosine, fraction),
    unit => nudge(unit.result, unit.a, false), unit => unit.result.copy(unit.a))
}

export function fcos(x87: X87): void {
  single(x87, (unit, quadrant, sine, cosine, fraction) => setSine(unit.result, 0, (quadrant + 1) & 3, sine, cosine, fraction),
    unit => smallCosine(unit.result), unit => setOne(unit.result))
}

/** FSINCOS and FPTAN: ST0 becomes the first result, and a second one is pushed. */
function double(x87: X87, second: FloatNumber, results: Results, small: SmallResults, ofZero: (x87: X87) => void): void {
  if (x87.isEmpty(0)) return doubleFault(x87, x87.stackUnderflow())
  if (!x87.isEmpty(7)) return doubleFault(x87, x87.stackOverflow())
  if (!prepare(x87)) return
  const { a, result, status } = x87
  if (a.category > NUMBER) propagateNan(result, a, status)
  else if (a.category === Category.INFINITY) invalid(result, status)
  else if (!denormalStops(a, a, status)) {
    if (a.category === Category.ZERO) ofZero(x87)
    else evaluate(x87, results, small)
  }
  if (result.category > NUMBER) second.copy(result)
  pushResults(x87, second)
}

function pushResults(x87: X87, second: FloatNumber): void {
  const { result, status } = x87
  if (!status.stopped) {
    if (second.category === Category.FINITE) roundToFormat(second, EXTENDED, status)
    if (result.category === Category.FINITE) roundToFormat(result, EXTENDED, status)
  }
  if (!x87.settle()) return
  x87.store(0, result)
  x87.push()
  x87.store(0, second)
}

function doubleFault(x87: X87, masked: boolean): void {
  clearC2(x87)
  if (!masked) return
  x87.storeIndefinite(0)
  x87.push()
  x87.storeIndefinite(0)
}

export function fsincos(x87: X87): void {
  double(x87, cosineResult, (unit, quadrant, sine, cosine, fraction) => {
    setSine(unit.result, unit.a.sign, quadrant, sine, cosine, fraction)
    setSine(cosineResult, 0, (quadrant + 1) & 3, sine, cosine, fraction)
  }, unit => {
    nudge(unit.result, unit.a, false)
    smallCosine(cosineResult)
  }, unit => {
    unit.result.copy(unit.a)
    setOne(cosineResult)
  })
}

/** FPTAN pushes 1.0 after the tangent, for compatibility with processors that gave a ratio. */
export function fptan(x87: X87): void {
  setOne(cosineResult)
  double(x87, cosineResult, (unit, quadrant, sine, cosine, fraction) => {
    const odd = (quadrant & 1) !== 0
    const tangent = odd ? (-cosine << BigInt(fraction)) / sine : (sine << BigInt(fraction)) / cosine
    setInexact(unit.result, unit.a.sign, tangent, fraction)
  }, unit => nudge(unit.result, unit.a, true), unit => unit.result.copy(unit.a))
}
