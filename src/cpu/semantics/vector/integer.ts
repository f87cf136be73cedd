/** Packed integer arithmetic, comparison and logic (SDM Vol. 2, PADDB to PXOR, PHADDx, PSIGNx, PSADBW...). */
import { ValueType, W } from '../../wasm/opcodes.ts'
import { define } from '../define.ts'
import type { Ops, Value } from '../ops.ts'
import {
  BYTE_NUMBERS, bytes, checkMathFault, combine, gather, leaveStackAtZero, quadwords, swizzle, transform, v, words, zero,
} from './operands.ts'

const { I32 } = ValueType

type Binary = (o: Ops, a: Value, b: Value) => Value

const defineBinary = (mnemonic: string, operation: Binary): void => define(mnemonic, 'rw,r', (o) => { combine(o, (a, b) => operation(o, a, b)) })

/** Instructions that are one WebAssembly instruction. */
const DIRECT: Record<string, number> = {
  PADDB: W.i8x16_add, PADDW: W.i16x8_add, PADDD: W.i32x4_add, PADDQ: W.i64x2_add,
  PSUBB: W.i8x16_sub, PSUBW: W.i16x8_sub, PSUBD: W.i32x4_sub, PSUBQ: W.i64x2_sub,
  PADDSB: W.i8x16_add_sat_s, PADDSW: W.i16x8_add_sat_s, PADDUSB: W.i8x16_add_sat_u, PADDUSW: W.i16x8_add_sat_u,
  PSUBSB: W.i8x16_sub_sat_s, PSUBSW: W.i16x8_sub_sat_s, PSUBUSB: W.i8x16_sub_sat_u, PSUBUSW: W.i16x8_sub_sat_u,
  PMINSB: W.i8x16_min_s, PMINUB: W.i8x16_min_u, PMAXSB: W.i8x16_max_s, PMAXUB: W.i8x16_max_u,
  PMINSW: W.i16x8_min_s, PMINUW: W.i16x8_min_u, PMAXSW: W.i16x8_max_s, PMAXUW: W.i16x8_max_u,
  PMINSD: W.i32x4_min_s, PMINUD: W.i32x4_min_u, PMAXSD: W.i32x4_max_s, PMAXUD: W.i32x4_max_u,
  PAVGB: W.i8x16_avgr_u, PAVGW: W.i16x8_avgr_u,
  PMULLW: W.i16x8_mul, PMULLD: W.i32x4_mul, PMADDWD: W.i32x4_dot_i16x8_s,
  PCMPEQB: W.i8x16_eq, PCMPEQW: W.i16x8_eq, PCMPEQD: W.i32x4_eq, PCMPEQQ: W.i64x2_eq,
  PCMPGTB: W.i8x16_gt_s, PCMPGTW: W.i16x8_gt_s, PCMPGTD: W.i32x4_gt_s, PCMPGTQ: W.i64x2_gt_s,
  PAND: W.v128_and, POR: W.v128_or, PXOR: W.v128_xor,
  ANDPS: W.v128_and, ANDPD: W.v128_and, ORPS: W.v128_or, ORPD: W.v128_or, XORPS: W.v128_xor, XORPD: W.v128_xor,
}
for (const [mnemonic, opcode] of Object.entries(DIRECT)) defineBinary(mnemonic, (o, a, b) => v(o, opcode, a, b))

/** The first operand is the one that is inverted. */
for (const mnemonic of ['PANDN', 'ANDNPS', 'ANDNPD']) defineBinary(mnemonic, (o, a, b) => v(o, W.v128_andnot, b, a))

// Products.

const HIGH_WORDS = [2, 3, 6, 7, 10, 11, 14, 15, 18, 19, 22, 23, 26, 27, 30, 31]
const highWords = (low: number, high: number): Binary => (o, a, b) => o.shuffle(v(o, low, a, b), v(o, high, a, b), HIGH_WORDS)
defineBinary('PMULHW', highWords(W.i32x4_extmul_low_i16x8_s, W.i32x4_extmul_high_i16x8_s))
defineBinary('PMULHUW', highWords(W.i32x4_extmul_low_i16x8_u, W.i32x4_extmul_high_i16x8_u))

/** Products of the even doublewords. */
const evenProducts = (opcode: number): Binary => (o, a, b) => {
  const even = (value: Value): Value => o.shuffle(value, value, [0, 1, 2, 3, 8, 9, 10, 11, 0, 1, 2, 3, 8, 9, 10, 11])
  return v(o, opcode, even(a), even(b))
}
defineBinary('PMULUDQ', evenProducts(W.i64x2_extmul_low_i32x4_u))
defineBinary('PMULDQ', evenProducts(W.i64x2_extmul_low_i32x4_s))

/** Wasm's rounding product saturates -1 × -1, where PMULHRSW wraps to -1. */
defineBinary('PMULHRSW', (o, a, b) => {
  const least = words(o, 0x8000)
  const wraps = v(o, W.v128_and, v(o, W.i16x8_eq, a, least), v(o, W.i16x8_eq, b, least))
  return v(o, W.v128_xor, v(o, W.i16x8_q15mulr_sat_s, a, b), wraps)
})

/** Unsigned bytes of the first operand times signed ones of the second, neighbours added with saturation. */
defineBinary('PMADDUBSW', (o, a, b) => {
  const signed = (value: Value): Value => v(o, W.i16x8_shr_s, value, o.i32(8))
  const even = v(o, W.i16x8_mul, v(o, W.v128_and, a, words(o, 0xff)), signed(v(o, W.i16x8_shl, b, o.i32(8))))
  const odd = v(o, W.i16x8_mul, v(o, W.i16x8_shr_u, a, o.i32(8)), signed(b))
  return v(o, W.i16x8_add_sat_s, even, odd)
})

// Sums of differences.

const distance: Binary = (o, a, b) => v(o, W.v128_or, v(o, W.i8x16_sub_sat_u, a, b), v(o, W.i8x16_sub_sat_u, b, a))

/** Eight absolute differences of bytes are summed into each quadword. */
defineBinary('PSADBW', (o, a, b) => {
  const words = v(o, W.i16x8_extadd_pairwise_i8x16_u, distance(o, a, b))
  const sums = o.let(v(o, W.i32x4_extadd_pairwise_i16x8_u, words))
  return v(o, W.i64x2_add, v(o, W.v128_and, sums, quadwords(o, 0xffffffffn)), v(o, W.i64x2_shr_u, sums, o.i32(32)))
})

/**
 * Eight sums of four absolute differences: four bytes of the second operand, from the doubleword of bits 0 and 1 of the immediate,
 * against those of the first from each of eight bytes on, starting at 0 or 4 by bit 2.
 */
export function multipleSums(o: Ops, a: Value, b: Value, immediate: Value): Value {
  const first = o.and(immediate, o.i32(4))
  const second = o.let(o.shl(o.and(immediate, o.i32(3)), o.i32(2)))
  const window = o.let(v(o, W.i8x16_add, bytes(o, ...BYTE_NUMBERS), v(o, W.i8x16_splat, first)))
  const terms = [0, 1, 2, 3].map((n) => {
    const from = swizzle(o, a, v(o, W.i8x16_add, window, bytes(o, n)))
    const against = swizzle(o, b, v(o, W.i8x16_splat, o.add(second, o.i32(n))))
    return v(o, W.i16x8_extend_low_i8x16_u, distance(o, o.let(from), o.let(against)))
  })
  return terms.reduce((sum, term) => v(o, W.i16x8_add, sum, term))
}
define('MPSADBW', 'rw,r,r', (o) => { combine(o, (a, b) => multipleSums(o, a, b, o.let(o.rd(2)))) })

// Horizontal operations: the first operand's pairs go below the second's.

const lanesOf = (size: number, odd: boolean): number[] =>
  Array.from({ length: 16 }, (_, n) => Math.floor(n / size) * size * 2 + n % size + (odd ? size : 0))

function horizontal(mnemonic: string, size: number, opcode: number): void {
  define(mnemonic, 'rw,r', (o) => {
    gather(o, (a, b) => v(o, opcode, o.shuffle(a, b, lanesOf(size, false)), o.shuffle(a, b, lanesOf(size, true))))
  })
}
horizontal('PHADDW', 2, W.i16x8_add)
horizontal('PHADDD', 4, W.i32x4_add)
horizontal('PHADDSW', 2, W.i16x8_add_sat_s)
horizontal('PHSUBW', 2, W.i16x8_sub)
horizontal('PHSUBD', 4, W.i32x4_sub)
horizontal('PHSUBSW', 2, W.i16x8_sub_sat_s)

// Signs.

for (const [mnemonic, opcode] of [['PABSB', W.i8x16_abs], ['PABSW', W.i16x8_abs], ['PABSD', W.i32x4_abs]] as const) {
  define(mnemonic, 'w,r', (o) => { transform(o, (source) => v(o, opcode, source)) })
}

/** Negates where the second operand is negative, clears where it is zero. */
function applySign(mnemonic: string, opcodes: { less: number; notEqual: number; subtract: number }): void {
  defineBinary(mnemonic, (o, a, b) => {
    const negative = o.let(v(o, opcodes.less, b, zero(o)))
    const signed = v(o, opcodes.subtract, v(o, W.v128_xor, a, negative), negative)
    return v(o, W.v128_and, signed, v(o, opcodes.notEqual, b, zero(o)))
  })
}
applySign('PSIGNB', { less: W.i8x16_lt_s, notEqual: W.i8x16_ne, subtract: W.i8x16_sub })
applySign('PSIGNW', { less: W.i16x8_lt_s, notEqual: W.i16x8_ne, subtract: W.i16x8_sub })
applySign('PSIGND', { less: W.i32x4_lt_s, notEqual: W.i32x4_ne, subtract: W.i32x4_sub })

/** ZF says that the operands share no bit, CF that the second has none outside the first; the other flags are clear. */
define('PTEST', 'r,r', (o) => {
  const b = o.let(o.rd(1))
  const a = o.let(o.rd(0))
  const isZero = (value: Value): Value => o.eqz(o.op(W.v128_any_true, I32, value))
  o.setArithmeticFlags(o.or(o.shl(isZero(v(o, W.v128_and, a, b)), o.i32(6)), isZero(v(o, W.v128_andnot, b, a))))
})

define('EMMS', '', (o) => {
  checkMathFault(o)
  o.setField('FTW', o.i32(0))
  leaveStackAtZero(o)
})
