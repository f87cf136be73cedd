/**
 * PCMPESTRI, PCMPESTRM, PCMPISTRI, PCMPISTRM (SDM Vol. 2B §4.1). A helper aggregates; what
 * is made of its bits is here.
 */
import { Gpr } from '../../state/layout.ts'
import { ValueType, W } from '../../wasm/opcodes.ts'
import { define } from '../define.ts'
import type { Ops, Value } from '../ops.ts'
import { bytes, doublewords, swizzle, v, words } from './operands.ts'

const { I32, V128 } = ValueType

const WORDS = 1
/** Of the immediate: the last element rather than the first; a mask of elements rather than of bits. */
const SELECTION = 0x40
const IMPLICIT = 0xffff

/** IntRes2 (bits 0 to 15) and the flags (from bit 16), with the flags staged. */
function aggregate(o: Ops, lengths: Value): Value {
  const b = o.let(o.rd(1))
  const result = o.helper('compareStrings', [o.rd(0), b, o.rd(2), lengths], { result: I32 })
  o.setArithmeticFlags(o.shr(result, o.i32(16)))
  return o.let(o.and(result, o.i32(0xffff)))
}

/** Both explicit lengths, saturated to 16, in a byte each. */
function explicitLengths(o: Ops): Value {
  return o.or(explicitLength(o, Gpr.RAX), o.shl(explicitLength(o, Gpr.RDX), o.i32(8)))
}

function explicitLength(o: Ops, register: number): Value {
  const size = o.size === 64 ? 64 : 32
  const length = o.let(o.to64(o.reg(register, size), size, true))
  const magnitude = o.let(o.select(o.compare('lt_s', length, o.i64(0)), o.sub(o.i64(0), length), length))
  return o.wrap(o.select(o.compare('lt_u', magnitude, o.i64(16)), magnitude, o.i64(16)))
}

/** The position of the first or last bit set, or the number of elements. */
function stageIndex(o: Ops, bits: Value): void {
  const immediate = o.let(o.rd(2))
  const count = o.shr(o.i32(16), o.and(immediate, o.i32(WORDS)))
  const first = o.op(W.i32_ctz, I32, bits)
  const last = o.sub(o.i32(31), o.op(W.i32_clz, I32, bits))
  o.setReg(Gpr.RCX, 32, o.select(bits, o.select(o.and(immediate, o.i32(SELECTION)), last, first), count))
}

/** The bits in XMM0, as they are or widened to masks of elements. */
function stageMask(o: Ops, bits: Value): void {
  const immediate = o.let(o.rd(2))
  const spread = o.let(v(o, W.i16x8_splat, bits))
  const wide = maskOf(o, W.i16x8_eq, spread, words(o, 1, 2, 4, 8, 16, 32, 64, 128))
  const narrow = maskOf(o, W.i8x16_eq, swizzle(o, spread, bytes(o, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1)), bytes(o, 1, 2, 4, 8, 16, 32, 64, 128))
  const elements = o.select(o.and(immediate, o.i32(WORDS)), wide, narrow)
  const plain: Value = v(o, W.v128_and, spread, doublewords(o, 0xffff, 0, 0, 0))
  o.setXmm(0, o.select(o.and(immediate, o.i32(SELECTION)), elements, plain))
}

function maskOf(o: Ops, equal: number, spread: Value, places: Value): Value {
  return o.op(equal, V128, o.op(W.v128_and, V128, spread, places), places)
}

define('PCMPISTRI', 'r,r,r', (o) => stageIndex(o, aggregate(o, o.i32(IMPLICIT))))
define('PCMPISTRM', 'r,r,r', (o) => stageMask(o, aggregate(o, o.i32(IMPLICIT))))
define('PCMPESTRI', 'r,r,r', (o) => stageIndex(o, aggregate(o, explicitLengths(o))))
define('PCMPESTRM', 'r,r,r', (o) => stageMask(o, aggregate(o, explicitLengths(o))))
