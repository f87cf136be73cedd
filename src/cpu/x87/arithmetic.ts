import { add, denormalStops, divide, multiply, squareRoot, subtract } from '../softfloat/arithmetic.ts'
import type { BinaryOperation } from '../softfloat/arithmetic.ts'
import { EXTENDED, unpackBinary32, unpackBinary64, unpackInteger } from '../softfloat/formats.ts'
import { roundToIntegral } from '../softfloat/integer.ts'
import { invalid, propagateNan, propagateNans } from '../softfloat/nan.ts'
import { Category, FloatNumber, NUMBER } from '../softfloat/number.ts'
import { remainderStep } from '../softfloat/remainder.ts'
import { roundToBits, roundToFormat } from '../softfloat/round.ts'
import { Exception, FloatStatus, RoundingMode } from '../softfloat/status.ts'
import { StatusWord } from './registers.ts'
import type { X87 } from './registers.ts'

const reverse = (operation: BinaryOperation): BinaryOperation => (r, a, b, format, status) => operation(r, b, a, format, status)

/** By the reg field of ModRM in opcodes D8 to DE (2 and 3 are the comparisons). */
const OPERATIONS: readonly (BinaryOperation | undefined)[] = [
  add, multiply, undefined, undefined, subtract, reverse(subtract), divide, reverse(divide),
]

/** Formats of memory operands. */
export type MemoryFormat = 'binary32' | 'binary64' | 'int16' | 'int32' | 'int64'

/** Takes the memory operand in Block.ARGUMENTS apart. */
export function loadOperand(x87: X87, n: FloatNumber, format: MemoryFormat): void {
  const lo = x87.words[x87.operandAt]
  const hi = x87.words[x87.operandAt + 1]
  if (format === 'binary32') unpackBinary32(n, lo)
  else if (format === 'binary64') unpackBinary64(n, lo, hi)
  else if (format === 'int64') unpackInteger(n, lo, hi)
  else {
    const value = format === 'int16' ? lo << 16 >> 16 : lo | 0
    unpackInteger(n, value, value >> 31)
  }
}

/** FADD, FMUL, FSUB, FSUBR, FDIV, FDIVR with a memory operand: ST0 = ST0 op memory, `operation` as in ModRM.reg. */
export function arithmeticMemory(x87: X87, operation: number, format: MemoryFormat): void {
  if (x87.isEmpty(0)) return underflow(x87, 0, false)
  loadOperand(x87, x87.b, format)
  compute(x87, operation, 0, false)
}

/** ST0 = ST0 op ST(i). */
export function arithmeticToTop(x87: X87, operation: number, i: number): void {
  if (x87.isEmpty(0) || x87.isEmpty(i)) return underflow(x87, 0, false)
  x87.load(x87.b, i)
  compute(x87, operation, 0, false)
}

/**
 * ST(i) = ST(i) op ST0, then pops if told. Opcodes DC and DE exchange the normal and reverse forms in ModRM.reg: E0 is FSUBR and
 * E8 FSUB. As `compute` has ST0 on the left, ModRM.reg's low bit gives ST(i) op ST0 by itself.
 */
export function arithmeticToRegister(x87: X87, operation: number, i: number, pop: boolean): void {
  if (x87.isEmpty(0) || x87.isEmpty(i)) return underflow(x87, i, pop)
  x87.load(x87.b, i)
  compute(x87, operation, i, pop)
}

function compute(x87: X87, operation: number, destination: number, pop: boolean): void {
  x87.begin()
  x87.load(x87.a, 0)
  OPERATIONS[operation]!(x87.result, x87.a, x87.b, x87.format, x87.status)
  finish(x87, destination, pop)
}

function finish(x87: X87, destination: number, pop: boolean): void {
  if (!x87.settle()) return
  x87.store(destination, x87.result)
  if (pop) x87.pop()
}

/** The response to an empty operand of an instruction with one result. */
export function underflow(x87: X87, destination: number, pop: boolean): void {
  if (!x87.stackUnderflow()) return
  x87.storeIndefinite(destination)
  if (pop) x87.pop()
}

export function fsqrt(x87: X87): void {
  if (x87.isEmpty(0)) return underflow(x87, 0, false)
  x87.begin()
  x87.load(x87.a, 0)
  squareRoot(x87.result, x87.a, x87.format, x87.status)
  finish(x87, 0, false)
}

export function frndint(x87: X87): void {
  if (x87.isEmpty(0)) return underflow(x87, 0, false)
  x87.begin()
  const { a, result, status } = x87
  x87.load(a, 0)
  if (a.category > NUMBER) propagateNan(result, a, status)
  else if (!denormalStops(a, a, status)) roundToIntegral(result, a, status)
  finish(x87, 0, false)
}

/** FCHS and FABS: nothing but the sign changes, and nothing but an empty register is an error. */
export function changeSign(x87: X87, keep: number, flip: number): void {
  if (x87.isEmpty(0)) return underflow(x87, 0, false)
  x87.begin()
  x87.settle()
  const at = x87.at(0) + 2
  x87.words[at] = ((x87.words[at] & keep) ^ flip) & 0xffff
}

/**
 * FPREM, and FPREM1 with `nearest`. C2 is set while the reduction is incomplete; C0, C3, C1 are bits 2, 1, 0 of the quotient. Where
 * there is no quotient (NaNs, faults) C0 and C3 stay.
 */
export function fprem(x87: X87, nearest: boolean): void {
  x87.statusWord &= ~StatusWord.C2
  if (x87.isEmpty(0) || x87.isEmpty(1)) return underflow(x87, 0, false)
  const outcome = { complete: true, quotient: 0 }
  x87.begin()
  x87.load(x87.a, 0)
  x87.load(x87.b, 1)
  remainderStep(x87.result, x87.a, x87.b, nearest, x87.status, outcome)
  finish(x87, 0, false)
  const { quotient } = outcome
  if (x87.status.stopped || x87.result.category > NUMBER) return
  x87.setConditions((outcome.complete ? 0 : StatusWord.C2) | ((quotient & 4) << 6) | ((quotient & 2) << 13))
  if ((quotient & 1) !== 0) x87.statusWord |= StatusWord.C1
}

const truncating = new FloatStatus()
truncating.roundingMode = RoundingMode.TOWARD_ZERO
const scaleNumber = new FloatNumber()
/** Scales beyond this overflow or underflow whatever they are applied to, the x87's response to unmasked exceptions included. */
const SCALE_LIMIT = 0x10000

/** FSCALE: ST0 × 2^(ST1 rounded towards zero). */
export function fscale(x87: X87): void {
  if (x87.isEmpty(0) || x87.isEmpty(1)) return underflow(x87, 0, false)
  x87.begin()
  x87.load(x87.a, 0)
  x87.load(x87.b, 1)
  scale(x87.result, x87.a, x87.b, x87.status)
  finish(x87, 0, false)
}

function scale(result: FloatNumber, a: FloatNumber, b: FloatNumber, status: FloatStatus): void {
  if ((a.category | b.category) > NUMBER) return propagateNans(result, a, b, status)
  if (b.category === Category.INFINITY) {
    if (a.category === (b.sign === 0 ? Category.ZERO : Category.INFINITY)) return invalid(result, status)
    if (denormalStops(a, b, status)) return
    return b.sign === 0 ? result.setInfinity(a.sign) : result.setZero(a.sign)
  }
  if (denormalStops(a, b, status)) return
  result.copy(a)
  if (a.category !== Category.FINITE) return
  result.exponent += truncate(b)
  roundToFormat(result, EXTENDED, status)
}

/** A number's integral part, limited to ±SCALE_LIMIT. */
function truncate(n: FloatNumber): number {
  if (n.category === Category.ZERO || n.exponent < 0) return 0
  const sign = n.sign === 0 ? 1 : -1
  if (n.exponent >= 16) return sign * SCALE_LIMIT
  scaleNumber.copy(n)
  roundToBits(scaleNumber, n.exponent + 1, truncating)
  return sign * (scaleNumber.hi >>> (31 - scaleNumber.exponent))
}

/** FXTRACT: ST0 becomes the exponent, and the significand is pushed. */
export function fxtract(x87: X87): void {
  if (x87.isEmpty(0)) return fxtractFault(x87, x87.stackUnderflow())
  if (!x87.isEmpty(7)) return fxtractFault(x87, x87.stackOverflow())
  x87.begin()
  const { a, b, result, status } = x87
  x87.load(a, 0)
  extract(b, result, a, status)
  if (!x87.settle()) return
  x87.store(0, b)
  x87.push()
  x87.store(0, result)
}

function fxtractFault(x87: X87, masked: boolean): void {
  if (!masked) return
  x87.storeIndefinite(0)
  x87.push()
  x87.storeIndefinite(0)
}

function extract(exponent: FloatNumber, significand: FloatNumber, a: FloatNumber, status: FloatStatus): void {
  if (a.category > NUMBER) {
    propagateNan(significand, a, status)
    return exponent.copy(significand)
  }
  significand.copy(a)
  if (a.category === Category.ZERO) {
    status.flags |= Exception.DIVIDE_BY_ZERO
    return exponent.setInfinity(1)
  }
  if (a.category === Category.INFINITY) return exponent.setInfinity(0)
  if (denormalStops(a, a, status)) return
  significand.exponent = 0
  unpackInteger(exponent, a.exponent, a.exponent >> 31)
}
