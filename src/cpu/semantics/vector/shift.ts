/** Packed shifts (SDM Vol. 2: PSLLW, PSRLW, PSRAW...). Counts are 64 bits; one beyond the lane clears it, or fills it with the sign. */
import { ValueType, W } from '../../wasm/opcodes.ts'
import { define } from '../define.ts'
import type { Ops, Value } from '../ops.ts'
import { enterMmx, setVector, usesMmx, v, vector, zero } from './operands.ts'

/** The count in an immediate, or the low 64 bits of a register or memory operand. */
function countOf(o: Ops): Value {
  const count = o.rd(1)
  return o.let(count.type === ValueType.V128 ? o.low64(count) : count)
}

type Shift = (o: Ops, value: Value, count: Value) => Value

const logical = (opcode: number, bits: number): Shift => (o, value, count) => {
  const inside = o.compare('lt_u', count, o.k(bits, count.type))
  return o.select(inside, v(o, opcode, value, o.wrap(count)), zero(o))
}

const arithmetic = (opcode: number, bits: number): Shift => (o, value, count) => {
  const most = o.k(bits - 1, count.type)
  return v(o, opcode, value, o.wrap(o.select(o.compare('lt_u', count, most), count, most)))
}

/** By a register or memory, and by an immediate. */
function defineShift(mnemonic: string, shift: Shift): void {
  const emit = (o: Ops): void => {
    if (usesMmx(o)) enterMmx(o)
    const count = countOf(o)
    setVector(o, 0, shift(o, vector(o, 0), count))
  }
  define(mnemonic, 'rw,r', emit)
  define(`${mnemonic}_IMMEDIATE`, 'rw,r', emit)
}

defineShift('PSLLW', logical(W.i16x8_shl, 16))
defineShift('PSLLD', logical(W.i32x4_shl, 32))
defineShift('PSLLQ', logical(W.i64x2_shl, 64))
defineShift('PSRLW', logical(W.i16x8_shr_u, 16))
defineShift('PSRLD', logical(W.i32x4_shr_u, 32))
defineShift('PSRLQ', logical(W.i64x2_shr_u, 64))
defineShift('PSRAW', arithmetic(W.i16x8_shr_s, 16))
defineShift('PSRAD', arithmetic(W.i32x4_shr_s, 32))
