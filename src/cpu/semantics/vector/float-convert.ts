/**
 * Conversions between integers and floating point, between precisions, and rounding to integral values (SDM Vol. 2: CVTxx2xx, ROUNDxx).
 * As in float-arithmetic.ts the common case is inline and the rest a helper of the mnemonic's name; where the operand's width chooses
 * between two helpers, the name ends in it.
 */
import { ValueType, W } from '../../wasm/opcodes.ts'
import { define } from '../define.ts'
import type { Ops, Value } from '../ops.ts'
import { defineUnary, vexName } from './float-define.ts'
import { ALL_SUFFIXES, FloatLanes } from './float-lanes.ts'
import type { FloatSuffix, Parts } from './float-lanes.ts'
import { HIGH_HALF, LOW_HALVES, enterMmx, setVector, v, vector, withLane64 } from './operands.ts'

const { I32, I64, F32, F64 } = ValueType

// Integers to floating point.

/** 32 bits always fit a binary64; otherwise numbers of fewer bits than the significand are exact. */
function integerToDouble(f: FloatLanes, source: Value): Value {
  const { o } = f
  if (source.type === I32) return f.toBits(o.op(W.f64_convert_i32_s, F64, source))
  return fromInteger(f, 'CVTSI2SD64', source, o.op(W.f64_convert_i64_s, F64, source), 53)
}
function integerToSingle(f: FloatLanes, source: Value): Value {
  const wide = source.type === I64
  const converted = f.o.op(wide ? W.f32_convert_i64_s : W.f32_convert_i32_s, F32, source)
  return fromInteger(f, wide ? 'CVTSI2SS64' : 'CVTSI2SS32', source, converted, 24)
}

function fromInteger(f: FloatLanes, helper: string, source: Value, converted: Value, significand: number): Value {
  const { o } = f
  const shifted = o.add(source, o.k(1n << BigInt(significand), source.type))
  const exact = o.compare('le_u', shifted, o.k(1n << BigInt(significand + 1), source.type))
  return f.commonly(o.or(exact, f.roundsQuietly()), [converted], helper, [source])[0]
}

for (const [suffix, convert] of [['SS', integerToSingle], ['SD', integerToDouble]] as const) {
  define(`CVTSI2${suffix}`, 'w,r', (o) => { o.wr(0, convert(new FloatLanes(o, suffix), o.let(o.rd(1)))) })
  define(`VCVTSI2${suffix}`, 'w,r,r', (o) => {
    const f = new FloatLanes(o, suffix, true)
    f.write([convert(f, o.let(o.rd(2)))])
  })
}

const doublesOf = (o: Ops, integers: Value): Value => v(o, W.f64x2_convert_low_i32x4_s, integers)
defineWiden('CVTDQ2PD', 'PD', (f, halves) => halves.map((half) => doublesOf(f.o, half)))
define('CVTPI2PD', 'w,r', (o) => {
  enterMmxByRegister(o)
  o.wr(0, doublesOf(o, vector(o, 1)), 128)
})
defineUnary('CVTDQ2PS', 'PS', (f, source) => singlesOf(f, 'CVTDQ2PS', source))
define('CVTPI2PS', 'rw,r', (o) => {
  enterMmxByRegister(o)
  const [singles] = singlesOf(new FloatLanes(o, 'PS'), 'CVTPI2PS', [o.let(vector(o, 1))])
  o.wr(0, withLane64(o, o.rd(0), 0, o.low64(singles)))
})

/**
 * With a memory operand MMX is not entered: the SDM says so of CVTPI2PD, processors do so for CVTPI2PS, too.
 */
function enterMmxByRegister(o: Ops): void {
  if (!o.isMemory(1)) enterMmx(o)
}

function singlesOf(f: FloatLanes, helper: string, source: Parts): Parts {
  return f.commonly(f.roundsQuietly(), source.map((part) => v(f.o, W.f32x4_convert_i32x4_s, part)), helper, source)
}

/**
 * An instruction that widens its lanes: the source has half the destination's bits. `emit` gets a value for each part of the
 * destination, with what that is made of in its low half.
 */
function defineWiden(mnemonic: string, suffix: FloatSuffix, emit: (f: FloatLanes, halves: Parts, source: Value) => Parts): void {
  const both = (o: Ops, source: Value): Parts => [source, o.let(o.shuffle(source, source, HIGH_HALF))]
  define(mnemonic, 'w,r', (o) => {
    const source = o.let(vector(o, 1))
    o.wr(0, emit(new FloatLanes(o, suffix), [source], source)[0], 128)
  })
  define(vexName(mnemonic), 'w,r', (o) => {
    const source = o.let(vector(o, 1))
    const f = new FloatLanes(o, suffix, true)
    f.write(emit(f, o.operandSize(0) === 256 ? both(o, source) : [source], source))
  })
}

// Floating point to integers: in range, and with PE set already or no fraction.

function defineToInteger(mnemonic: string, suffix: 'SS' | 'SD', rounding: 'trunc' | 'nearest'): void {
  for (const each of [mnemonic, vexName(mnemonic)]) define(each, 'w,r', (o) => toInteger(new FloatLanes(o, suffix), mnemonic, rounding))
}

function toInteger(f: FloatLanes, helper: string, rounding: 'trunc' | 'nearest'): void {
  const { o } = f
  const source = f.read(1)
  const wide = o.operandSize(0) === 64
  const integral = o.let(f.operate(rounding, source))
  const quiet = o.or(f.compare('eq', integral, source), f.roundsQuietly())
  const common = o.and(f.magnitudeBelow(integral, wide ? 2 ** 63 : 2 ** 31), quiet)
  const type = wide ? I64 : I32
  o.wr(0, o.chooseCommon(common, type,
    () => o.op(truncation(f.bits, wide), type, integral),
    () => o.helper(`${helper}${wide ? 64 : 32}`, [f.toBits(source)], { result: type })))
}

function truncation(bits: 32 | 64, wide: boolean): number {
  if (bits === 32) return wide ? W.i64_trunc_sat_f32_s : W.i32_trunc_sat_f32_s
  return wide ? W.i64_trunc_sat_f64_s : W.i32_trunc_sat_f64_s
}

for (const suffix of ['SS', 'SD'] as const) {
  defineToInteger(`CVT${suffix}2SI`, suffix, 'nearest')
  defineToInteger(`CVTT${suffix}2SI`, suffix, 'trunc')
}

function packedToIntegers(f: FloatLanes, helper: string, source: Parts, rounding: 'trunc' | 'nearest'): Parts {
  const { o } = f
  const integral = source.map((part) => o.let(f.operate(rounding, part)))
  const inRange = f.everywhere(...integral.map((part) => f.magnitudeBelow(part, 2 ** 31)))
  const quiet = f.roundsQuietly(() => f.both(...integral.map((part, n) => f.compare('eq', part, source[n]))))
  const convert = f.bits === 32 ? W.i32x4_trunc_sat_f32x4_s : W.i32x4_trunc_sat_f64x2_s_zero
  return f.commonly(o.and(inRange, quiet), integral.map((part) => v(o, convert, part)), helper, source)
}

for (const [t, rounding] of [['', 'nearest'], ['T', 'trunc']] as const) {
  const singles = `CVT${t}PS2DQ`
  defineUnary(singles, 'PS', (f, source) => packedToIntegers(f, singles, source, rounding))
  const doubles = `CVT${t}PD2DQ`
  defineUnary(doubles, 'PD', (f, source) => narrowed(f, packedToIntegers(f, doubles, source, rounding)))
  for (const suffix of ['PS', 'PD'] as const) {
    const helper = `CVT${t}${suffix}2PI`
    define(helper, 'w,r', (o) => {
      enterMmx(o)
      setVector(o, 0, packedToIntegers(new FloatLanes(o, suffix), helper, [o.let(vector(o, 1))], rounding)[0])
    })
  }
}

/** The low halves of two parts as one. */
function narrowed({ o }: FloatLanes, parts: Parts): Parts {
  return parts.length === 1 ? parts : [o.shuffle(parts[0], parts[1], LOW_HALVES)]
}

// Between precisions.

defineUnary('CVTSS2SD', 'SD', (f, [source]) => {
  const from = new FloatLanes(f.o, 'SS')
  return f.commonly(from.isOrdinary(source), [f.o.op(W.f64_promote_f32, F64, source)], 'CVTSS2SD', [from.toBits(source)])
}, '', 'SS')
defineWiden('CVTPS2PD', 'PD', (f, halves, source) => {
  const from = new FloatLanes(f.o, 'PS')
  const promoted = halves.map((half) => v(f.o, W.f64x2_promote_low_f32x4, half))
  return f.commonly(from.holds(from.isOrdinary(source)), promoted, 'CVTPS2PD', [source])
})

defineUnary('CVTSD2SS', 'SS', (f, [source]) => {
  const { o } = f
  const from = new FloatLanes(o, 'SD')
  const result = o.let(o.op(W.f32_demote_f64, F32, source))
  const inRange = o.or(from.isZero(source), o.and(f.isFinite(result), f.isSafelyNormal(result)))
  const exact = from.compare('eq', o.op(W.f64_promote_f32, F64, result), source)
  return f.commonly(o.and(inRange, o.or(exact, f.roundsQuietly())), [result], 'CVTSD2SS', [from.toBits(source)])
}, '', 'SD')
defineUnary('CVTPD2PS', 'PS', (f, source) => {
  const { o } = f
  const from = new FloatLanes(o, 'PD')
  const results = source.map((part) => o.let(v(o, W.f32x4_demote_f64x2_zero, part)))
  // The upper lanes are zero: looked at as the lower ones again.
  const lanes = results.map((result) => o.let(o.shuffle(result, result, [0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7])))
  const inRange = f.everywhere(...lanes.map((part) => f.both(f.isFinite(part), f.isSafelyNormal(part))))
  const isExact = (result: Value, n: number): Value => from.compare('eq', v(o, W.f64x2_promote_low_f32x4, result), source[n])
  const exact = (): Value => from.both(...results.map(isExact))
  return narrowed(f, f.commonly(o.and(inRange, from.roundsQuietly(exact)), results, 'CVTPD2PS', source))
}, '', 'PD')

// Rounding to integral values.

/** Of the immediate: rounding by MXCSR, and PE is not to be reported. */
const BY_MXCSR = 4
const NO_PRECISION = 8
const ROUNDING_SHIFT = 13
const DENORMALS_ARE_ZERO = 0x40

function defineRound(suffix: FloatSuffix): void {
  const mnemonic = `ROUND${suffix}`
  defineUnary(mnemonic, suffix, (f, source, position) => {
    const { o } = f
    const immediate = o.let(o.rd(position))
    const mode = roundingMode(o, immediate)
    const results = source.map((part) => o.let(rounded(f, part, mode)))
    const silent = o.and(o.ne(o.and(immediate, o.i32(NO_PRECISION)), o.i32(0)), o.eqz(o.and(o.field('MXCSR'), o.i32(DENORMALS_ARE_ZERO))))
    const integral = f.everywhere(...results.map((result, n) => f.compare('eq', result, source[n])))
    const common = o.and(f.everywhere(...source.map((part) => f.isNumber(part))), o.or(o.or(silent, integral), f.roundsQuietly()))
    return f.commonly(common, results, mnemonic, [...source.map((part) => f.toBits(part)), immediate])
  }, ',r')
}
for (const suffix of ALL_SUFFIXES) defineRound(suffix)

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
