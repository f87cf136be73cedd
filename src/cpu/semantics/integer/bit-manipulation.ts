/** LZCNT, BMI1, BMI2 and ADX (SDM Vol. 2). */
import { Gpr } from '../../state/layout.ts'
import { ValueType, W } from '../../wasm/opcodes.ts'
import { define } from '../define.ts'
import type { Ops, Value } from '../ops.ts'
import { highUnsigned } from './multiply.ts'

const { I64 } = ValueType

const isWide = (value: Value): boolean => value.type === I64
const one = (o: Ops, like: Value): Value => o.k(1, like.type)
const size = (o: Ops, value: Value): Value => o.k(o.size, value.type)

// Counts: CF says that the source is zero, ZF that the count is.

function count(o: Ops, counted: (source: Value) => Value): void {
  const source = o.let(o.rd(1))
  const result = o.let(counted(source))
  o.setArithmeticFlags(o.or(o.eqz(source), o.shl(o.eqz(result), o.i32(6))))
  o.wr(0, result)
}
/** Bit 16 ends the search among 16 bits. */
define('TZCNT', 'w,r', (o) => count(o, (source) =>
  o.op(isWide(source) ? W.i64_ctz : W.i32_ctz, source.type, o.size === 16 ? o.or(source, o.i32(0x10000)) : source)))
define('LZCNT', 'w,r', (o) => count(o, (source) => {
  const zeros = o.op(isWide(source) ? W.i64_clz : W.i32_clz, source.type, source)
  return o.size === 16 ? o.sub(zeros, o.i32(16)) : zeros
}))

// The lowest bit: SF and ZF by the result, OF clear.

/** CF is given, all else is as after logic. */
function stage(o: Ops, result: Value, carry: Value): void {
  const fixed = o.let(result)
  o.flags('SUB', o.size, fixed, o.k(0, fixed.type))
  o.flagsCO(carry, o.i32(0))
  o.wr(0, fixed)
}

define('ANDN', 'w,r,r', (o) => {
  const a = o.let(o.rd(1))
  stage(o, o.and(o.not(a), o.rd(2)), o.i32(0))
})
define('BLSR', 'w,r', (o) => {
  const source = o.let(o.rd(1))
  stage(o, o.and(source, o.sub(source, one(o, source))), o.eqz(source))
})
define('BLSMSK', 'w,r', (o) => {
  const source = o.let(o.rd(1))
  stage(o, o.xor(source, o.sub(source, one(o, source))), o.eqz(source))
})
define('BLSI', 'w,r', (o) => {
  const source = o.let(o.rd(1))
  stage(o, o.and(source, o.sub(o.k(0, source.type), source)), o.eqz(o.eqz(source)))
})

// Fields. Positions and lengths have eight bits, and may lie beyond the operand.

/** The low `length` bits of a value. */
function lowBits(o: Ops, value: Value, length: Value): Value {
  const mask = o.sub(o.shl(one(o, value), length), one(o, value))
  return o.select(o.compare('lt_u', length, size(o, value)), o.and(value, mask), value)
}

define('BZHI', 'w,r,r', (o) => {
  const source = o.let(o.rd(1))
  const from = o.let(o.and(o.rd(2), o.k(0xff, source.type)))
  stage(o, lowBits(o, source, from), o.compare('ge_u', from, size(o, source)))
})
define('BEXTR', 'w,r,r', (o) => {
  const source = o.let(o.rd(1))
  const control = o.let(o.rd(2))
  const byte = (shift: number): Value => o.let(o.and(o.shr(control, o.k(shift, source.type)), o.k(0xff, source.type)))
  const [start, length] = [byte(0), byte(8)]
  const moved = o.let(o.select(o.compare('lt_u', start, size(o, source)), o.shr(source, start), o.k(0, source.type)))
  stage(o, lowBits(o, moved, length), o.i32(0))
})

for (const mnemonic of ['PDEP', 'PEXT']) {
  define(mnemonic, 'w,r,r', (o) => {
    const source = o.let(o.rd(1))
    const mask = o.let(o.rd(2))
    o.wr(0, o.fit(o.helper(mnemonic, [o.extend(source, false), o.extend(mask, false)], { result: I64 }), source.type))
  })
}

// Without flags.

/** The high half is written last: both may go to one register. */
define('MULX', 'w,w,r', (o) => {
  const b = o.let(o.rd(2))
  const a = o.let(o.reg(Gpr.RDX, o.size))
  if (isWide(a)) {
    const [low, high] = [o.let(o.mul(a, b)), o.let(highUnsigned(o, a, b))]
    o.wr(1, low)
    o.wr(0, high)
    return
  }
  const product = o.let(o.mul(o.extend(a, false), o.extend(b, false)))
  o.wr(1, o.wrap(product))
  o.wr(0, o.wrap(o.shr(product, o.i64(32))))
})

for (const [mnemonic, shift] of [['RORX', 'rotr'], ['SHLX', 'shl'], ['SHRX', 'shr_u'], ['SARX', 'shr_s']] as const) {
  define(mnemonic, 'w,r,r', (o) => {
    const source = o.let(o.rd(1))
    o.wr(0, o.binary(shift, source, o.fit(o.rd(2), source.type)))
  })
}

// Sums that carry by CF or OF, and change no other flag.

function addCarrying(o: Ops, carryIn: Value): Value {
  const b = o.let(o.rd(1))
  const a = o.let(o.rd(0))
  const carry = o.let(o.fit(carryIn, a.type))
  const result = o.let(o.add(o.add(a, b), carry))
  o.wr(0, result)
  return o.let(o.or(o.compare('lt_u', result, a), o.and(o.wrap(carry), o.eq(result, a))))
}
define('ADCX', 'rw,r', (o) => {
  const overflow = o.let(o.cond('o'))
  o.flagsCO(addCarrying(o, o.cond('b')), overflow)
})
define('ADOX', 'rw,r', (o) => {
  const carry = o.let(o.cond('b'))
  o.flagsCO(carry, addCarrying(o, o.cond('o')))
})
