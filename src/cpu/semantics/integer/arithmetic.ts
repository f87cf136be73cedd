/** Addition, subtraction and comparison (SDM Vol. 2, by mnemonic; flags Vol. 1 §5.1.2). Multiplication and division are beside it. */
import { define } from '../define.ts'
import type { Ops, Size, Value } from '../ops.ts'
import { W } from '../../wasm/opcodes.ts'

define('ADD', 'rw,r', (o) => {
  const a = o.let(o.rd(0))
  const b = o.let(o.rd(1))
  const result = o.let(o.add(a, b))
  o.flags('ADD', o.size, result, b)
  o.wr(0, result)
})

define('SUB', 'rw,r', (o) => {
  const a = o.let(o.rd(0))
  const b = o.let(o.rd(1))
  o.flags('SUB', o.size, a, b)
  o.wr(0, o.sub(a, b))
})

define('CMP', 'r,r', (o) => { o.flags('SUB', o.size, o.let(o.rd(0)), o.let(o.rd(1))) })

define('ADC', 'rw,r', (o) => {
  const a = o.let(o.rd(0))
  const b = o.let(o.rd(1))
  const carry = o.let(o.fit(o.cond('b'), a.type))
  const result = o.let(o.zx(o.add(o.add(a, b), carry), o.size))
  const carryOut = o.or(o.compare('lt_u', result, a), o.and(o.wrap(carry), o.eq(result, a)))
  stageCarried(o, result, carryOut, o.and(o.xor(result, a), o.xor(result, b)), o.xor(a, b))
})

define('SBB', 'rw,r', (o) => {
  const a = o.let(o.rd(0))
  const b = o.let(o.rd(1))
  const borrow = o.let(o.fit(o.cond('b'), a.type))
  const result = o.let(o.zx(o.sub(o.sub(a, b), borrow), o.size))
  const borrowOut = o.or(o.compare('lt_u', a, b), o.and(o.wrap(borrow), o.eq(a, b)))
  stageCarried(o, result, borrowOut, o.and(o.xor(a, b), o.xor(result, a)), o.xor(a, b))
})

/** Result and flags of an operation with carry in: SF, ZF and PF from the result, the rest given (overflow in the sign bit). */
function stageCarried(o: Ops, result: Value, carry: Value, overflow: Value, difference: Value): void {
  o.flags('SUB', o.size, result, o.k(0, result.type))
  o.flagsCO(carry, o.signBit(overflow, o.size), o.xor(result, difference))
  o.wr(0, result)
}

define('INC', 'rw', (o) => step(o, 1))
define('DEC', 'rw', (o) => step(o, -1))

/** INC and DEC leave CF alone. */
function step(o: Ops, by: 1 | -1): void {
  const a = o.let(o.rd(0))
  const carry = o.let(o.cond('b'))
  const result = o.let(o.zx(o.add(a, o.k(by, a.type)), o.size))
  const overflowed = by === 1 ? 1n << BigInt(o.size - 1) : (1n << BigInt(o.size - 1)) - 1n
  o.flags('SUB', o.size, result, o.k(0, result.type))
  o.flagsCO(carry, o.eq(result, o.k(overflowed, result.type)), o.xor(result, o.xor(a, o.k(1, a.type))))
  o.wr(0, result)
}

define('NEG', 'rw', (o) => {
  const b = o.let(o.rd(0))
  const zero = o.k(0, b.type)
  o.flags('SUB', o.size, zero, b)
  o.wr(0, o.sub(zero, b))
})

define('XADD', 'rw,rw', (o) => {
  const a = o.let(o.rd(0))
  const b = o.let(o.rd(1))
  const sum = o.let(o.add(a, b))
  o.flags('ADD', o.size, sum, b)
  o.wr(1, a)
  o.wr(0, sum)
})

define('CMPXCHG', 'rw,r', (o) => {
  const destination = o.let(o.rd(0))
  const source = o.let(o.rd(1))
  const accumulator = o.let(o.reg(0, o.size))
  const equal = o.let(o.eq(accumulator, destination))
  o.flags('SUB', o.size, accumulator, destination)
  // A failed exchange writes the accumulator, a successful one the destination; what is not written keeps its high half.
  o.setReg(0, 64, o.select(equal, o.reg(0, 64), merged(o, o.reg(0, 64), destination, o.size)))
  if (o.isMemory(0) || o.size !== 32) o.wr(0, o.select(equal, source, destination))
  else o.wr(0, o.select(equal, o.extend(source, false), o.rd(0, 64)), 64)
})

/** `value` written to the low `size` bits of a 64-bit register that holds `old`. */
function merged(o: Ops, old: Value, value: Value, size: Size): Value {
  if (size >= 32) return o.extend(value, false)
  return o.or(o.and(old, o.i64(-(1n << BigInt(size)))), o.extend(value, false))
}

define('CMPXCHG8B', 'rw', (o) => {
  const old = o.let(o.rd(0))
  const pair = (high: number, low: number): Value => o.or(o.shl(o.reg(high, 64), o.i64(32)), o.zx(o.reg(low, 64), 32))
  const equal = o.let(o.eq(old, pair(2, 0)))
  o.setReg(0, 64, o.select(equal, o.reg(0, 64), o.zx(old, 32)))
  o.setReg(2, 64, o.select(equal, o.reg(2, 64), o.shr(old, o.i64(32))))
  o.setArithmeticFlags(withZero(o, equal))
  o.wr(0, o.select(equal, pair(1, 3), old))
})

define('CMPXCHG16B', 'rw', (o) => {
  o.raiseIf(o.ne(o.and(o.linear(0), o.i64(15)), o.i64(0)), 13, 0)
  const old = o.let(o.rd(0))
  const low = o.let(o.low64(old))
  const high = o.let(o.lane(W.i64x2_extract_lane, 1, low.type, old))
  const equal = o.let(o.and(o.eq(low, o.reg(0, 64)), o.eq(high, o.reg(2, 64))))
  const exchanged = o.lane(W.i64x2_replace_lane, 1, old.type, o.vectorOf64(o.reg(3, 64)), o.reg(1, 64))
  o.setReg(0, 64, low)
  o.setReg(2, 64, high)
  o.setArithmeticFlags(withZero(o, equal))
  o.wr(0, o.select(equal, exchanged, old))
})

/** The flags as they are, with ZF replaced. */
function withZero(o: Ops, zero: Value): Value {
  return o.or(o.and(o.let(o.arithmeticFlags()), o.i32(~0x40)), o.shl(zero, o.i32(6)))
}
