/**
 * Conversions between integers and floating point, between precisions, and rounding to integral values (SDM Vol. 2: CVTxx2xx, ROUNDxx).
 * As in float-arithmetic.ts the common case is inline and the rest a helper of the mnemonic's name; where the operand's width chooses
 * between two helpers, the name ends in it.
 */
import { ValueType, W } from '../../wasm/opcodes.ts'
import { define } from '../define.ts'
import type { Ops, Value } from '../ops.ts'
import { FloatLanes } from './float-lanes.ts'
import type { FloatSuffix } from './float-lanes.ts'
import { enterMmx, setVector, v, vector, withLane64 } from './operands.ts'

const { I32, I64, F32, F64, V128 } = ValueType

// Integers to floating point.

/** 32 bits always fit a binary64; otherwise numbers of fewer bits than the significand are exact. */
define('CVTSI2SD', 'w,r', (o) => {
  const source = o.let(o.rd(1))
  if (source.type === I32) return o.wr(0, o.bitsOfF64(o.op(W.f64_convert_i32_s, F64, source)))
  const f = new FloatLanes(o, 'SD')
  fromInteger(f, 'CVTSI2SD64', source, o.op(W.f64_convert_i64_s, F64, source), 53)
})
define('CVTSI2SS', 'w,r', (o) => {
  const source = o.let(o.rd(1))
  const wide = source.type === I64
  const converted = o.op(wide ? W.f32_convert_i64_s : W.f32_convert_i32_s, F32, source)
  fromInteger(new FloatLanes(o, 'SS'), wide ? 'CVTSI2SS64' : 'CVTSI2SS32', source, converted, 24)
})

function fromInteger(f: FloatLanes, helper: string, source: Value, converted: Value, significand: number): void {
  const { o } = f
  const shifted = o.add(source, o.k(1n << BigInt(significand), source.type))
  const exact = o.compare('le_u', shifted, o.k(1n << BigInt(significand + 1), source.type))
  const common = o.or(exact, f.roundsQuietly())
  o.wr(0, o.chooseCommon(common, f.carrier, () => f.toBits(converted), () => o.helper(helper, [source], { result: f.carrier })))
}

define('CVTDQ2PD', 'w,r', (o) => { o.wr(0, v(o, W.f64x2_convert_low_i32x4_s, vector(o, 1)), 128) })
define('CVTPI2PD', 'w,r', (o) => {
  enterMmxByRegister(o)
  o.wr(0, v(o, W.f64x2_convert_low_i32x4_s, vector(o, 1)), 128)
})
define('CVTDQ2PS', 'w,r', (o) => { o.wr(0, packedFromIntegers(o, 'CVTDQ2PS')) })
define('CVTPI2PS', 'rw,r', (o) => {
  enterMmxByRegister(o)
  o.wr(0, withLane64(o, o.rd(0), 0, o.low64(packedFromIntegers(o, 'CVTPI2PS'))))
})

/**
 * With a memory operand MMX is not entered: the SDM says so of CVTPI2PD, processors do so for CVTPI2PS, too.
 */
function enterMmxByRegister(o: Ops): void {
  if (!o.isMemory(1)) enterMmx(o)
}

function packedFromIntegers(o: Ops, helper: string): Value {
  const f = new FloatLanes(o, 'PS')
  const source = o.let(vector(o, 1))
  return o.chooseCommon(f.roundsQuietly(), V128,
    () => v(o, W.f32x4_convert_i32x4_s, source),
    () => o.helper(helper, [source], { result: V128 }))
}

// Floating point to integers: in range, and with PE set already or no fraction.

function defineToInteger(mnemonic: string, suffix: 'SS' | 'SD', rounding: 'trunc' | 'nearest'): void {
  define(mnemonic, 'w,r', (o) => {
    const f = new FloatLanes(o, suffix)
    const source = f.read(1)
    const wide = o.operandSize(0) === 64
    const integral = o.let(f.operate(rounding, source))
    const quiet = o.or(f.compare('eq', integral, source), f.roundsQuietly())
    const common = o.and(f.magnitudeBelow(integral, wide ? 2 ** 63 : 2 ** 31), quiet)
    const type = wide ? I64 : I32
    o.wr(0, o.chooseCommon(common, type,
      () => o.op(truncation(f.bits, wide), type, integral),
      () => o.helper(`${mnemonic}${wide ? 64 : 32}`, [f.toBits(source)], { result: type })))
  })
}

function truncation(bits: 32 | 64, wide: boolean): number {
  if (bits === 32) return wide ? W.i64_trunc_sat_f32_s : W.i32_trunc_sat_f32_s
  return wide ? W.i64_trunc_sat_f64_s : W.i32_trunc_sat_f64_s
}

for (const suffix of ['SS', 'SD'] as const) {
  defineToInteger(`CVT${suffix}2SI`, suffix, 'nearest')
  defineToInteger(`CVTT${suffix}2SI`, suffix, 'trunc')
}

function packedToIntegers(o: Ops, mnemonic: string, suffix: 'PS' | 'PD', rounding: 'trunc' | 'nearest'): Value {
  const f = new FloatLanes(o, suffix)
  const source = o.let(vector(o, 1))
  const integral = o.let(f.operate(rounding, source))
  const common = o.and(f.holds(f.magnitudeBelow(integral, 2 ** 31)), f.roundsQuietly(() => f.compare('eq', integral, source)))
  return o.chooseCommon(common, V128,
    () => v(o, suffix === 'PS' ? W.i32x4_trunc_sat_f32x4_s : W.i32x4_trunc_sat_f64x2_s_zero, integral),
    () => o.helper(mnemonic, [source], { result: V128 }))
}

for (const [t, rounding] of [['', 'nearest'], ['T', 'trunc']] as const) {
  for (const suffix of ['PS', 'PD'] as const) {
    define(`CVT${t}${suffix}2DQ`, 'w,r', (o) => { o.wr(0, packedToIntegers(o, `CVT${t}${suffix}2DQ`, suffix, rounding)) })
    define(`CVT${t}${suffix}2PI`, 'w,r', (o) => {
      enterMmx(o)
      setVector(o, 0, packedToIntegers(o, `CVT${t}${suffix}2PI`, suffix, rounding))
    })
  }
}

// Between precisions.

define('CVTSS2SD', 'w,r', (o) => {
  const f = new FloatLanes(o, 'SS')
  const source = f.read(1)
  o.wr(0, o.chooseCommon(f.isOrdinary(source), I64,
    () => o.bitsOfF64(o.op(W.f64_promote_f32, F64, source)),
    () => o.helper('CVTSS2SD', [f.toBits(source)], { result: I64 })))
})
define('CVTPS2PD', 'w,r', (o) => {
  const f = new FloatLanes(o, 'PS')
  const source = o.let(vector(o, 1))
  o.wr(0, o.chooseCommon(f.holds(f.isOrdinary(source)), V128,
    () => v(o, W.f64x2_promote_low_f32x4, source),
    () => o.helper('CVTPS2PD', [source], { result: V128 })), 128)
})

define('CVTSD2SS', 'w,r', (o) => {
  const from = new FloatLanes(o, 'SD')
  const f = new FloatLanes(o, 'SS')
  const source = from.read(1)
  const result = o.let(o.op(W.f32_demote_f64, F32, source))
  const inRange = o.or(from.isZero(source), o.and(f.isFinite(result), f.isSafelyNormal(result)))
  const exact = from.compare('eq', o.op(W.f64_promote_f32, F64, result), source)
  o.wr(0, o.chooseCommon(o.and(inRange, o.or(exact, f.roundsQuietly())), I32,
    () => f.toBits(result),
    () => o.helper('CVTSD2SS', [from.toBits(source)], { result: I32 })))
})
define('CVTPD2PS', 'w,r', (o) => {
  const from = new FloatLanes(o, 'PD')
  const f = new FloatLanes(o, 'PS')
  const source = from.read(1)
  const result = o.let(v(o, W.f32x4_demote_f64x2_zero, source))
  // The upper lanes are zero: looked at as the lower ones again.
  const lanes = o.let(o.shuffle(result, result, [0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7]))
  const inRange = f.holds(f.both(f.isFinite(lanes), f.isSafelyNormal(lanes)))
  const exact = (): Value => from.compare('eq', v(o, W.f64x2_promote_low_f32x4, result), source)
  o.wr(0, o.chooseCommon(o.and(inRange, from.roundsQuietly(exact)), V128,
    () => result,
    () => o.helper('CVTPD2PS', [source], { result: V128 })))
})

// Rounding to integral values.

/** Of the immediate: rounding by MXCSR, and PE is not to be reported. */
const BY_MXCSR = 4
const NO_PRECISION = 8
const ROUNDING_SHIFT = 13
const DENORMALS_ARE_ZERO = 0x40

function defineRound(suffix: FloatSuffix): void {
  const mnemonic = `ROUND${suffix}`
  define(mnemonic, 'w,r,r', (o) => {
    const f = new FloatLanes(o, suffix)
    const source = f.read(1)
    const immediate = o.let(o.rd(2))
    const result = o.let(rounded(f, source, roundingMode(o, immediate)))
    const silent = o.and(o.ne(o.and(immediate, o.i32(NO_PRECISION)), o.i32(0)), o.eqz(o.and(o.field('MXCSR'), o.i32(DENORMALS_ARE_ZERO))))
    const quiet = o.or(o.or(silent, f.holds(f.compare('eq', result, source))), f.roundsQuietly())
    o.wr(0, o.chooseCommon(o.and(f.holds(f.isNumber(source)), quiet), f.carrier,
      () => f.toBits(result),
      () => o.helper(mnemonic, [f.toBits(source), immediate], { result: f.carrier })))
  })
}
for (const suffix of ['SS', 'SD', 'PS', 'PD'] as const) defineRound(suffix)

function roundingMode(o: Ops, immediate: Value): Value {
  const byMxcsr = o.and(immediate, o.i32(BY_MXCSR))
  return o.let(o.select(byMxcsr, o.shr(o.field('MXCSR'), o.i32(ROUNDING_SHIFT)), immediate))
}

/** By the low two bits of the mode: nearest, down, up, towards zero. */
function rounded(f: FloatLanes, source: Value, mode: Value): Value {
  const { o } = f
  const odd = o.and(mode, o.i32(1))
  const upper = o.and(mode, o.i32(2))
  const pick = (no: 'nearest' | 'floor', yes: 'ceil' | 'trunc'): Value => o.select(upper, f.operate(yes, source), f.operate(no, source))
  return o.select(odd, pick('floor', 'trunc'), pick('nearest', 'ceil'))
}
