/**
 * Floating point, scalar or packed, over one set of operations: a scalar is an F32 or F64 and a test of it an I32, a packed operand
 * is a V128 and a test of it a mask of lanes. A YMM register is two of them, its *parts*.
 */
import { ValueType, W } from '../../wasm/opcodes.ts'
import type { ValueTypeCode } from '../../wasm/opcodes.ts'
import type { Ops, Value } from '../ops.ts'
import { readParts, withLane32, withLane64, writeParts } from './operands.ts'

const { I32, F32, F64, V128 } = ValueType

export type FloatOperation =
  | 'add' | 'sub' | 'mul' | 'div' | 'sqrt' | 'abs' | 'neg' | 'nearest' | 'floor' | 'ceil' | 'trunc'
export type FloatComparison = 'eq' | 'ne' | 'lt' | 'le'

/** The last two letters of a mnemonic. */
export type FloatSuffix = 'SS' | 'SD' | 'PS' | 'PD'

/** An operand: one value, or two of 128 bits. */
export type Parts = readonly Value[]

type Opcodes = Record<FloatOperation | FloatComparison, number>

const OPCODES: Record<FloatSuffix, Opcodes> = {
  SS: {
    add: W.f32_add, sub: W.f32_sub, mul: W.f32_mul, div: W.f32_div, sqrt: W.f32_sqrt, abs: W.f32_abs, neg: W.f32_neg,
    nearest: W.f32_nearest, floor: W.f32_floor, ceil: W.f32_ceil, trunc: W.f32_trunc, eq: W.f32_eq, ne: W.f32_ne, lt: W.f32_lt, le: W.f32_le,
  },
  SD: {
    add: W.f64_add, sub: W.f64_sub, mul: W.f64_mul, div: W.f64_div, sqrt: W.f64_sqrt, abs: W.f64_abs, neg: W.f64_neg,
    nearest: W.f64_nearest, floor: W.f64_floor, ceil: W.f64_ceil, trunc: W.f64_trunc, eq: W.f64_eq, ne: W.f64_ne, lt: W.f64_lt, le: W.f64_le,
  },
  PS: {
    add: W.f32x4_add, sub: W.f32x4_sub, mul: W.f32x4_mul, div: W.f32x4_div, sqrt: W.f32x4_sqrt, abs: W.f32x4_abs, neg: W.f32x4_neg,
    nearest: W.f32x4_nearest, floor: W.f32x4_floor, ceil: W.f32x4_ceil, trunc: W.f32x4_trunc,
    eq: W.f32x4_eq, ne: W.f32x4_ne, lt: W.f32x4_lt, le: W.f32x4_le,
  },
  PD: {
    add: W.f64x2_add, sub: W.f64x2_sub, mul: W.f64x2_mul, div: W.f64x2_div, sqrt: W.f64x2_sqrt, abs: W.f64x2_abs, neg: W.f64x2_neg,
    nearest: W.f64x2_nearest, floor: W.f64x2_floor, ceil: W.f64x2_ceil, trunc: W.f64x2_trunc,
    eq: W.f64x2_eq, ne: W.f64x2_ne, lt: W.f64x2_lt, le: W.f64x2_le,
  },
}

/** Bits of the smallest normal number, twice that, the largest number, and the lower half of a significand. */
const CONSTANTS = {
  32: { normal: 0x00800000n, safe: 0x01000000n, largest: 0x7f7fffffn, lowerHalf: 0xfffn },
  64: { normal: 0x0010000000000000n, safe: 0x0020000000000000n, largest: 0x7fefffffffffffffn, lowerHalf: 0x7ffffffn },
} as const

/** MXCSR but for the exceptions that did not happen: rounding to nearest, all masked, no DAZ, no FTZ; PE is left in. */
const MXCSR_MODE = 0xffe0
const MXCSR_DEFAULT = 0x1f80
const PRECISION = 0x20

export class FloatLanes {
  readonly o: Ops
  readonly bits: 32 | 64
  readonly packed: boolean
  readonly type: ValueTypeCode
  /** AVX: a destination of its own, and everything above what is written becomes zero. */
  readonly vex: boolean
  private readonly opcodes: Opcodes
  private readonly constants: (typeof CONSTANTS)[32 | 64]

  constructor(o: Ops, suffix: FloatSuffix, vex = false) {
    this.o = o
    this.vex = vex
    this.bits = suffix.endsWith('S') ? 32 : 64
    this.packed = suffix.startsWith('P')
    this.type = this.packed ? V128 : this.bits === 32 ? F32 : F64
    this.opcodes = OPCODES[suffix]
    this.constants = CONSTANTS[this.bits]
  }

  // Values.

  /** Operand `n`, evaluated. */
  read(n: number): Value { return this.o.let(this.fromBits(this.o.rd(n))) }
  /** Operand `n` in parts, evaluated. */
  parts(n: number): Parts { return this.packed ? readParts(this.o, n) : [this.read(n)] }
  /**
   * Writes bits to operand 0. AVX's scalars take the rest of the low 128 bits from operand `rest`, and what AVX does not write is zero.
   */
  write(parts: Parts, rest = 1): void {
    const { o } = this
    const [first] = parts
    if (!this.vex) return o.wr(0, first)
    if (first.type === V128) return writeParts(o, 0, parts)
    writeParts(o, 0, [this.bits === 32 ? withLane32(o, o.rd(rest, 128), 0, first) : withLane64(o, o.rd(rest, 128), 0, first)])
  }

  /** To lanes from the carrier of operands, and back. */
  fromBits(bits: Value): Value { return this.packed ? bits : this.bits === 32 ? this.o.asF32(bits) : this.o.asF64(bits) }
  toBits(value: Value): Value {
    if (value.type === this.carrier) return value
    return this.bits === 32 ? this.o.bitsOfF32(value) : this.o.bitsOfF64(value)
  }
  /** The carrier of `toBits`. */
  get carrier(): ValueTypeCode { return this.packed ? V128 : this.bits === 32 ? I32 : ValueType.I64 }

  /** A number in every lane. */
  number(value: number): Value {
    const view = new DataView(new ArrayBuffer(8))
    if (this.bits === 32) view.setFloat32(0, value, true)
    else view.setFloat64(0, value, true)
    return this.fromBits(this.pattern(view.getBigUint64(0, true)))
  }

  private pattern(bits: bigint): Value {
    if (!this.packed) return this.o.k(bits, this.carrier)
    const lanes = this.bits === 32 ? Uint32Array.from({ length: 4 }, () => Number(bits)) : BigUint64Array.from([bits, bits])
    return this.o.v128(new Uint8Array(lanes.buffer))
  }

  operate(name: FloatOperation, ...args: Value[]): Value { return this.o.op(this.opcodes[name], this.type, ...args) }

  // Tests.

  compare(name: FloatComparison, a: Value, b: Value): Value { return this.o.op(this.opcodes[name], this.packed ? V128 : I32, a, b) }
  both(...tests: Value[]): Value {
    return tests.reduce((a, b) => (this.packed ? this.o.op(W.v128_and, V128, a, b) : this.o.and(a, b)))
  }
  either(...tests: Value[]): Value {
    return tests.reduce((a, b) => (this.packed ? this.o.op(W.v128_or, V128, a, b) : this.o.or(a, b)))
  }
  /** 0 or 1: a test holds in every lane. */
  holds(test: Value): Value { return this.packed ? this.o.op(this.bits === 32 ? W.i32x4_all_true : W.i64x2_all_true, I32, test) : test }
  /** 0 or 1: the tests hold in every lane. */
  everywhere(...tests: Value[]): Value { return this.holds(this.both(...tests)) }
  /** `a` where a test holds, else `b`. */
  choose(test: Value, a: Value, b: Value): Value {
    return this.packed ? this.o.op(W.v128_bitselect, V128, a, b, test) : this.o.select(test, a, b)
  }

  private bound(name: 'normal' | 'safe' | 'largest'): Value { return this.fromBits(this.pattern(this.constants[name])) }

  isZero(value: Value): Value { return this.compare('eq', value, this.number(0)) }
  isNumber(value: Value): Value { return this.compare('eq', value, value) }
  /** Zero, normal or infinite: operands that raise nothing by themselves. */
  isOrdinary(value: Value): Value {
    return this.either(this.compare('le', this.bound('normal'), this.operate('abs', value)), this.isZero(value))
  }
  isFinite(value: Value): Value { return this.compare('le', this.operate('abs', value), this.bound('largest')) }
  /** Not so small that it may be a rounded-up denormal. */
  isSafelyNormal(value: Value): Value { return this.compare('le', this.bound('safe'), this.operate('abs', value)) }
  magnitudeBelow(value: Value, limit: number): Value { return this.compare('lt', this.operate('abs', value), this.number(limit)) }

  /** The lower half of the significand is empty: products of two such numbers are exact. */
  isShort(value: Value): Value {
    const rest = this.pattern(this.constants.lowerHalf)
    if (!this.packed) return this.o.eqz(this.o.and(this.toBits(value), rest))
    const low = this.o.op(W.v128_and, V128, value, rest)
    return this.o.op(this.bits === 32 ? W.i32x4_eq : W.i64x2_eq, V128, low, this.pattern(0n))
  }

  // Results.

  /** The bits of `results` where `common` holds, otherwise what the helper makes of all parts of the operands. */
  commonly(common: Value, results: Parts, helper: string, args: readonly Value[]): Parts {
    const { o } = this
    const usual = results.length === 1 ? common : o.let(common)
    return results.map((result, n) => o.chooseCommon(usual, this.carrier, () => this.toBits(result),
      () => (n === 0 ? this.firstResult(helper, results.length, args) : this.secondResult())))
  }

  /** What the helper alone makes of operands of `count` parts. */
  byHelper(helper: string, count: number, args: readonly Value[]): Parts {
    const first = this.firstResult(helper, count, args)
    return count === 1 ? [first] : [first, this.secondResult()]
  }

  private firstResult(helper: string, count: number, args: readonly Value[]): Value {
    return this.o.helper(count === 1 ? helper : `${helper}256`, args, { result: this.carrier })
  }
  private secondResult(): Value { return this.o.helper('secondResult', [], { result: V128 }) }

  // MXCSR.

  /** Default rounding and masks, and PE set already, so that rounding changes nothing in MXCSR; or PE clear and `exact`. */
  roundsQuietly(exact?: () => Value): Value {
    const { o } = this
    const mode = o.let(o.and(o.field('MXCSR'), o.i32(MXCSR_MODE)))
    const sticky = o.eq(mode, o.i32(MXCSR_DEFAULT | PRECISION))
    if (exact === undefined) return sticky
    return o.choose(sticky, I32, () => o.i32(1), () => o.and(o.eq(mode, o.i32(MXCSR_DEFAULT)), this.holds(exact())))
  }
}

/** The four suffixes, or the scalar or packed pair, of a family of mnemonics. */
export const ALL_SUFFIXES: readonly FloatSuffix[] = ['SS', 'SD', 'PS', 'PD']
