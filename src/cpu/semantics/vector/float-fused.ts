/**
 * Fused multiply-add (SDM Vol. 2: VFMADD132PS to VFNMSUB231SD): x × y + z with one rounding. WebAssembly has no such operation, so the
 * common case is made of ones whose rounding errors are known exactly. All else is a helper's, as in float-arithmetic.ts.
 */
import { ValueType, W } from '../../wasm/opcodes.ts'
import { define } from '../define.ts'
import type { Value } from '../ops.ts'
import { ALL_SUFFIXES, FloatLanes } from './float-lanes.ts'
import type { FloatSuffix, Parts } from './float-lanes.ts'
import { HIGH_HALF, LOW_HALVES, doublewords, quadwords, v } from './operands.ts'

const { F32, F64, V128 } = ValueType

/** A fused result; tests whether the operands are such that it can be relied on, and whether it is exact. */
interface Fused { readonly result: Value; readonly common: Value; readonly isExact: () => Value }

/** 2^27 + 1 splits a binary64 into halves (Veltkamp). */
const SPLITTER = 134217729
/** Factors and addends between these and their reciprocals keep every intermediate value in range, down to its last bit. */
const FACTOR_LIMIT = 2 ** 450
const ADDEND_LIMIT = 2 ** 900
/** Twice the smallest normal binary32. */
const SAFE_SINGLE = 2 ** -125

/** a + b - sum, exactly (Knuth). */
function sumError(f: FloatLanes, a: Value, b: Value, sum: Value): Value {
  const virtual = f.o.let(f.operate('sub', sum, a))
  return f.operate('add', f.operate('sub', a, f.operate('sub', sum, virtual)), f.operate('sub', b, virtual))
}

/** a × b - product, exactly (Dekker). */
function productError(f: FloatLanes, a: Value, b: Value, product: Value): Value {
  const { o } = f
  const halves = (value: Value): [Value, Value] => {
    const scaled = o.let(f.operate('mul', value, f.number(SPLITTER)))
    const high = o.let(f.operate('sub', scaled, f.operate('sub', scaled, value)))
    return [high, o.let(f.operate('sub', value, high))]
  }
  const [aHigh, aLow] = halves(a)
  const [bHigh, bLow] = halves(b)
  const rest = f.operate('sub', f.operate('mul', aHigh, bHigh), product)
  return [[aHigh, bLow], [aLow, bHigh], [aLow, bLow]].reduce((sum, [x, y]) => f.operate('add', sum, f.operate('mul', x, y)), rest)
}

/**
 * a + b in binary64, rounded to odd: an inexact sum that is even moves to its neighbour on the side of the error. Rounding it once
 * more gives what a single rounding would have given (Boldo and Melquiond, "Emulation of a FMA and correctly rounded sums").
 */
function oddSum(f: FloatLanes, a: Value, b: Value): { plain: Value; odd: Value; error: Value } {
  const { o } = f
  const plain = o.let(f.operate('add', a, b))
  const error = o.let(sumError(f, a, b, plain))
  const inexact = f.compare('ne', error, f.number(0))
  return { plain, odd: f.packed ? packedOdd(f, plain, error, inexact) : scalarOdd(f, plain, error, inexact), error }
}

function scalarOdd(f: FloatLanes, sum: Value, error: Value, inexact: Value): Value {
  const { o } = f
  const bits = o.let(f.toBits(sum))
  const step = o.or(o.sar(o.xor(bits, f.toBits(error)), o.i64(63)), o.i64(1))
  const isEven = o.xor(o.and(bits, o.i64(1)), o.i64(1))
  return o.let(f.fromBits(o.add(bits, o.mul(step, o.and(isEven, o.extend(inexact, false))))))
}

function packedOdd({ o }: FloatLanes, sum: Value, error: Value, inexact: Value): Value {
  const one = quadwords(o, 1n)
  const step = v(o, W.v128_or, v(o, W.i64x2_shr_s, v(o, W.v128_xor, sum, error), o.i32(63)), one)
  const isEven = v(o, W.i64x2_ne, v(o, W.v128_and, sum, one), one)
  return o.let(v(o, W.i64x2_add, sum, v(o, W.v128_and, step, v(o, W.v128_and, isEven, inexact))))
}

/** Binary64 numbers: the errors of product and sums are added to odd, and rounded with the rest. */
function fusedDouble(f: FloatLanes, x: Value, y: Value, z: Value): Fused {
  const { o } = f
  const product = o.let(f.operate('mul', x, y))
  const productTail = o.let(productError(f, x, y, product))
  const addend = o.let(f.operate('add', z, productTail))
  const addendTail = o.let(sumError(f, z, productTail, addend))
  const sum = o.let(f.operate('add', product, addend))
  const { odd: tail, error } = oddSum(f, addendTail, o.let(sumError(f, product, addend, sum)))
  const rounded = o.let(f.operate('add', sum, tail))
  return {
    // Where the exact result is zero, so is the product's error, and the plain sum has the right sign.
    result: o.let(f.choose(f.isZero(rounded), f.operate('add', product, z), rounded)),
    common: f.both(within(f, x, FACTOR_LIMIT), within(f, y, FACTOR_LIMIT), within(f, z, ADDEND_LIMIT)),
    isExact: () => f.both(f.isZero(error), f.isZero(sumError(f, sum, tail, rounded))),
  }
}

/** Zero, or a magnitude between the limit and its reciprocal. */
function within(f: FloatLanes, value: Value, limit: number): Value {
  const magnitude = f.o.let(f.operate('abs', value))
  return f.either(f.isZero(value), f.both(f.compare('le', f.number(1 / limit), magnitude), f.compare('lt', magnitude, f.number(limit))))
}

/** Binary32 numbers in binary64, where their product is exact; `wide` has its lanes. The result is still to be narrowed. */
function fusedWide(wide: FloatLanes, x: Value, y: Value, z: Value): { odd: Value; common: Value; isExact: (result: Value) => Value } {
  const { o } = wide
  const { plain, odd, error } = oddSum(wide, o.let(wide.operate('mul', x, y)), z)
  return {
    odd,
    common: wide.either(wide.isZero(plain), wide.compare('le', wide.number(SAFE_SINGLE), wide.operate('abs', plain))),
    isExact: (result) => wide.both(wide.isZero(error), wide.compare('eq', result, plain)),
  }
}

function fusedSingle(f: FloatLanes, x: Value, y: Value, z: Value): Fused {
  const { o } = f
  const wide = new FloatLanes(o, 'SD')
  const promoted = (value: Value): Value => o.op(W.f64_promote_f32, F64, value)
  const [a, b, c] = [x, y, z].map((value) => o.let(promoted(value)))
  const { odd, common, isExact } = fusedWide(wide, a, b, c)
  const result = o.let(o.op(W.f32_demote_f64, F32, odd))
  return { result, common: f.both(common, ordinarySingles(f, x, y, z, result)), isExact: () => isExact(promoted(result)) }
}

const ordinarySingles = (f: FloatLanes, x: Value, y: Value, z: Value, result: Value): Value =>
  f.both(f.isOrdinary(x), f.isOrdinary(y), f.isOrdinary(z), f.isFinite(result))

/** Four binary32 lanes, as two and two binary64 ones. */
function fusedSingles(f: FloatLanes, x: Value, y: Value, z: Value): Fused {
  const { o } = f
  const wide = new FloatLanes(o, 'PD')
  const promoted = (value: Value): Value => v(o, W.f64x2_promote_low_f32x4, value)
  const upper = (value: Value): Value => o.shuffle(value, value, HIGH_HALF)
  const halves = [[x, y, z], [x, y, z].map(upper)].map((half) => {
    const [a, b, c] = half.map((value) => o.let(promoted(value)))
    const fused = fusedWide(wide, a, b, c)
    return { ...fused, narrow: o.let(v(o, W.f32x4_demote_f64x2_zero, fused.odd)) }
  })
  const result = o.let(o.shuffle(halves[0].narrow, halves[1].narrow, LOW_HALVES))
  return {
    result,
    common: f.both(...halves.map((half) => half.common), ordinarySingles(f, x, y, z, result)),
    isExact: () => f.both(...halves.map((half) => half.isExact(promoted(half.narrow)))),
  }
}

function fused(f: FloatLanes, x: Value, y: Value, z: Value): Fused {
  if (f.bits === 64) return fusedDouble(f, x, y, z)
  return f.packed ? fusedSingles(f, x, y, z) : fusedSingle(f, x, y, z)
}

/** What is negated: the product, and the addend in even and odd lanes. */
interface Signs { readonly product: boolean; readonly even: boolean; readonly odd: boolean }

const FAMILIES: readonly (readonly [string, Signs])[] = [
  ['FMADD', { product: false, even: false, odd: false }],
  ['FMSUB', { product: false, even: true, odd: true }],
  ['FNMADD', { product: true, even: false, odd: false }],
  ['FNMSUB', { product: true, even: true, odd: true }],
  ['FMADDSUB', { product: false, even: true, odd: false }],
  ['FMSUBADD', { product: false, even: false, odd: true }],
]

function signedAddend(f: FloatLanes, z: Value, { even, odd }: Signs): Value {
  const { o } = f
  if (even === odd) return even ? f.operate('neg', z) : z
  const [first, second] = [Number(even), Number(odd)]
  const signs = f.bits === 32
    ? doublewords(o, first * 0x80000000, second * 0x80000000)
    : quadwords(o, BigInt(first) << 63n, BigInt(second) << 63n)
  return o.op(W.v128_xor, V128, z, signs)
}

/** The digits of `order` name the operands that are multiplied, and the one that is added. */
function defineFused(name: string, order: string, suffix: FloatSuffix, signs: Signs): void {
  define(`V${name}${order}${suffix}`, 'rw,r,r', (o) => {
    const f = new FloatLanes(o, suffix, true)
    const third = f.parts(2)
    const operands = [f.parts(0), f.parts(1), third]
    const [x, y, z] = [...order].map((digit) => operands[Number(digit) - 1])
    f.write(emitFused(f, name + suffix, signs, x, y, z), 0)
  })
}

function emitFused(f: FloatLanes, helper: string, signs: Signs, x: Parts, y: Parts, z: Parts): Parts {
  const { o } = f
  const results = x.map((factor, n) => {
    const signed = signs.product ? o.let(f.operate('neg', factor)) : factor
    return fused(f, signed, y[n], o.let(signedAddend(f, z[n], signs)))
  })
  const common = f.everywhere(...results.map((each) => each.common))
  const quiet = f.roundsQuietly(() => f.both(...results.map((each) => each.isExact())))
  const args = [...x, ...y, ...z].map((value) => f.toBits(value))
  return f.commonly(o.and(common, quiet), results.map((each) => each.result), helper, args)
}

for (const [name, signs] of FAMILIES) {
  for (const suffix of ALL_SUFFIXES.filter((each) => each.startsWith('P') || signs.even === signs.odd)) {
    for (const order of ['132', '213', '231']) defineFused(name, order, suffix, signs)
  }
}
