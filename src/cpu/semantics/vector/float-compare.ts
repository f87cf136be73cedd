/** Comparisons of SSE and AVX (SDM Vol. 2: CMPPS, COMISS, UCOMISS). Ordinary operands raise nothing, whatever MXCSR says. */
import { ValueType, W } from '../../wasm/opcodes.ts'
import { define } from '../define.ts'
import type { Value } from '../ops.ts'
import { defineBinary, vexName } from './float-define.ts'
import { FloatLanes } from './float-lanes.ts'
import { v } from './operands.ts'

const { I32 } = ValueType

const PREDICATES = [['CMPSS', 'SS'], ['CMPSD_XMM', 'SD'], ['CMPPS', 'PS'], ['CMPPD', 'PD']] as const

/**
 * SSE has predicates 0 to 7. AVX's 8 to 31 differ from those (modulo 8) in what they make of NaNs, which is the helper's business.
 */
for (const [mnemonic, suffix] of PREDICATES) {
  defineBinary(mnemonic, suffix, (f, a, b, immediate) => {
    const { o } = f
    const predicate = o.let(o.and(o.rd(immediate), o.i32(f.vex ? 31 : 7)))
    const common = f.everywhere(...[...a, ...b].map((value) => f.isOrdinary(value)))
    const results = a.map((left, n) => ordered(f, left, b[n], o.and(predicate, o.i32(7))))
    return f.commonly(common, results, mnemonic, [...[...a, ...b].map((value) => f.toBits(value)), predicate])
  }, ',r')
}

/** Predicates EQ, LT, LE and UNORD, and from 4 on their opposites, of operands that are not NaNs: bits, all ones or zero. */
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
    for (const each of [mnemonic, vexName(mnemonic)]) define(each, 'r,r', (o) => compareToFlags(new FloatLanes(o, suffix), mnemonic))
  }
}

function compareToFlags(f: FloatLanes, helper: string): void {
  const { o } = f
  const b = f.read(1)
  const a = f.read(0)
  o.setArithmeticFlags(o.chooseCommon(f.everywhere(f.isOrdinary(a), f.isOrdinary(b)), I32,
    () => o.or(f.compare('lt', a, b), o.shl(f.compare('eq', a, b), o.i32(6))),
    () => o.helper(helper, [f.toBits(a), f.toBits(b)], { result: I32 })))
}
