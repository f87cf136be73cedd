/**
 * Shifts and rotates (SDM Vol. 2: SAL/SAR/SHL/SHR, RCL/RCR/ROL/ROR, SHLD, SHRD). Counts are masked to five bits, six with 64-bit
 * operands; a masked count of zero changes no flag. Engines give an immediate count of zero to SHIFT_BY_ZERO, so that here an
 * immediate is never zero.
 */
import { define } from '../define.ts'
import type { Ops, Value } from '../ops.ts'

define('SHIFT_BY_ZERO', 'rw', (o) => { o.wr(0, o.rd(0)) })

define('SHL', 'rw,r', (o) => {
  const a = o.let(o.rd(0))
  const count = o.let(maskedCount(o, 1))
  stageShift(o, 'SHL', o.zx(o.shl(a, count), o.size), a, count)
})
define('SHR', 'rw,r', (o) => {
  const a = o.let(o.rd(0))
  const count = o.let(maskedCount(o, 1))
  stageShift(o, 'SHR', o.shr(a, count), a, count)
})
define('SAR', 'rw,r', (o) => {
  const a = o.let(o.sx(o.rd(0), o.size))
  const count = o.let(maskedCount(o, 1))
  stageShift(o, 'SAR', o.zx(o.sar(a, count), o.size), a, count)
})

function maskedCount(o: Ops, n: number): Value {
  return o.and(o.fit(o.rd(n), o.i32(0).type), o.i32(o.size === 64 ? 63 : 31))
}

function stageShift(o: Ops, kind: 'SHL' | 'SHR' | 'SAR', value: Value, original: Value, count: Value): void {
  const result = o.let(value)
  o.flags(kind, o.size, result, original, count)
  o.wr(0, result)
}

define('SHLD', 'rw,r,r', (o) => {
  const a = o.let(o.rd(0))
  const b = o.let(o.rd(1))
  const count = o.let(maskedCount(o, 2))
  stageShift(o, 'SHL', o.select(count, o.zx(shiftedPair(o, a, b, count, 'left'), o.size), a), a, count)
})

define('SHRD', 'rw,r,r', (o) => {
  const a = o.let(o.rd(0))
  const b = o.let(o.rd(1))
  const count = o.let(maskedCount(o, 2))
  const result = o.let(o.select(count, o.zx(shiftedPair(o, a, b, count, 'right'), o.size), a))
  o.flags('SHR', o.size, result, a, count)
  // SHR's OF is the operand's sign; SHRD's says that the sign changed.
  const lastOut = o.wrap(o.and(o.shr(a, o.fit(o.sub(count, o.i32(1)), a.type)), o.k(1, a.type)))
  o.flagsCO(lastOut, o.signBit(o.xor(result, a), o.size), undefined, count)
  o.wr(0, result)
})

/** Shifts `a` and fills from `b`. 16-bit pairs are shifted as 48 bits, so that counts above 16 bring `a` in again, as processors do. */
function shiftedPair(o: Ops, a: Value, b: Value, count: Value, direction: 'left' | 'right'): Value {
  if (o.size === 16) return shiftedTriple(o, a, b, count, direction)
  const rest = o.fit(o.sub(o.i32(o.size), count), a.type)
  return direction === 'left' ? o.or(o.shl(a, count), o.shr(b, rest)) : o.or(o.shr(a, count), o.shl(b, rest))
}

function shiftedTriple(o: Ops, a: Value, b: Value, count: Value, direction: 'left' | 'right'): Value {
  const wide = (v: Value, at: number): Value => o.shl(o.extend(v, false), o.i64(at))
  const triple = o.or(wide(a, 32), o.or(wide(b, 16), wide(a, 0)))
  return direction === 'left'
    ? o.wrap(o.shr(o.shl(triple, o.extend(count, false)), o.i64(32)))
    : o.wrap(o.shr(triple, o.extend(count, false)))
}

define('ROL', 'rw,r', (o) => {
  const count = o.let(maskedCount(o, 1))
  const result = o.let(rotated(o, o.let(o.rd(0)), count, 'rotl'))
  const carry = o.let(o.wrap(o.and(result, o.k(1, result.type))))
  o.flagsCO(carry, o.xor(o.signBit(result, o.size), carry), undefined, count)
  o.wr(0, result)
})

define('ROR', 'rw,r', (o) => {
  const count = o.let(maskedCount(o, 1))
  const result = o.let(rotated(o, o.let(o.rd(0)), count, 'rotr'))
  const sign = o.let(o.signBit(result, o.size))
  o.flagsCO(sign, o.xor(sign, secondBit(o, result)), undefined, count)
  o.wr(0, result)
})

function rotated(o: Ops, a: Value, count: Value, name: 'rotl' | 'rotr'): Value {
  if (o.size >= 32) return o.binary(name, a, count)
  const forward = o.and(count, o.i32(o.size - 1))
  const back = o.sub(o.i32(o.size), forward)
  return o.zx(name === 'rotl' ? o.or(o.shl(a, forward), o.shr(a, back)) : o.or(o.shr(a, forward), o.shl(a, back)), o.size)
}

/** The bit below the sign. */
function secondBit(o: Ops, value: Value): Value {
  return o.wrap(o.and(o.shr(value, o.k(o.size - 2, value.type)), o.k(1, value.type)))
}

define('RCL', 'rw,r', (o) => {
  const count = o.let(throughCarryCount(o))
  const rotation = o.size === 64 ? rotatedLeft65(o, count) : rotatedNarrow(o, count, 'left')
  stageThroughCarry(o, rotation, o.xor(o.signBit(rotation.result, o.size), rotation.carry))
})

define('RCR', 'rw,r', (o) => {
  const count = o.let(throughCarryCount(o))
  const rotation = o.size === 64 ? rotatedRight65(o, count) : rotatedNarrow(o, count, 'right')
  stageThroughCarry(o, rotation, o.xor(o.signBit(rotation.result, o.size), secondBit(o, rotation.result)))
})

interface Rotation { result: Value; carry: Value }

function throughCarryCount(o: Ops): Value {
  const count = maskedCount(o, 1)
  return o.size < 32 ? o.binary('rem_u', count, o.i32(o.size + 1)) : count
}

/** A full turn sets flags, too, so that engines agree on OF, which is undefined then: only a masked count of zero does not. */
function stageThroughCarry(o: Ops, rotation: Rotation, overflow: Value): void {
  o.flagsCO(rotation.carry, overflow, undefined, maskedCount(o, 1))
  o.wr(0, rotation.result)
}

/** Rotates `size + 1` bits, the carry on top, inside 64. */
function rotatedNarrow(o: Ops, count: Value, direction: 'left' | 'right'): Rotation {
  const width = o.size + 1
  const bits = o.let(o.or(o.shl(o.extend(o.cond('b'), false), o.i64(o.size)), o.extend(o.rd(0), false)))
  const forward = o.let(o.extend(count, false))
  const back = o.sub(o.i64(width), forward)
  const turned = direction === 'left'
    ? o.or(o.shl(bits, forward), o.shr(bits, back))
    : o.or(o.shr(bits, forward), o.shl(bits, back))
  const kept = o.let(o.and(turned, o.i64((1n << BigInt(width)) - 1n)))
  return { result: o.let(o.zx(o.wrap(kept), o.size)), carry: o.let(o.wrap(o.shr(kept, o.i64(o.size)))) }
}

function rotatedLeft65(o: Ops, count: Value): Rotation {
  const a = o.let(o.rd(0))
  const carryIn = o.let(o.extend(o.cond('b'), false))
  const forward = o.let(o.extend(count, false))
  const back = o.let(o.sub(o.i64(64), forward))
  const turned = o.or(o.or(o.shl(a, forward), o.shl(carryIn, o.sub(forward, o.i64(1)))), o.shr(o.shr(a, o.i64(1)), back))
  return {
    result: o.let(o.select(count, turned, a)),
    carry: o.let(o.wrap(o.select(count, o.and(o.shr(a, back), o.i64(1)), carryIn))),
  }
}

function rotatedRight65(o: Ops, count: Value): Rotation {
  const a = o.let(o.rd(0))
  const carryIn = o.let(o.extend(o.cond('b'), false))
  const forward = o.let(o.extend(count, false))
  const back = o.let(o.sub(o.i64(64), forward))
  const turned = o.or(o.or(o.shr(a, forward), o.shl(carryIn, back)), o.shl(o.shl(a, o.i64(1)), back))
  return {
    result: o.let(o.select(count, turned, a)),
    carry: o.let(o.wrap(o.select(count, o.and(o.shr(a, o.sub(forward, o.i64(1))), o.i64(1)), carryIn))),
  }
}
