/** AVX's moves, and integers whose AVX form is more than SSE's on each 128 bits (SDM Vol. 2: VMOVUPS, VZEROUPPER, VPMOVSX, VPTEST...). */
import { ValueType, W } from '../../wasm/opcodes.ts'
import { define } from '../define.ts'
import type { Ops, Value } from '../ops.ts'
import {
  blend, doublewords, readParts, requireAlignment, v, vector, withLane32, withLane64, writeParts, zero,
} from './operands.ts'
import { multipleSums } from './integer.ts'

const { I32 } = ValueType

const move = (o: Ops): void => writeParts(o, 0, readParts(o, 1))
for (const mnemonic of ['VMOVUPS', 'VMOVUPD', 'VMOVAPS', 'VMOVAPD', 'VMOVDQA', 'VMOVDQU', 'VLDDQU']) define(mnemonic, 'w,r', move)
for (const [mnemonic, memory] of [['VMOVNTPS', 0], ['VMOVNTPD', 0], ['VMOVNTDQ', 0], ['VMOVNTDQA', 1]] as const) {
  define(mnemonic, 'w,r', (o) => {
    requireAlignment(o, memory)
    move(o)
  })
}

/** What is loaded, with zeros above it. */
for (const mnemonic of ['VMOVSS_LOAD', 'VMOVSD_LOAD', 'VMOVQ_LOAD', 'VMOVD_LOAD']) {
  define(mnemonic, 'w,r', (o) => writeParts(o, 0, [vector(o, 1)]))
}
/** The low part from the last operand, the rest of 128 bits from the one before. */
define('VMOVSS_MERGE', 'w,r,r', (o) => writeParts(o, 0, [withLane32(o, o.rd(1, 128), 0, o.rd(2))]))
for (const mnemonic of ['VMOVSD_MERGE', 'VMOVLPS_LOAD', 'VMOVLPD_LOAD']) {
  define(mnemonic, 'w,r,r', (o) => {
    const low = o.rd(2)
    writeParts(o, 0, [withLane64(o, o.rd(1, 128), 0, low)])
  })
}

const registers = (o: Ops): number[] => Array.from({ length: o.mode === 64 ? 16 : 8 }, (_, n) => n)
define('VZEROUPPER', '', (o) => { for (const n of registers(o)) o.setXmmHigh(n, zero(o)) })
define('VZEROALL', '', (o) => {
  for (const n of registers(o)) {
    o.setXmm(n, zero(o))
    o.setXmmHigh(n, zero(o))
  }
})

// Extension of the low lanes. What makes the upper half stands `step` bytes above what makes the lower one.

function extend(mnemonic: string, step: number, ...opcodes: number[]): void {
  const extended = (o: Ops, source: Value): Value => opcodes.reduce((value, opcode) => v(o, opcode, value), source)
  const up = Array.from({ length: 16 }, (_, n) => (n + step) & 15)
  define(mnemonic, 'w,r', (o) => {
    const source = o.let(vector(o, 1))
    const sources = o.operandSize(0) === 256 ? [source, o.shuffle(source, source, up)] : [source]
    writeParts(o, 0, sources.map((part) => o.let(extended(o, part))))
  })
}
for (const [kind, words, doubles, quads] of [
  ['VPMOVSX', W.i16x8_extend_low_i8x16_s, W.i32x4_extend_low_i16x8_s, W.i64x2_extend_low_i32x4_s],
  ['VPMOVZX', W.i16x8_extend_low_i8x16_u, W.i32x4_extend_low_i16x8_u, W.i64x2_extend_low_i32x4_u],
] as const) {
  extend(`${kind}BW`, 8, words)
  extend(`${kind}BD`, 4, words, doubles)
  extend(`${kind}BQ`, 2, words, doubles, quads)
  extend(`${kind}WD`, 8, doubles)
  extend(`${kind}WQ`, 4, doubles, quads)
  extend(`${kind}DQ`, 8, quads)
}

// Tests.

const both = (o: Ops, parts: readonly Value[]): Value => parts.reduce((all, part) => v(o, W.v128_or, all, part))

/** ZF where no bit that counts is in both operands, CF where none is in the second alone. */
function test(mnemonic: string, counts: (o: Ops) => Value | undefined): void {
  define(mnemonic, 'r,r', (o) => {
    const b = readParts(o, 1)
    const a = readParts(o, 0)
    const mask = counts(o)
    const isZero = (parts: Value[]): Value => {
      const all = both(o, parts)
      return o.eqz(o.op(W.v128_any_true, I32, mask === undefined ? all : v(o, W.v128_and, all, mask)))
    }
    const common = isZero(a.map((part, n) => v(o, W.v128_and, part, b[n])))
    const alone = isZero(a.map((part, n) => v(o, W.v128_andnot, b[n], part)))
    o.setArithmeticFlags(o.or(o.shl(common, o.i32(6)), alone))
  })
}
test('VPTEST', () => undefined)
test('VTESTPS', (o) => doublewords(o, 0x80000000))
test('VTESTPD', (o) => doublewords(o, 0, 0x80000000))

define('VPMOVMSKB', 'w,r', (o) => {
  const bits = readParts(o, 1).map((part, half) => o.shl(o.op(W.i8x16_bitmask, I32, part), o.i32(16 * half)))
  o.wr(0, bits.reduce((all, some) => o.or(all, some)), 32)
})

define('VPBLENDVB', 'w,r,r,r', (o) => {
  const b = readParts(o, 2)
  const masks = readParts(o, 3)
  writeParts(o, 0, readParts(o, 1).map((part, half) => blend(o, v(o, W.i8x16_shr_s, masks[half], o.i32(7)), b[half], part)))
})

/** Three bits of the immediate for each 128 bits. */
define('VMPSADBW', 'w,r,r,r', (o) => {
  const b = readParts(o, 2)
  const immediate = o.let(o.rd(3))
  writeParts(o, 0, readParts(o, 1).map((part, half) => multipleSums(o, part, b[half], o.let(o.shr(immediate, o.i32(3 * half))))))
})
