/** What all vector instructions share: operands of any width as V128, MMX's transition, and constants. */
import { ValueType, W } from '../../wasm/opcodes.ts'
import type { Ops, Value } from '../ops.ts'

const { I32, I64, V128 } = ValueType

const MATH_FAULT_PENDING = 0x80
const TOP = 0x3800
const GENERAL_PROTECTION = 13

export const isMmx = (o: Ops, n: number): boolean => 'PQN'.includes(o.operands[n].method)
export const usesMmx = (o: Ops): boolean => o.operands.some((_, n) => isMmx(o, n))

/** Operand `n` in the low part of a vector, zero above. */
export function vector(o: Ops, n: number): Value {
  const value = o.rd(n, o.operandSize(n) === 256 ? 128 : undefined)
  if (value.type === V128) return value
  return value.type === I64 ? o.vectorOf64(value) : o.vectorOf32(value)
}

/** Writes all of an XMM register or memory operand, or the low 64 bits to an MMX operand. */
export function setVector(o: Ops, n: number, value: Value): void {
  if (isMmx(o, n)) o.wr(n, o.low64(value))
  else o.wr(n, value, 128)
}

/**
 * What an MMX instruction does to the x87 (SDM Vol. 1 §9.5): a pending exception is raised first; TOP becomes 0 and all registers
 * are in use. Writing an MMX register sets its exponent, which engines see to.
 */
export function enterMmx(o: Ops): void {
  checkMathFault(o)
  o.setField('FTW', o.i32(0xff))
  leaveStackAtZero(o)
}

export function checkMathFault(o: Ops): void {
  const nothingPending = o.eqz(o.and(o.field('FSW'), o.i32(MATH_FAULT_PENDING)))
  o.chooseCommon(nothingPending, I32, () => o.i32(0), () => o.helper('checkMathFault', []))
}

export function leaveStackAtZero(o: Ops): void { o.setField('FSW', o.and(o.field('FSW'), o.i32(~TOP))) }

/** An instruction that combines operand 0 with operand 1, in MMX or XMM registers. */
export function combine(o: Ops, operation: (a: Value, b: Value) => Value): void {
  if (usesMmx(o)) enterMmx(o)
  const b = o.let(vector(o, 1))
  setVector(o, 0, operation(o.let(vector(o, 0)), b))
}

/**
 * As `combine`, for operations that gather from both operands, the first one's lanes going below the second's: MMX operands are
 * the halves of one vector, given twice.
 */
export function gather(o: Ops, operation: (a: Value, b: Value) => Value): void {
  if (!usesMmx(o)) return combine(o, operation)
  enterMmx(o)
  const b = o.rd(1)
  const both = o.let(o.lane(W.i64x2_replace_lane, 1, V128, o.vectorOf64(o.rd(0)), b))
  setVector(o, 0, operation(both, both))
}

/** An instruction that replaces operand 0 by a function of operand 1. */
export function transform(o: Ops, operation: (source: Value) => Value): void {
  if (usesMmx(o)) enterMmx(o)
  setVector(o, 0, operation(o.let(vector(o, 1))))
}

/** Raises #GP for a memory operand of 16 or 32 bytes that is not aligned, where the operand's kind does not say so by itself. */
export function requireAlignment(o: Ops, n: number): void {
  o.raiseIf(o.ne(o.and(o.linear(n), o.i64(o.operandSize(n) / 8 - 1)), o.i64(0)), GENERAL_PROTECTION, 0)
}

/** Constants with the same lane everywhere, or given lanes. */
export const bytes = (o: Ops, ...lanes: number[]): Value => o.v128(fill(lanes, 16))
export const words = (o: Ops, ...lanes: number[]): Value => o.v128(new Uint8Array(Uint16Array.from(fill(lanes, 8)).buffer))
export const doublewords = (o: Ops, ...lanes: number[]): Value => o.v128(new Uint8Array(Uint32Array.from(fill(lanes, 4)).buffer))
export const quadwords = (o: Ops, ...lanes: bigint[]): Value => o.v128(new Uint8Array(BigUint64Array.from(fill(lanes, 2)).buffer))
export const zero = (o: Ops): Value => bytes(o, 0)

function fill<T>(lanes: readonly T[], count: number): T[] { return Array.from({ length: count }, (_, n) => lanes[n % lanes.length]) }

/** 0, 1, 2, ... in bytes: `swizzle` with it plus a number moves bytes down. */
export const BYTE_NUMBERS = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]

/** For `shuffle`: the high half in the low one's place; the low halves of two vectors. */
export const HIGH_HALF = [8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15]
export const LOW_HALVES = [0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23]

export const v = (o: Ops, opcode: number, ...args: Value[]): Value => o.op(opcode, V128, ...args)
/** Bytes of `source` chosen by `index`, zero where that is 16 or more. */
export const swizzle = (o: Ops, source: Value, index: Value): Value => v(o, W.i8x16_swizzle, source, index)
/** `a` where the mask has ones, else `b`. */
export const blend = (o: Ops, mask: Value, a: Value, b: Value): Value => v(o, W.v128_bitselect, a, b, mask)
export const lane32 = (o: Ops, vector: Value, n: number): Value => o.lane(W.i32x4_extract_lane, n, I32, vector)
export const lane64 = (o: Ops, vector: Value, n: number): Value => o.lane(W.i64x2_extract_lane, n, I64, vector)
export const withLane32 = (o: Ops, vector: Value, n: number, value: Value): Value => o.lane(W.i32x4_replace_lane, n, V128, vector, value)
export const withLane64 = (o: Ops, vector: Value, n: number, value: Value): Value => o.lane(W.i64x2_replace_lane, n, V128, vector, value)

/** Operand `n` of AVX as one value of 128 bits (zero above a narrower operand) or two. */
export function readParts(o: Ops, n: number): readonly Value[] {
  const low = o.let(vector(o, n))
  return o.operandSize(n) === 256 ? [low, o.let(o.rdHigh(n))] : [low]
}

/** Writes operand `n` of AVX: a vector register all of it, zero above the last part. */
export function writeParts(o: Ops, n: number, parts: readonly Value[]): void {
  o.wr(n, parts[0], 128)
  if (!o.isMemory(n)) o.wrHigh(n, parts[1] ?? zero(o))
  else if (parts.length > 1) o.wrHigh(n, parts[1])
}
