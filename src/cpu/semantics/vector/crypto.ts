/** AES, carry-less multiplication and SHA (SDM Vol. 2: AESENC, PCLMULQDQ, SHA256RNDS2...). */
import { ValueType, W } from '../../wasm/opcodes.ts'
import { define } from '../define.ts'
import type { Ops, Value } from '../ops.ts'
import { combine, lane32, lane64, transform, v, withLane32, withLane64 } from './operands.ts'

const { V128 } = ValueType

for (const mnemonic of ['AESENC', 'AESENCLAST', 'AESDEC', 'AESDECLAST']) {
  define(mnemonic, 'rw,r', (o) => { combine(o, (state, key) => o.helper(mnemonic, [state, key], { result: V128 })) })
}
define('AESIMC', 'w,r', (o) => { transform(o, (key) => o.helper('AESIMC', [key], { result: V128 })) })
define('AESKEYGENASSIST', 'w,r,r', (o) => {
  transform(o, (key) => o.helper('AESKEYGENASSIST', [key, o.rd(2)], { result: V128 }))
})

// Carry-less multiplication: multiplication of integers whose bits are four apart never carries into a bit that matters, as at most
// sixteen products meet in one place.

const EVERY_FOURTH = 0x1111111111111111n

/** The low 64 bits of a carry-less product. */
function carrylessLow(o: Ops, a: Value, b: Value): Value {
  const parts = (value: Value): Value[] => [0, 1, 2, 3].map((n) => o.let(o.and(value, o.i64(EVERY_FOURTH << BigInt(n)))))
  const [left, right] = [parts(a), parts(b)]
  const places = [0, 1, 2, 3].map((place) => {
    const products = [0, 1, 2, 3].map((n) => o.mul(left[n], right[(place - n) & 3]))
    return o.and(products.reduce((sum, product) => o.xor(sum, product)), o.i64(EVERY_FOURTH << BigInt(place)))
  })
  return places.reduce((sum, place) => o.or(sum, place))
}

/** Bits in the opposite order. */
function reversed(o: Ops, value: Value): Value {
  let result = value
  for (const [distance, mask] of [[1, 0x5555555555555555n], [2, 0x3333333333333333n], [4, 0x0f0f0f0f0f0f0f0fn]] as const) {
    const before = o.let(result)
    const up = o.shl(o.and(before, o.i64(mask)), o.i64(distance))
    result = o.or(up, o.and(o.shr(before, o.i64(distance)), o.i64(mask)))
  }
  const wide = v(o, W.i64x2_splat, result)
  return o.low64(o.shuffle(wide, wide, [7, 6, 5, 4, 3, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]))
}

/** The high half is the low half of the product of the reversed factors, reversed, one place down. */
define('PCLMULQDQ', 'rw,r,r', (o) => {
  combine(o, (a, b) => {
    const half = (value: Value, bit: number): Value => o.let(o.select(o.and(o.rd(2), o.i32(bit)), lane64(o, value, 1), lane64(o, value, 0)))
    const left = half(a, 1)
    const right = half(b, 16)
    const high = carrylessLow(o, o.let(reversed(o, left)), o.let(reversed(o, right)))
    return withLane64(o, o.vectorOf64(carrylessLow(o, left, right)), 1, o.shr(reversed(o, high), o.i64(1)))
  })
})

// SHA-1 (FIPS 180-4 §6.1.2). Words are counted from the top of a register.

const rotateLeft = (o: Ops, value: Value, by: number): Value => o.binary('rotl', value, o.i32(by))
const sum = (o: Ops, ...values: Value[]): Value => values.reduce((a, b) => o.add(a, b))
const exclusive = (o: Ops, ...values: Value[]): Value => values.reduce((a, b) => o.xor(a, b))

/** The four doublewords of a vector, the highest first. */
const fromTop = (o: Ops, vector: Value): Value[] => [3, 2, 1, 0].map((n) => o.let(lane32(o, vector, n)))
function joined(o: Ops, top: readonly Value[]): Value {
  return [2, 1, 0].reduce((vector, lane) => withLane32(o, vector, lane, top[3 - lane]), v(o, W.i32x4_splat, top[0]))
}

const choice = (o: Ops, x: Value, y: Value, z: Value): Value => o.xor(z, o.and(x, o.xor(y, z)))
const majority = (o: Ops, x: Value, y: Value, z: Value): Value => o.or(o.and(x, y), o.and(z, o.or(x, y)))

define('SHA1NEXTE', 'rw,r', (o) => {
  combine(o, (a, b) => withLane32(o, b, 3, o.add(lane32(o, b, 3), rotateLeft(o, lane32(o, a, 3), 30))))
})
define('SHA1MSG1', 'rw,r', (o) => {
  combine(o, (a, b) => v(o, W.v128_xor, a, o.shuffle(b, a, [8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23])))
})
define('SHA1MSG2', 'rw,r', (o) => {
  combine(o, (a, b) => {
    const [a0, a1, a2, a3] = fromTop(o, a)
    const [, w13, w14, w15] = fromTop(o, b)
    const w16 = o.let(rotateLeft(o, o.xor(a0, w13), 1))
    return joined(o, [w16, ...[[a1, w14], [a2, w15], [a3, w16]].map(([x, y]) => rotateLeft(o, o.xor(x, y), 1))])
  })
})

/** Four rounds; the immediate's low bits choose the function and the constant. */
define('SHA1RNDS4', 'rw,r,r', (o) => {
  combine(o, (state, messages) => {
    const stage = o.let(o.and(o.rd(2), o.i32(3)))
    const byStage = (values: readonly Value[]): Value => {
      const upper = o.and(stage, o.i32(2))
      const odd = o.and(stage, o.i32(1))
      return o.select(upper, o.select(odd, values[3], values[2]), o.select(odd, values[1], values[0]))
    }
    const constant = o.let(byStage([0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6].map((k) => o.i32(k))))
    let [a, b, c, d] = fromTop(o, state)
    let e = o.i32(0)
    for (const word of fromTop(o, messages)) {
      const parity = exclusive(o, b, c, d)
      const f = byStage([choice(o, b, c, d), parity, majority(o, b, c, d), parity])
      const next = o.let(sum(o, f, rotateLeft(o, a, 5), word, e, constant))
      ;[a, b, c, d, e] = [next, a, o.let(rotateLeft(o, b, 30)), c, d]
    }
    return joined(o, [a, b, c, d])
  })
})

// SHA-256 (FIPS 180-4 §6.2.2).

const rotateRight = (o: Ops, value: Value, by: number): Value => o.binary('rotr', value, o.i32(by))
const rotations = (o: Ops, value: Value, ...by: number[]): Value => exclusive(o, ...by.map((n) => rotateRight(o, value, n)))

/** Two rounds: operand 0 holds C D G H, operand 1 A B E F, XMM0's low half the words with their constants. */
define('SHA256RNDS2', 'rw,r', (o) => {
  const keys = o.let(o.xmm(0))
  combine(o, (cdgh, abef) => {
    let [c, d, g, h] = fromTop(o, cdgh)
    let [a, b, e, f] = fromTop(o, abef)
    for (const round of [0, 1]) {
      const first = o.let(sum(o, h, rotations(o, e, 6, 11, 25), choice(o, e, f, g), lane32(o, keys, round)))
      const second = o.add(rotations(o, a, 2, 13, 22), majority(o, a, b, c))
      ;[a, b, c, d, e, f, g, h] = [o.let(o.add(first, second)), a, b, c, o.let(o.add(d, first)), e, f, g]
    }
    return joined(o, [a, b, e, f])
  })
})

define('SHA256MSG1', 'rw,r', (o) => {
  combine(o, (a, b) => {
    const next = o.let(o.shuffle(a, b, [4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19]))
    const right = (by: number): Value => v(o, W.i32x4_shr_u, next, o.i32(by))
    const rotated = (by: number): Value => v(o, W.v128_or, right(by), v(o, W.i32x4_shl, next, o.i32(32 - by)))
    const mixed = v(o, W.v128_xor, v(o, W.v128_xor, rotated(7), rotated(18)), right(3))
    return v(o, W.i32x4_add, a, mixed)
  })
})
define('SHA256MSG2', 'rw,r', (o) => {
  combine(o, (a, b) => {
    const [a3, a2, a1, a0] = fromTop(o, a)
    const [w15, w14] = fromTop(o, b)
    const mixed = (word: Value): Value => o.xor(rotations(o, word, 17, 19), o.shr(word, o.i32(10)))
    const w16 = o.let(o.add(a0, mixed(w14)))
    const w17 = o.let(o.add(a1, mixed(w15)))
    return joined(o, [o.add(a3, mixed(w17)), o.add(a2, mixed(w16)), w17, w16])
  })
})
