/** What 64-bit mode left behind: decimal adjustment, BOUND, and the far pointers' friends (SDM Vol. 2). */
import { define } from '../define.ts'
import { Flag } from '../../state/flags.ts'
import { Gpr } from '../../state/layout.ts'
import type { Ops, Value } from '../ops.ts'

const { RAX } = Gpr
const BOUND_RANGE_EXCEEDED = 5
const DIVIDE_ERROR = 0

define('DAA', '', (o) => decimalAdjust(o, 1))
define('DAS', '', (o) => decimalAdjust(o, -1))

/** Packed decimal: six is added (subtracted) to each digit that went beyond nine. */
function decimalAdjust(o: Ops, direction: 1 | -1): void {
  const al = o.let(o.reg(RAX, 8))
  const flags = o.let(o.arithmeticFlags())
  const carryIn = o.let(o.and(flags, o.i32(Flag.CF)))
  const lowOver = o.let(o.or(o.compare('gt_u', o.and(al, o.i32(15)), o.i32(9)), o.ne(o.and(flags, o.i32(Flag.AF)), o.i32(0))))
  const highOver = o.let(o.or(o.compare('gt_u', al, o.i32(0x99)), carryIn))
  const adjustment = o.or(o.mul(lowOver, o.i32(6)), o.mul(highOver, o.i32(0x60)))
  const result = o.let(o.zx(direction === 1 ? o.add(al, adjustment) : o.sub(al, adjustment), 8))
  // DAS also borrows out of the low digit's adjustment.
  const borrow = direction === 1 ? o.i32(0) : o.and(lowOver, o.compare('lt_u', al, o.i32(6)))
  o.flags('SUB', 8, result, o.i32(0))
  o.flagsCO(o.or(highOver, borrow), o.i32(0), o.shl(lowOver, o.i32(4)))
  o.setReg(RAX, 8, result)
}

define('AAA', '', (o) => asciiAdjust(o, 0x106))
define('AAS', '', (o) => asciiAdjust(o, -0x106))

function asciiAdjust(o: Ops, by: number): void {
  const ax = o.let(o.reg(RAX, 16))
  const adjustIn = o.and(o.let(o.arithmeticFlags()), o.i32(Flag.AF))
  const over = o.let(o.or(o.compare('gt_u', o.and(ax, o.i32(15)), o.i32(9)), o.ne(adjustIn, o.i32(0))))
  const adjusted = o.add(ax, o.mul(over, o.i32(by)))
  o.setArithmeticFlags(o.or(over, o.shl(over, o.i32(4))))
  o.setReg(RAX, 16, o.and(adjusted, o.i32(0xff0f)))
}

define('AAM', 'r', (o) => {
  const base = o.let(o.rd(0))
  o.raiseIf(o.eqz(base), DIVIDE_ERROR)
  const al = o.let(o.reg(RAX, 8))
  const quotient = o.let(o.binary('div_u', al, base))
  const remainder = o.let(o.sub(al, o.mul(quotient, base)))
  stageByteResult(o, remainder, o.or(remainder, o.shl(quotient, o.i32(8))))
})

define('AAD', 'r', (o) => {
  const ax = o.let(o.reg(RAX, 16))
  const result = o.let(o.zx(o.add(o.and(ax, o.i32(255)), o.mul(o.shr(ax, o.i32(8)), o.rd(0))), 8))
  stageByteResult(o, result, result)
})

function stageByteResult(o: Ops, byte: Value, ax: Value): void {
  o.flags('SUB', 8, byte, o.i32(0))
  o.setReg(RAX, 16, ax)
}

define('BOUND', 'r,a', (o) => {
  const size = o.size === 16 ? 16 : 32
  const at = o.let(o.offset(1))
  const lower = o.sx(o.ld(o.segmentedData(at, size, 'read'), size), size)
  const next = o.let(o.wrapAddress(o.add(at, o.i64(size / 8))))
  const upper = o.sx(o.ld(o.segmentedData(next, size, 'read'), size), size)
  const index = o.let(o.sx(o.rd(0), size))
  o.raiseIf(o.or(o.compare('lt_s', index, lower), o.compare('gt_s', index, upper)), BOUND_RANGE_EXCEEDED)
})
