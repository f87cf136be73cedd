/**
 * Rearranging floating-point lanes in SSE and AVX (SDM Vol. 2: SHUFPS, UNPCKxx, BLENDxx, VPERMILxx, VBROADCASTSx, MOVxDUP, MOVMSKPx). AVX
 * does to each 128 bits what SSE does to its registers, with bits of the immediate of their own where there are enough.
 */
import { ValueType, W } from '../../wasm/opcodes.ts'
import { define } from '../define.ts'
import type { Ops, Value } from '../ops.ts'
import { blend, doublewords, lane64, quadwords, readParts, swizzle, v, vector, withLane64, writeParts } from './operands.ts'
import { doublewordIndices, interleaved } from './shuffle.ts'

const { I32 } = ValueType

/** On 128 bits, the first (0) or second (1) of the operand. */
type Combine = (o: Ops, a: Value, b: Value, immediate: () => Value, half: number) => Value

/** Of SSE's first operand and its second, or of AVX's second and third; `more` is the access of what follows them. */
function defineCombined(mnemonic: string, operation: Combine, more = ''): void {
  define(mnemonic, `rw,r${more}`, (o) => {
    const b = o.let(o.rd(1))
    o.wr(0, operation(o, o.let(o.rd(0)), b, () => o.rd(2), 0))
  })
  define(`V${mnemonic}`, `w,r,r${more}`, (o) => combineParts(o, operation))
}

function combineParts(o: Ops, operation: Combine): void {
  const b = readParts(o, 2)
  writeParts(o, 0, readParts(o, 1).map((part, half) => operation(o, part, b[half], () => o.rd(3), half)))
}

function defineTransformed(mnemonic: string, operation: (o: Ops, source: Value) => Value): void {
  define(mnemonic, 'w,r', (o) => { o.wr(0, operation(o, o.let(o.rd(1)))) })
  define(`V${mnemonic}`, 'w,r', (o) => writeParts(o, 0, readParts(o, 1).map((part) => operation(o, part))))
}

const shuffled = (lanes: readonly number[]) => (o: Ops, source: Value): Value => o.shuffle(source, source, lanes)
defineTransformed('MOVSLDUP', shuffled([0, 1, 2, 3, 0, 1, 2, 3, 8, 9, 10, 11, 8, 9, 10, 11]))
defineTransformed('MOVSHDUP', shuffled([4, 5, 6, 7, 4, 5, 6, 7, 12, 13, 14, 15, 12, 13, 14, 15]))

define('MOVDDUP', 'w,r', (o) => { o.wr(0, v(o, W.i64x2_splat, o.rd(1)), 128) })
define('VMOVDDUP', 'w,r', (o) => {
  writeParts(o, 0, readParts(o, 1).map((part) => v(o, W.i64x2_splat, o.low64(part))))
})

for (const [mnemonic, size, high] of [
  ['UNPCKLPS', 4, false], ['UNPCKHPS', 4, true], ['UNPCKLPD', 8, false], ['UNPCKHPD', 8, true],
] as const) {
  const lanes = interleaved(size, high, 16)
  defineCombined(mnemonic, (o, a, b) => o.shuffle(a, b, lanes))
}

// By the immediate.

/** Two doublewords of the first operand, two of the second. */
function shuffleSingles(o: Ops, a: Value, b: Value, immediate: () => Value): Value {
  const indices = o.let(doublewordIndices(o, immediate()))
  return o.shuffle(swizzle(o, a, indices), swizzle(o, b, indices), [0, 1, 2, 3, 4, 5, 6, 7, 24, 25, 26, 27, 28, 29, 30, 31])
}

/** A quadword of each operand; two bits of the immediate for each 128 bits. */
function shuffleDoubles(o: Ops, a: Value, b: Value, immediate: () => Value, half: number): Value {
  const choose = (bit: number, of: Value): Value =>
    o.select(o.and(immediate(), o.i32(bit << (2 * half))), lane64(o, of, 1), lane64(o, of, 0))
  return withLane64(o, o.vectorOf64(choose(1, a)), 1, choose(2, b))
}
defineCombined('SHUFPS', shuffleSingles, ',r')
defineCombined('SHUFPD', shuffleDoubles, ',r')

/** The second operand's lanes where the immediate has a bit. */
const blendByImmediate = (places: (o: Ops, half: number) => Value): Combine => (o, a, b, immediate, half) => {
  const bits = places(o, half)
  return blend(o, v(o, W.i32x4_eq, v(o, W.v128_and, v(o, W.i32x4_splat, immediate()), bits), bits), b, a)
}
const shifted = (o: Ops, by: number, ...lanes: number[]): Value => doublewords(o, ...lanes.map((lane) => lane << by))
defineCombined('BLENDPS', blendByImmediate((o, half) => shifted(o, 4 * half, 1, 2, 4, 8)), ',r')
defineCombined('BLENDPD', blendByImmediate((o, half) => shifted(o, 2 * half, 1, 1, 2, 2)), ',r')

for (const [mnemonic, operation] of [['VPERMILPS', shuffleSingles], ['VPERMILPD', shuffleDoubles]] as const) {
  define(`${mnemonic}_IMMEDIATE`, 'w,r,r', (o) => {
    writeParts(o, 0, readParts(o, 1).map((part, half) => operation(o, part, part, () => o.rd(2), half)))
  })
}

// By a register.

/** By the sign bits of the lanes of XMM0, or of AVX's fourth operand. */
for (const [mnemonic, opcode, bits] of [['BLENDVPS', W.i32x4_shr_s, 32], ['BLENDVPD', W.i64x2_shr_s, 64]] as const) {
  const mixed = (o: Ops, a: Value, b: Value, mask: Value): Value => blend(o, v(o, opcode, mask, o.i32(bits - 1)), b, a)
  define(mnemonic, 'rw,r', (o) => {
    const b = o.let(o.rd(1))
    o.wr(0, mixed(o, o.rd(0), b, o.xmm(0)))
  })
  define(`V${mnemonic}`, 'w,r,r,r', (o) => {
    const b = readParts(o, 2)
    const masks = readParts(o, 3)
    writeParts(o, 0, readParts(o, 1).map((part, half) => mixed(o, part, b[half], masks[half])))
  })
}

define('VPERMILPS', 'w,r,r', (o) => combineParts(o, (_o, a, b) => {
  const chosen = v(o, W.i32x4_mul, v(o, W.v128_and, b, doublewords(o, 3)), doublewords(o, 0x04040404))
  return swizzle(o, a, v(o, W.i32x4_add, chosen, doublewords(o, 0x03020100)))
}))
/** Bit 1 of each quadword chooses. */
define('VPERMILPD', 'w,r,r', (o) => combineParts(o, (_o, a, b) => {
  const two = quadwords(o, 2n)
  const high = v(o, W.i64x2_eq, v(o, W.v128_and, b, two), two)
  return blend(o, high, v(o, W.i64x2_splat, lane64(o, a, 1)), v(o, W.i64x2_splat, lane64(o, a, 0)))
}))

// One lane everywhere.

for (const [mnemonic, opcode] of [['VBROADCASTSS', W.i32x4_splat], ['VBROADCASTSD', W.i64x2_splat]] as const) {
  define(mnemonic, 'w,r', (o) => everywhere(o, o.let(v(o, opcode, o.rd(1)))))
}
define('VBROADCASTF128', 'w,r', (o) => everywhere(o, o.rd(1)))
const everywhere = (o: Ops, part: Value): void => writeParts(o, 0, o.operandSize(0) === 256 ? [part, part] : [part])

// Sign bits to a general register.

for (const [mnemonic, opcode, lanes] of [['MOVMSKPS', W.i32x4_bitmask, 4], ['MOVMSKPD', W.i64x2_bitmask, 2]] as const) {
  define(mnemonic, 'w,r', (o) => { o.wr(0, o.op(opcode, I32, vector(o, 1)), 32) })
  define(`V${mnemonic}`, 'w,r', (o) => {
    const bits = readParts(o, 1).map((part, half) => o.shl(o.op(opcode, I32, part), o.i32(lanes * half)))
    o.wr(0, bits.reduce((all, some) => o.or(all, some)), 32)
  })
}
