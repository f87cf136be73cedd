/** AVX and AVX2 across 128-bit halves: permutations, broadcasts, shifts by lane, masked moves (SDM Vol. 2: VPERMD, VINSERTI128, VPSLLVD...). */
import { ValueType, W } from '../../wasm/opcodes.ts'
import { define } from '../define.ts'
import type { Ops, Value } from '../ops.ts'
import { blend, doublewords, lane32, lane64, readParts, swizzle, v, withLane32, withLane64, writeParts, zero } from './operands.ts'

const { I32 } = ValueType

// Halves.

const immediateBits = (o: Ops, n: number, bits: number): Value => o.and(o.rd(n), o.i32(bits))

for (const mnemonic of ['VINSERTF128', 'VINSERTI128']) {
  define(mnemonic, 'w,r,r,r', (o) => {
    const inserted = o.let(o.rd(2))
    const [low, high] = readParts(o, 1)
    const upper = o.let(immediateBits(o, 3, 1))
    writeParts(o, 0, [o.let(o.select(upper, low, inserted)), o.let(o.select(upper, inserted, high))])
  })
}
for (const mnemonic of ['VEXTRACTF128', 'VEXTRACTI128']) {
  define(mnemonic, 'w,r,r', (o) => {
    o.touch(0)
    const [low, high] = readParts(o, 1)
    writeParts(o, 0, [o.let(o.select(immediateBits(o, 2, 1), high, low))])
  })
}

/** A half of either source, or zero, by four bits each. */
for (const mnemonic of ['VPERM2F128', 'VPERM2I128']) {
  define(mnemonic, 'w,r,r,r', (o) => {
    const second = readParts(o, 2)
    const first = readParts(o, 1)
    const half = (shift: number): Value => {
      const bit = (n: number): Value => immediateBits(o, 3, n << shift)
      const chosen = o.let(o.select(bit(2), o.let(o.select(bit(1), second[1], second[0])), o.let(o.select(bit(1), first[1], first[0]))))
      return o.let(o.select(bit(8), zero(o), chosen))
    }
    writeParts(o, 0, [half(0), half(4)])
  })
}
define('VBROADCASTI128', 'w,r', (o) => {
  const part = o.let(o.rd(1))
  writeParts(o, 0, [part, part])
})

// Lanes.

/** Of 32 bytes in two halves, those that `index` (bytes 0 to 31) names. */
function choose32(o: Ops, [low, high]: readonly Value[], index: Value): Value {
  // An index of 16 or more is outside the half that it is taken from, and gives zero there.
  return v(o, W.v128_or, swizzle(o, low, index), swizzle(o, high, v(o, W.i8x16_sub, index, doublewords(o, 0x10101010))))
}

/** Byte indices of doublewords 0 to 7. */
const doublewordBytes = (o: Ops, numbers: Value): Value =>
  v(o, W.i32x4_add, v(o, W.i32x4_mul, v(o, W.v128_and, numbers, doublewords(o, 7)), doublewords(o, 0x04040404)), doublewords(o, 0x03020100))

for (const mnemonic of ['VPERMD', 'VPERMPS']) {
  define(mnemonic, 'w,r,r', (o) => {
    const source = readParts(o, 2)
    writeParts(o, 0, readParts(o, 1).map((numbers) => o.let(choose32(o, source, o.let(doublewordBytes(o, numbers))))))
  })
}

for (const mnemonic of ['VPERMQ', 'VPERMPD']) {
  define(mnemonic, 'w,r,r', (o) => {
    const [low, high] = readParts(o, 1)
    const quarter = (shift: number): Value => {
      const of = (part: Value): Value => o.select(immediateBits(o, 2, 1 << shift), lane64(o, part, 1), lane64(o, part, 0))
      return o.let(o.select(immediateBits(o, 2, 2 << shift), of(high), of(low)))
    }
    const pair = (shift: number): Value => withLane64(o, o.vectorOf64(quarter(shift)), 1, quarter(shift + 2))
    writeParts(o, 0, [pair(0), pair(4)])
  })
}

define('VPBLENDD', 'w,r,r,r', (o) => {
  const b = readParts(o, 2)
  writeParts(o, 0, readParts(o, 1).map((part, half) => {
    const places = doublewords(o, ...[1, 2, 4, 8].map((bit) => bit << (4 * half)))
    return blend(o, v(o, W.i32x4_eq, v(o, W.v128_and, v(o, W.i32x4_splat, o.rd(3)), places), places), b[half], part)
  }))
})

for (const [mnemonic, opcode, bytes] of [
  ['VPBROADCASTB', W.i8x16_splat, 1], ['VPBROADCASTW', W.i16x8_splat, 2], ['VPBROADCASTD', W.i32x4_splat, 4], ['VPBROADCASTQ', W.i64x2_splat, 8],
] as const) {
  define(mnemonic, 'w,r', (o) => {
    const lowest = Array.from({ length: 16 }, (_, n) => n % bytes)
    const source = o.let(o.rd(1))
    const part = o.let(o.isMemory(1) ? v(o, opcode, source) : o.shuffle(source, source, lowest))
    writeParts(o, 0, o.operandSize(0) === 256 ? [part, part] : [part])
  })
}

// Shifts by as much as the lanes of the second source say; too much clears a lane, or fills it with the sign.

type LaneShift = 'shl' | 'shr_u' | 'shr_s'

function shiftLane(o: Ops, shift: LaneShift, value: Value, count: Value, bits: number): Value {
  if (shift === 'shr_s') return o.binary(shift, value, o.select(o.compare('lt_u', count, o.i32(bits)), count, o.i32(bits - 1)))
  return o.select(o.compare('lt_u', count, o.k(bits, count.type)), o.binary(shift, value, count), o.k(0, value.type))
}

function shiftPart(o: Ops, shift: LaneShift, part: Value, counts: Value, bits: 32 | 64): Value {
  const [lane, withLane, lanes] = bits === 32 ? [lane32, withLane32, [0, 1, 2, 3]] as const : [lane64, withLane64, [0, 1]] as const
  return lanes.reduce((result: Value, n) =>
    withLane(o, result, n, shiftLane(o, shift, lane(o, part, n), o.let(lane(o, counts, n)), bits)), zero(o))
}

for (const [mnemonic, shift, bits] of [
  ['VPSLLVD', 'shl', 32], ['VPSLLVQ', 'shl', 64], ['VPSRLVD', 'shr_u', 32], ['VPSRLVQ', 'shr_u', 64], ['VPSRAVD', 'shr_s', 32],
] as const) {
  define(mnemonic, 'w,r,r', (o) => {
    const counts = readParts(o, 2)
    writeParts(o, 0, readParts(o, 1).map((part, half) => o.let(shiftPart(o, shift, part, counts[half], bits))))
  })
}

// Masked moves: lanes whose mask's sign is clear are not accessed, and read as zero.

/** A bit for each lane whose mask is set. */
function laneBits(o: Ops, masks: readonly Value[], bits: 32 | 64): Value {
  const [opcode, lanes] = bits === 32 ? [W.i32x4_bitmask, 4] : [W.i64x2_bitmask, 2]
  const parts = masks.map((mask, half) => o.shl(o.op(opcode, I32, mask), o.i32(lanes * half)))
  return o.let(parts.reduce((all, some) => o.or(all, some)))
}

for (const [name, bits] of [['VMASKMOVPS', 32], ['VMASKMOVPD', 64], ['VPMASKMOVD', 32], ['VPMASKMOVQ', 64]] as const) {
  const shape = (o: Ops, mask: Value): Value => o.or(mask, o.i32(bits / 8 << 8))
  define(`${name}_LOAD`, 'w,r,r', (o) => {
    const mask = laneBits(o, readParts(o, 1), bits)
    const wide = o.operandSize(0) === 256
    const low = o.helper('maskedLoad', [o.let(o.offset(2)), o.memorySegment(), shape(o, mask)], { result: ValueType.V128 })
    writeParts(o, 0, wide ? [low, o.helper('secondResult', [], { result: ValueType.V128 })] : [low])
  })
  define(`${name}_STORE`, 'w,r,r', (o) => {
    const mask = laneBits(o, readParts(o, 1), bits)
    const parts = readParts(o, 2)
    o.helper('maskedStore', [o.let(o.offset(0)), o.memorySegment(), shape(o, mask), ...parts])
  })
}
