/** Comparisons (SDM Vol. 2: CMPPS, COMISS, UCOMISS). Ordinary operands raise nothing, whatever MXCSR says. */
import { ValueType, W } from '../../wasm/opcodes.ts'
import { define } from '../define.ts'
import type { Value } from '../ops.ts'
import { FloatLanes } from './float-lanes.ts'
import { v } from './operands.ts'

const { I32 } = ValueType

const PREDICATES = [['CMPSS', 'SS'], ['CMPSD_XMM', 'SD'], ['CMPPS', 'PS'], ['CMPPD', 'PD']] as const

for (const [mnemonic, suffix] of PREDICATES) {
  define(mnemonic, 'rw,r,r', (o) => {
    const f = new FloatLanes(o, suffix)
    const b = f.read(1)
    const a = f.read(0)
    const predicate = o.let(o.and(o.rd(2), o.i32(7)))
    const common = f.holds(f.both(f.isOrdinary(a), f.isOrdinary(b)))
    o.wr(0, o.chooseCommon(common, f.carrier,
      () => ordered(f, a, b, predicate),
      () => o.helper(mnemonic, [f.toBits(a), f.toBits(b), predicate], { result: f.carrier })))
  })
}

/** Predicates EQ, LT, LE and UNORD, and from 4 on their opposites, of operands that are not NaNs: all ones or zero. */
function ordered(f: FloatLanes, a: Value, b: Value, predicate: Value): Value {
  const { o } = f
  const asked = (n: number): Value => o.eq(o.and(predicate, o.i32(3)), o.i32(n))
  const inverted = o.shr(predicate, o.i32(2))
  const tests = (['eq', 'lt', 'le'] as const).map((name, n) => ({ test: f.compare(name, a, b), asked: asked(n) }))
  if (f.packed) {
    const mask = (bit: Value): Value => v(o, W.i32x4_splat, o.sub(o.i32(0), bit))
    return v(o, W.v128_xor, f.either(...tests.map((each) => f.both(each.test, mask(each.asked)))), mask(inverted))
  }
  const holds = o.xor(f.either(...tests.map((each) => o.and(each.test, each.asked))), inverted)
  return o.sub(o.k(0, f.carrier), o.fit(holds, f.carrier))
}

/** CF for less, ZF for equal, both and PF for unordered; the other flags are cleared. */
for (const name of ['COMI', 'UCOMI']) {
  for (const suffix of ['SS', 'SD'] as const) {
    const mnemonic = name + suffix
    define(mnemonic, 'r,r', (o) => {
      const f = new FloatLanes(o, suffix)
      const b = f.read(1)
      const a = f.read(0)
      const common = f.holds(f.both(f.isOrdinary(a), f.isOrdinary(b)))
      o.setArithmeticFlags(o.chooseCommon(common, I32,
        () => o.or(f.compare('lt', a, b), o.shl(f.compare('eq', a, b), o.i32(6))),
        () => o.helper(mnemonic, [f.toBits(a), f.toBits(b)], { result: I32 })))
    })
  }
}
