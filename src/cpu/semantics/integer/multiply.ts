/** Multiplication and division (SDM Vol. 2: MUL, IMUL, DIV, IDIV). SF, ZF, AF and PF are undefined after all of them. */
import { define } from '../define.ts'
import { ValueType } from '../../wasm/opcodes.ts'
import { Gpr } from '../../state/layout.ts'
import type { Ops, Value } from '../ops.ts'

const { I64 } = ValueType
const DIVIDE_ERROR = 0

define('IMUL2', 'rw,r', (o) => multiplyTruncated(o, o.rd(0), o.rd(1)))
define('IMUL3', 'w,r,r', (o) => multiplyTruncated(o, o.rd(1), o.rd(2)))

function multiplyTruncated(o: Ops, left: Value, right: Value): void {
  const a = o.let(left)
  const b = o.let(right)
  o.flags('MUL', o.size, a, b)
  o.wr(0, o.mul(a, b))
}

define('MUL', 'r', (o) => multiplyWide(o, false))
define('IMUL1', 'r', (o) => multiplyWide(o, true))

/** The accumulator times operand 0, into AX or the pair of rDX and rAX. CF and OF say that the high half matters. */
function multiplyWide(o: Ops, signed: boolean): void {
  const b = o.let(o.rd(0))
  const a = o.let(o.reg(Gpr.RAX, o.size))
  if (o.size === 64) return stageWide(o, o.let(o.mul(a, b)), o.let(signed ? highSigned(o, a, b) : highUnsigned(o, a, b)), signed)
  const product = o.let(o.mul(o.to64(a, o.size, signed), o.to64(b, o.size, signed)))
  const low = o.let(o.zx(o.wrap(product), o.size))
  stageWide(o, low, o.let(o.zx(o.wrap(o.shr(product, o.i64(o.size))), o.size)), signed)
}

function stageWide(o: Ops, low: Value, high: Value, signed: boolean): void {
  const expected = signed ? o.zx(o.sar(o.sx(low, o.size), o.k(o.size - 1, low.type)), o.size) : o.k(0, low.type)
  const overflow = o.let(o.ne(high, expected))
  o.flags('SUB', o.size, low, o.k(0, low.type))
  o.flagsCO(overflow, overflow)
  if (o.size === 8) {
    o.setReg(Gpr.RAX, 16, o.or(low, o.shl(high, o.i32(8))))
    return
  }
  o.setReg(Gpr.RAX, o.size, low)
  o.setReg(Gpr.RDX, o.size, high)
}

/** High half of a 64 by 64 bit product, from four 32-bit products. */
export function highUnsigned(o: Ops, a: Value, b: Value): Value {
  const low = (v: Value): Value => o.zx(v, 32)
  const high = (v: Value): Value => o.shr(v, o.i64(32))
  const aLow = o.let(low(a))
  const aHigh = o.let(high(a))
  const bLow = o.let(low(b))
  const bHigh = o.let(high(b))
  const middle = o.let(o.add(o.mul(aHigh, bLow), high(o.mul(aLow, bLow))))
  const cross = o.let(o.add(o.mul(aLow, bHigh), low(middle)))
  return o.add(o.add(o.mul(aHigh, bHigh), high(middle)), high(cross))
}

/** Signed from unsigned: subtract each factor where the other is negative. */
function highSigned(o: Ops, a: Value, b: Value): Value {
  const correction = o.add(o.and(o.sar(a, o.i64(63)), b), o.and(o.sar(b, o.i64(63)), a))
  return o.sub(highUnsigned(o, a, b), correction)
}

define('DIV', 'r', (o) => {
  const divisor = o.let(o.rd(0))
  o.raiseIf(o.eqz(divisor), DIVIDE_ERROR)
  if (o.size === 64) return divide64(o, divisor)
  const dividend = o.let(dividendOf(o, false))
  const wide = o.let(o.extend(divisor, false))
  const quotient = o.let(o.binary('div_u', dividend, wide))
  o.raiseIf(o.ne(o.shr(quotient, o.i64(o.size)), o.i64(0)), DIVIDE_ERROR)
  stageQuotient(o, quotient, o.sub(dividend, o.mul(quotient, wide)))
})

define('IDIV', 'r', (o) => {
  const divisor = o.let(o.rd(0))
  o.raiseIf(o.eqz(divisor), DIVIDE_ERROR)
  if (o.size === 64) return divideSigned64(o, divisor)
  const dividend = o.let(dividendOf(o, true))
  const wide = o.let(o.to64(divisor, o.size, true))
  // Wasm traps where the most negative dividend is divided by -1; dividing it by 1 instead overflows as it should.
  const traps = o.and(o.eq(dividend, o.i64(-(1n << 63n))), o.eq(wide, o.i64(-1)))
  const quotient = o.let(o.binary('div_s', dividend, o.select(traps, o.i64(1), wide)))
  o.raiseIf(o.ne(o.sx(quotient, o.size), quotient), DIVIDE_ERROR)
  stageQuotient(o, quotient, o.sub(dividend, o.mul(quotient, wide)))
})

/** AX, or the pair of rDX and rAX, as 64 bits. */
function dividendOf(o: Ops, signed: boolean): Value {
  if (o.size === 8) return o.to64(o.reg(Gpr.RAX, 16), 16, signed)
  const pair = o.or(o.shl(o.extend(o.reg(Gpr.RDX, o.size), false), o.i64(o.size)), o.extend(o.reg(Gpr.RAX, o.size), false))
  return o.size === 16 ? o.to64(pair, 32, signed) : pair
}

function stageQuotient(o: Ops, quotient: Value, remainder: Value): void {
  if (o.size === 8) {
    o.setReg(Gpr.RAX, 16, o.wrap(o.or(o.zx(quotient, 8), o.shl(o.zx(remainder, 8), o.i64(8)))))
    return
  }
  o.setReg(Gpr.RAX, o.size, quotient)
  o.setReg(Gpr.RDX, o.size, remainder)
}

function divide64(o: Ops, divisor: Value): void {
  const low = o.let(o.reg(Gpr.RAX, 64))
  const high = o.let(o.reg(Gpr.RDX, 64))
  o.raiseIf(o.compare('ge_u', high, divisor), DIVIDE_ERROR)
  const quotient = o.let(o.choose(o.eqz(high), I64,
    () => o.binary('div_u', low, divisor),
    () => o.helper('divideUnsigned128', [low, high, divisor], { result: I64 })))
  stageQuotient(o, quotient, o.sub(low, o.mul(quotient, divisor)))
}

function divideSigned64(o: Ops, divisor: Value): void {
  const low = o.let(o.reg(Gpr.RAX, 64))
  const high = o.let(o.reg(Gpr.RDX, 64))
  const narrow = o.and(o.eq(high, o.sar(low, o.i64(63))), o.ne(divisor, o.i64(-1)))
  const quotient = o.let(o.choose(narrow, I64,
    () => o.binary('div_s', low, divisor),
    () => o.helper('divideSigned128', [low, high, divisor], { result: I64 })))
  stageQuotient(o, quotient, o.sub(low, o.mul(quotient, divisor)))
}
