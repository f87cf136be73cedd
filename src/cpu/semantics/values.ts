/**
 * Pure values of the description language: a constant, or code that pushes one. Guest state does not change until an instruction
 * commits, so a value may be emitted late, or more than once (`let` it if it costs anything).
 */
import type { FunctionBody } from '../wasm/assembler.ts'
import { ValueType, W } from '../wasm/opcodes.ts'
import type { ValueTypeCode } from '../wasm/opcodes.ts'
import type { OperandSize } from '../decode/instruction.ts'

/** Sizes of memory accesses and registers, in bits. A value has at most 128: 256 are two of them. */
export type Size = OperandSize | 128 | 256

export interface Value {
  /** The carrier: I32 for 8, 16 and 32 bits (zero-extended unless an operation says otherwise), I64, V128, F32 or F64. */
  readonly type: ValueTypeCode
  /** Set if the value is known now: a signed 32-bit number for I32, a signed 64-bit bigint for I64. */
  readonly constant?: number | bigint
  /** Emitting it again costs nothing. */
  readonly leaf: boolean
  emit(f: FunctionBody): void
}

const { I32, I64, V128, F32, F64 } = ValueType

/** The carrier of a size. */
export const carrier = (size: Size): ValueTypeCode => (size >= 128 ? V128 : size === 64 ? I64 : I32)

/** Binary integer operations that exist for both carriers, by name. */
export type BinaryName = 'add' | 'sub' | 'mul' | 'and' | 'or' | 'xor' | 'shl' | 'shr_u' | 'shr_s' | 'rotl' | 'rotr'
  | 'div_u' | 'div_s' | 'rem_u' | 'rem_s'
export type ComparisonName = 'eq' | 'ne' | 'lt_u' | 'lt_s' | 'le_u' | 'le_s' | 'gt_u' | 'gt_s' | 'ge_u' | 'ge_s'

/** Arithmetic on values, folding constants. Both engines and the effects analysis share it. */
export abstract class Values {
  k(value: number | bigint, type: ValueTypeCode): Value {
    if (type === I64) {
      const constant = BigInt.asIntN(64, BigInt(value))
      return { type, constant, leaf: true, emit: (f) => { f.i64(constant) } }
    }
    const constant = Number(BigInt.asIntN(32, BigInt(value)))
    return { type: I32, constant, leaf: true, emit: (f) => { f.i32(constant) } }
  }

  i32(value: number): Value {
    const constant = value | 0
    return { type: I32, constant, leaf: true, emit: (f) => { f.i32(constant) } }
  }

  i64(value: number | bigint): Value { return this.k(value, I64) }

  /** A 16-byte constant, lowest byte first. */
  v128(bytes: ArrayLike<number>): Value {
    const copy = Uint8Array.from(bytes)
    return { type: V128, leaf: true, emit: (f) => { f.bytes(W.v128_const, copy) } }
  }

  /** Any instruction that pops `args` and pushes one `type`. */
  op(opcode: number, type: ValueTypeCode, ...args: Value[]): Value {
    return { type, leaf: false, emit: (f) => { for (const arg of args) arg.emit(f); f.op(opcode) } }
  }

  /** The same with a lane. */
  lane(opcode: number, lane: number, type: ValueTypeCode, ...args: Value[]): Value {
    return { type, leaf: false, emit: (f) => { for (const arg of args) arg.emit(f); f.lane(opcode, lane) } }
  }

  /** Sixteen bytes chosen from `a` (0 to 15) and `b` (16 to 31). */
  shuffle(a: Value, b: Value, lanes: ArrayLike<number>): Value {
    return { type: V128, leaf: false, emit: (f) => { a.emit(f); b.emit(f); f.bytes(W.i8x16_shuffle, lanes) } }
  }

  binary(name: BinaryName, a: Value, b: Value): Value {
    const right = this.fit(b, a.type)
    if (a.constant !== undefined && right.constant !== undefined) {
      const folded = a.type === I64
        ? fold64(name, a.constant as bigint, right.constant as bigint)
        : fold32(name, a.constant as number, right.constant as number)
      if (folded !== undefined) return this.k(folded, a.type)
    }
    return identity(name, a, right) ?? this.op(binaryOpcode(name, a.type), a.type, a, right)
  }

  compare(name: ComparisonName, a: Value, b: Value): Value {
    const right = this.fit(b, a.type)
    if (a.constant !== undefined && right.constant !== undefined) return this.i32(foldComparison(name, a, right))
    return this.op(comparisonOpcode(name, a.type), I32, a, right)
  }

  add(a: Value, b: Value): Value { return this.binary('add', a, b) }
  sub(a: Value, b: Value): Value { return this.binary('sub', a, b) }
  mul(a: Value, b: Value): Value { return this.binary('mul', a, b) }
  and(a: Value, b: Value): Value { return this.binary('and', a, b) }
  or(a: Value, b: Value): Value { return this.binary('or', a, b) }
  xor(a: Value, b: Value): Value { return this.binary('xor', a, b) }
  shl(a: Value, count: Value): Value { return this.binary('shl', a, count) }
  shr(a: Value, count: Value): Value { return this.binary('shr_u', a, count) }
  sar(a: Value, count: Value): Value { return this.binary('shr_s', a, count) }
  eq(a: Value, b: Value): Value { return this.compare('eq', a, b) }
  ne(a: Value, b: Value): Value { return this.compare('ne', a, b) }

  /** One if zero. */
  eqz(a: Value): Value {
    if (a.constant !== undefined) return this.i32(Number(BigInt(a.constant) === 0n))
    return this.op(a.type === I64 ? W.i64_eqz : W.i32_eqz, I32, a)
  }

  /** All ones in the carrier, exclusive-ored. */
  not(a: Value): Value { return this.xor(a, this.k(-1, a.type)) }

  select(condition: Value, a: Value, b: Value): Value {
    if (condition.constant !== undefined) return condition.constant !== 0 ? a : b
    if (a.type === V128) {
      // `select` without a type annotation takes numeric types only.
      return { type: V128, leaf: false, emit: (f) => { condition.emit(f); f.if(V128); a.emit(f); f.else(); b.emit(f); f.end() } }
    }
    return { type: a.type, leaf: false, emit: (f) => { a.emit(f); b.emit(f); condition.emit(f); f.op(W.select) } }
  }

  /** Low 32 bits. */
  wrap(a: Value): Value {
    if (a.type === I32) return a
    if (a.constant !== undefined) return this.k(a.constant, I32)
    return this.op(W.i32_wrap_i64, I32, a)
  }

  /** To 64 bits. */
  extend(a: Value, signed: boolean): Value {
    if (a.type === I64) return a
    if (a.constant !== undefined) return this.i64(signed ? a.constant : BigInt.asUintN(32, BigInt(a.constant)))
    return this.op(signed ? W.i64_extend_i32_s : W.i64_extend_i32_u, I64, a)
  }

  /** To an integer carrier: truncates or zero-extends. */
  fit(a: Value, type: ValueTypeCode): Value {
    if (a.type === type) return a
    return type === I64 ? this.extend(a, false) : this.wrap(a)
  }

  /** Zero-extends the low `size` bits within the value's carrier. */
  zx(a: Value, size: Size): Value {
    if (size >= (a.type === I64 ? 64 : 32)) return a
    return this.and(a, this.k((1n << BigInt(size)) - 1n, a.type))
  }

  /** Sign-extends the low `size` bits within the value's carrier. */
  sx(a: Value, size: Size): Value {
    if (size >= (a.type === I64 ? 64 : 32)) return a
    if (a.constant !== undefined) return this.k(BigInt.asIntN(size, BigInt(a.constant)), a.type)
    const opcode = a.type === I64
      ? (size === 8 ? W.i64_extend8_s : size === 16 ? W.i64_extend16_s : W.i64_extend32_s)
      : (size === 8 ? W.i32_extend8_s : W.i32_extend16_s)
    return this.op(opcode, a.type, a)
  }

  /** The low `size` bits of `a` as 64 bits. */
  to64(a: Value, size: Size, signed: boolean): Value {
    if (size === 64) return a
    return this.extend(signed ? this.sx(a, size) : this.zx(a, size), signed)
  }

  /** The most significant of `size` bits, as 0 or 1. */
  signBit(a: Value, size: Size): Value {
    return this.wrap(this.and(this.shr(a, this.k(size - 1, a.type)), this.k(1, a.type)))
  }

  /** The 64 bits of `a` in the low half of a vector, zero above. */
  vectorOf64(a: Value): Value { return this.lane(W.i64x2_replace_lane, 0, V128, this.v128(new Uint8Array(16)), a) }
  vectorOf32(a: Value): Value { return this.lane(W.i32x4_replace_lane, 0, V128, this.v128(new Uint8Array(16)), a) }
  low64(v: Value): Value { return this.lane(W.i64x2_extract_lane, 0, I64, v) }
  low32(v: Value): Value { return this.lane(W.i32x4_extract_lane, 0, I32, v) }

  asF64(bits: Value): Value { return this.op(W.f64_reinterpret_i64, F64, bits) }
  bitsOfF64(a: Value): Value { return this.op(W.i64_reinterpret_f64, I64, a) }
  asF32(bits: Value): Value { return this.op(W.f32_reinterpret_i32, F32, bits) }
  bitsOfF32(a: Value): Value { return this.op(W.i32_reinterpret_f32, I32, a) }
}

const BINARY: Record<BinaryName, readonly [number, number]> = {
  add: [W.i32_add, W.i64_add], sub: [W.i32_sub, W.i64_sub], mul: [W.i32_mul, W.i64_mul], and: [W.i32_and, W.i64_and],
  or: [W.i32_or, W.i64_or], xor: [W.i32_xor, W.i64_xor], shl: [W.i32_shl, W.i64_shl], shr_u: [W.i32_shr_u, W.i64_shr_u],
  shr_s: [W.i32_shr_s, W.i64_shr_s], rotl: [W.i32_rotl, W.i64_rotl], rotr: [W.i32_rotr, W.i64_rotr],
  div_u: [W.i32_div_u, W.i64_div_u], div_s: [W.i32_div_s, W.i64_div_s], rem_u: [W.i32_rem_u, W.i64_rem_u], rem_s: [W.i32_rem_s, W.i64_rem_s],
}

const COMPARISON: Record<ComparisonName, readonly [number, number]> = {
  eq: [W.i32_eq, W.i64_eq], ne: [W.i32_ne, W.i64_ne], lt_u: [W.i32_lt_u, W.i64_lt_u], lt_s: [W.i32_lt_s, W.i64_lt_s],
  le_u: [W.i32_le_u, W.i64_le_u], le_s: [W.i32_le_s, W.i64_le_s], gt_u: [W.i32_gt_u, W.i64_gt_u], gt_s: [W.i32_gt_s, W.i64_gt_s],
  ge_u: [W.i32_ge_u, W.i64_ge_u], ge_s: [W.i32_ge_s, W.i64_ge_s],
}

const binaryOpcode = (name: BinaryName, type: ValueTypeCode): number => BINARY[name][type === I64 ? 1 : 0]
const comparisonOpcode = (name: ComparisonName, type: ValueTypeCode): number => COMPARISON[name][type === I64 ? 1 : 0]

function identity(name: BinaryName, a: Value, b: Value): Value | undefined {
  const rightZero = b.constant === 0 || b.constant === 0n
  const leftZero = a.constant === 0 || a.constant === 0n
  if (rightZero && name !== 'mul' && name !== 'and' && !name.startsWith('div') && !name.startsWith('rem')) return a
  if (leftZero && (name === 'add' || name === 'or' || name === 'xor')) return b
  if (name === 'and' && (b.constant === -1 || b.constant === -1n)) return a
  return undefined
}

function fold32(name: BinaryName, a: number, b: number): number | undefined {
  switch (name) {
    case 'add': return (a + b) | 0
    case 'sub': return (a - b) | 0
    case 'mul': return Math.imul(a, b)
    case 'and': return a & b
    case 'or': return a | b
    case 'xor': return a ^ b
    case 'shl': return a << b
    case 'shr_u': return a >>> b
    case 'shr_s': return a >> b
    default: return undefined
  }
}

function fold64(name: BinaryName, a: bigint, b: bigint): bigint | undefined {
  switch (name) {
    case 'add': return a + b
    case 'sub': return a - b
    case 'mul': return a * b
    case 'and': return a & b
    case 'or': return a | b
    case 'xor': return a ^ b
    case 'shl': return a << (b & 63n)
    case 'shr_u': return BigInt.asUintN(64, a) >> (b & 63n)
    case 'shr_s': return a >> (b & 63n)
    default: return undefined
  }
}

function foldComparison(name: ComparisonName, a: Value, b: Value): number {
  const bits = a.type === I64 ? 64 : 32
  const convert = (value: Value): bigint =>
    name.endsWith('_u') ? BigInt.asUintN(bits, BigInt(value.constant ?? 0)) : BigInt(value.constant ?? 0)
  const left = convert(a)
  const right = convert(b)
  switch (name.slice(0, 2)) {
    case 'eq': return Number(left === right)
    case 'ne': return Number(left !== right)
    case 'lt': return Number(left < right)
    case 'le': return Number(left <= right)
    case 'gt': return Number(left > right)
    default: return Number(left >= right)
  }
}
