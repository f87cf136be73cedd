/** Data movement, conversions and single flags (SDM Vol. 2). */
import { define } from '../define.ts'
import { ValueType, W } from '../../wasm/opcodes.ts'
import { Flag } from '../../state/flags.ts'
import { Gpr } from '../../state/layout.ts'
import type { Ops, Value } from '../ops.ts'

const { RAX, RBX, RDX } = Gpr

define('MOV', 'w,r', (o) => { o.wr(0, o.rd(1)) })
define('MOVNTI', 'w,r', (o) => { o.wr(0, o.rd(1)) })
define('MOVZX', 'w,r', (o) => { o.wr(0, o.fit(o.rd(1), widthType(o))) })
define('MOVSX', 'w,r', (o) => signExtend(o))
define('MOVSXD', 'w,r', (o) => signExtend(o))

const widthType = (o: Ops): Value['type'] => (o.size === 64 ? ValueType.I64 : ValueType.I32)

function signExtend(o: Ops): void {
  const from = o.operandSize(1)
  const value = o.rd(1)
  o.wr(0, o.size === 64 ? o.to64(value, from, true) : o.sx(value, from))
}

define('LEA', 'w,a', (o) => { o.wr(0, o.fit(o.offset(1), widthType(o))) })

define('XCHG', 'rw,rw', (o) => {
  const a = o.let(o.rd(0))
  const b = o.let(o.rd(1))
  o.wr(0, b)
  o.wr(1, a)
})

define('BSWAP', 'rw', (o) => { o.wr(0, byteSwapped(o, o.rd(0))) })
define('MOVBE', 'w,r', (o) => { o.wr(0, byteSwapped(o, o.rd(1))) })

function byteSwapped(o: Ops, value: Value): Value {
  const wide = o.op(W.i64x2_splat, ValueType.V128, o.extend(value, false))
  const swapped = o.low64(o.shuffle(wide, wide, [7, 6, 5, 4, 3, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]))
  return o.fit(o.shr(swapped, o.i64(64 - o.size)), value.type)
}

define('CMOVcc', 'rw,r', (o) => {
  const source = o.let(o.rd(1))
  o.wr(0, o.select(o.cond(o.condition), source, o.rd(0)))
})
define('SETcc', 'w', (o) => { o.wr(0, o.cond(o.condition)) })

define('CBW', '', (o) => {
  if (o.size === 64) o.setReg(RAX, 64, o.extend(o.reg(RAX, 32), true))
  else o.setReg(RAX, o.size, o.sx(o.reg(RAX, o.size === 16 ? 8 : 16), o.size === 16 ? 8 : 16))
})
define('CWD', '', (o) => {
  const accumulator = o.sx(o.reg(RAX, o.size), o.size)
  o.setReg(RDX, o.size, o.sar(accumulator, o.k(o.size - 1, accumulator.type)))
})

define('XLAT', '', (o) => {
  const offset = o.wrapAddress(o.add(o.reg(RBX, 64), o.extend(o.reg(RAX, 8), false)))
  o.setReg(RAX, 8, o.ld(o.segmentedData(o.let(offset), 8, 'read'), 8))
})

define('LAHF', '', (o) => {
  const flags = o.or(o.and(o.let(o.arithmeticFlags()), o.i32(0xff)), o.i32(2))
  o.setReg(RAX, 16, o.or(o.reg(RAX, 8), o.shl(flags, o.i32(8))))
})
define('SAHF', '', (o) => {
  const overflow = o.and(o.let(o.arithmeticFlags()), o.i32(Flag.OF))
  const low = o.and(o.shr(o.reg(RAX, 16), o.i32(8)), o.i32(Flag.SF | Flag.ZF | Flag.AF | Flag.PF | Flag.CF))
  o.setArithmeticFlags(o.or(overflow, low))
})
define('SALC', '', (o) => { o.setReg(RAX, 8, o.sub(o.i32(0), o.cond('b'))) })

define('CLC', '', (o) => { o.flagsCO(o.i32(0), o.let(o.cond('o'))) })
define('STC', '', (o) => { o.flagsCO(o.i32(1), o.let(o.cond('o'))) })
define('CMC', '', (o) => { o.flagsCO(o.let(o.cond('ae')), o.let(o.cond('o'))) })
define('CLD', '', (o) => { o.setField('SYSTEM_FLAGS', o.and(o.field('SYSTEM_FLAGS'), o.i32(~Flag.DF))) })
define('STD', '', (o) => { o.setField('SYSTEM_FLAGS', o.or(o.field('SYSTEM_FLAGS'), o.i32(Flag.DF))) })

// Hints, and what needs no work on a machine whose memory is always coherent and in order.
for (const mnemonic of ['PAUSE', 'PREFETCHW', 'PREFETCHWT1', 'PREFETCHNTA', 'PREFETCHT0', 'PREFETCHT1', 'PREFETCHT2']) define(mnemonic, '-', () => {})
define('NOP', '-', () => {})
for (const mnemonic of ['LFENCE', 'SFENCE', 'MFENCE']) define(mnemonic, '', () => {})
