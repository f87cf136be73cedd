/** Moves between vector registers, memory and general registers (SDM Vol. 2: MOVAPS, MOVD, MOVQ, MOVHPS, MASKMOVDQU...). */
import { Gpr } from '../../state/layout.ts'
import { ValueType, W } from '../../wasm/opcodes.ts'
import { define } from '../define.ts'
import type { Ops, Value } from '../ops.ts'
import { blend, enterMmx, isMmx, lane64, requireAlignment, setVector, usesMmx, v, vector, withLane64 } from './operands.ts'

const { I32, I64 } = ValueType

for (const mnemonic of ['MOVUPS', 'MOVUPD', 'MOVAPS', 'MOVAPD', 'MOVDQA', 'MOVDQU', 'LDDQU']) {
  define(mnemonic, 'w,r', (o) => { o.wr(0, o.rd(1)) })
}
for (const mnemonic of ['MOVNTPS', 'MOVNTPD', 'MOVNTDQ']) {
  define(mnemonic, 'w,r', (o) => {
    requireAlignment(o, 0)
    o.wr(0, o.rd(1))
  })
}
define('MOVNTDQA', 'w,r', (o) => {
  requireAlignment(o, 1)
  o.wr(0, o.rd(1))
})

/** Parts of a register: `_LOAD` clears the rest, `_MERGE` keeps it. */
for (const mnemonic of ['MOVSS_LOAD', 'MOVSD_XMM_LOAD', 'MOVQ_LOAD']) define(mnemonic, 'w,r', (o) => { o.wr(0, vector(o, 1), 128) })
for (const mnemonic of ['MOVSS_MERGE', 'MOVSD_XMM_MERGE', 'MOVLPS_LOAD', 'MOVLPD_LOAD']) define(mnemonic, 'w,r', (o) => { o.wr(0, o.rd(1)) })
for (const mnemonic of ['MOVSS_STORE', 'MOVSD_XMM_STORE', 'MOVLPS_STORE', 'MOVLPD_STORE', 'MOVQ_STORE']) {
  define(mnemonic, 'w,r', (o) => { o.wr(0, o.rd(1)) })
}
for (const mnemonic of ['MOVHPS_LOAD', 'MOVHPD_LOAD', 'MOVLHPS']) {
  define(mnemonic, 'rw,r', (o) => {
    const high = o.rd(1)
    o.wr(0, withLane64(o, o.rd(0), 1, high))
  })
}
for (const mnemonic of ['MOVHPS_STORE', 'MOVHPD_STORE']) define(mnemonic, 'w,r', (o) => { o.wr(0, lane64(o, o.rd(1), 1)) })
define('MOVHLPS', 'rw,r', (o) => { o.wr(0, withLane64(o, o.rd(0), 0, lane64(o, o.rd(1), 1))) })

// MMX.

for (const mnemonic of ['MOVQ', 'MOVNTQ']) {
  define(mnemonic, 'w,r', (o) => {
    enterMmx(o)
    o.wr(0, o.rd(1))
  })
}
define('MOVD_LOAD', 'w,r', (o) => {
  if (usesMmx(o)) enterMmx(o)
  setVector(o, 0, vector(o, 1))
})
define('MOVD_STORE', 'w,r', (o) => {
  if (usesMmx(o)) enterMmx(o)
  const size = o.operandSize(0)
  o.wr(0, o.fit(o.rd(1, size), size === 64 ? I64 : I32))
})
define('MOVQ2DQ', 'w,r', (o) => {
  enterMmx(o)
  o.wr(0, vector(o, 1), 128)
})
define('MOVDQ2Q', 'w,r', (o) => {
  enterMmx(o)
  o.wr(0, o.low64(o.rd(1, 128)))
})

define('MASKMOVQ', 'r,r', (o) => {
  enterMmx(o)
  storeMasked(o)
})
define('MASKMOVDQU', 'r,r', (o) => storeMasked(o))

/** Stores the bytes of operand 0 whose byte in operand 1 has its top bit set, to DS:rDI. */
function storeMasked(o: Ops): void {
  const size = isMmx(o, 0) ? 64 : 128
  const offset = o.let(o.addressReg(Gpr.RDI))
  const place = o.place(o.let(o.segmentedData(offset, size, 'write')), size, 'write')
  const old = o.ldPlace(place)
  const mask = v(o, W.i8x16_shr_s, vector(o, 1), o.i32(7))
  const merged = blend(o, mask, vector(o, 0), size === 64 ? o.vectorOf64(old) : old)
  o.stPlace(place, size === 64 ? o.low64(merged) : merged)
}

// Sign bits to a general register.

const signBits = (opcode: number) => (o: Ops): void => {
  if (usesMmx(o)) enterMmx(o)
  o.wr(0, bitmask(o, opcode, vector(o, 1)), 32)
}
const bitmask = (o: Ops, opcode: number, value: Value): Value => o.op(opcode, I32, value)
define('PMOVMSKB', 'w,r', signBits(W.i8x16_bitmask))
