/**
 * Rearranging lanes (SDM Vol. 2: PSHUFD, PUNPCKxx, PACKxx, PALIGNR, PBLENDxx, PINSRx, PEXTRx...; those that AVX has for floating point
 * are in float-shuffle.ts). Immediates are values: an
 * engine may not know them when it emits, so index vectors are computed from them.
 */
import { ValueType, W } from '../../wasm/opcodes.ts'
import { define } from '../define.ts'
import type { Ops, Value } from '../ops.ts'
import {
  BYTE_NUMBERS, blend, bytes, combine, doublewords, enterMmx, gather, quadwords, setVector, swizzle, transform, usesMmx, v,
  vector, withLane64, words, zero,
} from './operands.ts'

const { I32 } = ValueType

const splat = (o: Ops, byte: Value): Value => v(o, W.i8x16_splat, byte)

/** Two bits of the immediate for each lane, in every lane of a vector: lane n of `places` is 64 shifted right by twice its field's number. */
function fields32(o: Ops, immediate: Value): Value {
  const shifted = v(o, W.i32x4_mul, v(o, W.i32x4_splat, immediate), doublewords(o, 64, 16, 4, 1))
  return v(o, W.v128_and, v(o, W.i32x4_shr_u, shifted, o.i32(6)), doublewords(o, 3))
}

/** Byte indices of four doublewords that the immediate chooses. */
export function doublewordIndices(o: Ops, immediate: Value): Value {
  return v(o, W.i32x4_add, v(o, W.i32x4_mul, fields32(o, immediate), doublewords(o, 0x04040404)), doublewords(o, 0x03020100))
}

define('PSHUFD', 'w,r,r', (o) => { transform(o, (source) => swizzle(o, source, doublewordIndices(o, o.rd(2)))) })

/** Four words chosen by the immediate among the four from `first` on; the others stay. */
function shuffleWords(o: Ops, first: 0 | 4): void {
  const inGroup = (n: number): boolean => n >> 2 === first >> 2
  const lanes = Array.from({ length: 8 }, (_, n) => n)
  const places = words(o, ...lanes.map((n) => (inGroup(n) ? 64 >> (2 * (n & 3)) : 0)))
  const start = words(o, ...lanes.map((n) => (inGroup(n) ? first : n) * 0x0202 + 0x0100))
  transform(o, (source) => {
    const shifted = v(o, W.i16x8_mul, v(o, W.i16x8_splat, o.rd(2)), places)
    const field = v(o, W.v128_and, v(o, W.i16x8_shr_u, shifted, o.i32(6)), words(o, 3))
    return swizzle(o, source, v(o, W.i16x8_add, v(o, W.i16x8_mul, field, words(o, 0x0202)), start))
  })
}
define('PSHUFLW', 'w,r,r', (o) => shuffleWords(o, 0))
define('PSHUFHW', 'w,r,r', (o) => shuffleWords(o, 4))
define('PSHUFW', 'w,r,r', (o) => shuffleWords(o, 0))

/** Bit 7 of an index clears the byte; otherwise it counts within the operand. */
define('PSHUFB', 'rw,r', (o) => {
  const indexBits = usesMmx(o) ? 0x87 : 0x8f
  combine(o, (a, b) => swizzle(o, a, v(o, W.v128_and, b, bytes(o, indexBits))))
})

// Interleaving.

/** Lanes of `size` bytes from the low or high halves of `width` bytes, in turn from the one and the other. */
export function interleaved(size: number, high: boolean, width: number): number[] {
  const from = high ? width / 2 : 0
  return Array.from({ length: 16 }, (_, n) => {
    const lane = Math.floor(n / size)
    const byte = from + (lane >> 1) * size + n % size
    return (byte & 15) + ((lane & 1) !== 0 ? 16 : 0)
  })
}

function unpack(mnemonic: string, size: number, high: boolean): void {
  define(mnemonic, 'rw,r', (o) => {
    const lanes = interleaved(size, high, usesMmx(o) ? 8 : 16)
    combine(o, (a, b) => o.shuffle(a, b, lanes))
  })
}
for (const [name, size] of [['BW', 1], ['WD', 2], ['DQ', 4], ['QDQ', 8]] as const) {
  unpack(`PUNPCKL${name}`, size, false)
  unpack(`PUNPCKH${name}`, size, true)
}

for (const [mnemonic, opcode] of [
  ['PACKSSWB', W.i8x16_narrow_i16x8_s], ['PACKUSWB', W.i8x16_narrow_i16x8_u],
  ['PACKSSDW', W.i16x8_narrow_i32x4_s], ['PACKUSDW', W.i16x8_narrow_i32x4_u],
] as const) define(mnemonic, 'rw,r', (o) => { gather(o, (a, b) => v(o, opcode, a, b)) })

// Shifts of whole operands by bytes.

/** Bytes of `source` from byte `count` (I32, 0 to 255) on, zero beyond its end. */
function fromByte(o: Ops, source: Value, count: Value): Value {
  return swizzle(o, source, v(o, W.i8x16_add_sat_u, bytes(o, ...BYTE_NUMBERS), splat(o, count)))
}

define('PSRLDQ', 'rw,r', (o) => { o.wr(0, fromByte(o, o.rd(0), o.rd(1))) })
define('PSLLDQ', 'rw,r', (o) => {
  const count = v(o, W.i8x16_min_u, splat(o, o.rd(1)), bytes(o, 16))
  o.wr(0, swizzle(o, o.rd(0), v(o, W.i8x16_sub, bytes(o, ...BYTE_NUMBERS), count)))
})

/** The operands joined, the second below, shifted right. */
define('PALIGNR', 'rw,r,r', (o) => {
  if (usesMmx(o)) {
    enterMmx(o)
    const low = o.vectorOf64(o.rd(1))
    return setVector(o, 0, fromByte(o, withLane64(o, low, 1, o.rd(0)), o.rd(2)))
  }
  combine(o, (a, b) => {
    const index = o.let(v(o, W.i8x16_add_sat_u, bytes(o, ...BYTE_NUMBERS), splat(o, o.rd(2))))
    return v(o, W.v128_or, swizzle(o, b, index), swizzle(o, a, v(o, W.i8x16_sub, index, bytes(o, 16))))
  })
})

// Blending.

define('PBLENDW', 'rw,r,r', (o) => {
  const places = words(o, 1, 2, 4, 8, 16, 32, 64, 128)
  combine(o, (a, b) => blend(o, v(o, W.i16x8_eq, v(o, W.v128_and, v(o, W.i16x8_splat, o.rd(2)), places), places), b, a))
})
/** By the sign bits of XMM0's lanes. */
define('PBLENDVB', 'rw,r', (o) => { combine(o, (a, b) => blend(o, v(o, W.i8x16_shr_s, o.xmm(0), o.i32(7)), b, a)) })

// Single lanes.

/** Puts operand 1 into the lane that the immediate counts. */
function insert(o: Ops, splatOpcode: number, equal: number, numbers: Value, lanes: number): void {
  if (usesMmx(o)) enterMmx(o)
  const inserted = o.let(v(o, splatOpcode, o.rd(1)))
  const number = o.and(o.rd(2), o.i32(lanes - 1))
  const counted = splatOpcode === W.i64x2_splat ? o.extend(number, false) : number
  setVector(o, 0, blend(o, v(o, equal, v(o, splatOpcode, counted), numbers), inserted, vector(o, 0)))
}
define('PINSRB', 'rw,r,r', (o) => insert(o, W.i8x16_splat, W.i8x16_eq, bytes(o, ...BYTE_NUMBERS), 16))
define('PINSRW', 'rw,r,r', (o) => insert(o, W.i16x8_splat, W.i16x8_eq, words(o, 0, 1, 2, 3, 4, 5, 6, 7), usesMmx(o) ? 4 : 8))
define('PINSRD', 'rw,r,r', (o) => {
  if (o.operandSize(1) === 64) insert(o, W.i64x2_splat, W.i64x2_eq, quadwords(o, 0n, 1n), 2)
  else insert(o, W.i32x4_splat, W.i32x4_eq, doublewords(o, 0, 1, 2, 3), 4)
})

/** Takes the lane of `size` bytes that the immediate counts out of operand 1, zero-extended. */
function extract(o: Ops, size: number): void {
  if (usesMmx(o)) enterMmx(o)
  const lanes = (usesMmx(o) ? 8 : 16) / size
  const start = o.mul(o.and(o.rd(2), o.i32(lanes - 1)), o.i32(size))
  const moved = o.let(fromByte(o, vector(o, 1), start))
  if (size === 8) return o.wr(0, o.low64(moved))
  o.wr(0, o.zx(o.low32(moved), size === 1 ? 8 : size === 2 ? 16 : 32))
}
define('PEXTRB', 'w,r,r', (o) => extract(o, 1))
define('PEXTRW', 'w,r,r', (o) => extract(o, 2))
define('PEXTRD', 'w,r,r', (o) => extract(o, o.operandSize(0) === 64 ? 8 : 4))
define('EXTRACTPS', 'w,r,r', (o) => extract(o, 4))

/** Inserts a doubleword where bits 4 and 5 of the immediate say, then clears the lanes of bits 0 to 3. */
function insertSingle(o: Ops, inserted: Value): void {
  const immediate = o.let(o.rd(2))
  const lane = o.and(o.shr(immediate, o.i32(4)), o.i32(3))
  const here = v(o, W.i32x4_eq, v(o, W.i32x4_splat, lane), doublewords(o, 0, 1, 2, 3))
  const places = doublewords(o, 1, 2, 4, 8)
  const kept = v(o, W.i32x4_eq, v(o, W.v128_and, v(o, W.i32x4_splat, immediate), places), zero(o))
  o.wr(0, v(o, W.v128_and, blend(o, here, v(o, W.i32x4_splat, inserted), o.rd(0)), kept))
}
define('INSERTPS_LOAD', 'rw,r,r', (o) => insertSingle(o, o.rd(1)))
define('INSERTPS', 'rw,r,r', (o) => {
  const start = o.shl(o.shr(o.rd(2), o.i32(6)), o.i32(2))
  insertSingle(o, o.low32(fromByte(o, o.rd(1), start)))
})

// Extension of the low lanes.

function extend(mnemonic: string, ...opcodes: number[]): void {
  define(mnemonic, 'w,r', (o) => {
    // As a register, the operand's upper part does not matter; a narrow memory operand was put into the low lanes.
    o.wr(0, opcodes.reduce((value, opcode) => v(o, opcode, value), vector(o, 1)), 128)
  })
}
extend('PMOVSXBW', W.i16x8_extend_low_i8x16_s)
extend('PMOVSXBD', W.i16x8_extend_low_i8x16_s, W.i32x4_extend_low_i16x8_s)
extend('PMOVSXBQ', W.i16x8_extend_low_i8x16_s, W.i32x4_extend_low_i16x8_s, W.i64x2_extend_low_i32x4_s)
extend('PMOVSXWD', W.i32x4_extend_low_i16x8_s)
extend('PMOVSXWQ', W.i32x4_extend_low_i16x8_s, W.i64x2_extend_low_i32x4_s)
extend('PMOVSXDQ', W.i64x2_extend_low_i32x4_s)
extend('PMOVZXBW', W.i16x8_extend_low_i8x16_u)
extend('PMOVZXBD', W.i16x8_extend_low_i8x16_u, W.i32x4_extend_low_i16x8_u)
extend('PMOVZXBQ', W.i16x8_extend_low_i8x16_u, W.i32x4_extend_low_i16x8_u, W.i64x2_extend_low_i32x4_u)
extend('PMOVZXWD', W.i32x4_extend_low_i16x8_u)
extend('PMOVZXWQ', W.i32x4_extend_low_i16x8_u, W.i64x2_extend_low_i32x4_u)
extend('PMOVZXDQ', W.i64x2_extend_low_i32x4_u)

/** The unsigned minimum of eight words, and where it is first, above it. */
define('PHMINPOSUW', 'w,r', (o) => {
  transform(o, (source) => {
    let least = source
    for (const step of [8, 4, 2]) {
      const turned = o.shuffle(least, least, BYTE_NUMBERS.map((n) => (n + step) & 15))
      least = o.let(v(o, W.i16x8_min_u, least, turned))
    }
    const where = o.op(W.i16x8_bitmask, I32, v(o, W.i16x8_eq, source, least))
    const position = o.op(W.i32_ctz, I32, where)
    return o.vectorOf32(o.or(o.lane(W.i16x8_extract_lane_u, 0, I32, least), o.shl(position, o.i32(16))))
  })
})
