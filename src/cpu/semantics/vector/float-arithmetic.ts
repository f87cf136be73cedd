/**
 * SSE arithmetic (SDM Vol. 2: ADDPS to SQRTSD, MINxx, MAXxx, HADDPS, ADDSUBPS, DPPS, RCPPS). The common case is done by the host's own
 * instructions: ordinary operands, a result that neither overflows nor comes near underflow, default modes, and PE set already or the
 * result exact. Everything else is done by a helper of the same name in softfloat, which also updates MXCSR and may fault.
 */
import { ValueType, W } from '../../wasm/opcodes.ts'
import { define } from '../define.ts'
import type { Ops, Value } from '../ops.ts'
import { ALL_SUFFIXES, FloatLanes } from './float-lanes.ts'
import type { FloatSuffix } from './float-lanes.ts'
import { doublewords, quadwords } from './operands.ts'

const { V128 } = ValueType

interface Binary {
  readonly name: 'add' | 'sub' | 'mul' | 'div'
  /** No overflow, underflow, invalid or zero divide, given ordinary operands. */
  readonly isCommon: (f: FloatLanes, a: Value, b: Value, result: Value) => Value
  /** A sufficient test for a result that was not rounded. */
  readonly isExact: (f: FloatLanes, a: Value, b: Value, result: Value) => Value
}

/** The rounding error of a sum is a floating-point number (Knuth's two-sum). */
function isExactSum(f: FloatLanes, a: Value, b: Value, sum: Value): Value {
  const { o } = f
  const virtual = o.let(f.operate('sub', sum, a))
  const errorOfA = f.operate('sub', a, f.operate('sub', sum, virtual))
  return f.isZero(f.operate('add', errorOfA, f.operate('sub', b, virtual)))
}

const isQuotient = (f: FloatLanes, a: Value, b: Value, result: Value): Value =>
  f.both(f.isShort(b), f.isShort(result), f.compare('eq', f.operate('mul', result, b), a))

const BINARY: readonly Binary[] = [
  // A sum that is denormal is exact.
  { name: 'add', isCommon: (f, _a, _b, result) => f.isFinite(result), isExact: isExactSum },
  { name: 'sub', isCommon: (f, _a, _b, result) => f.isFinite(result), isExact: (f, a, b, result) => isExactSum(f, a, f.operate('neg', b), result) },
  {
    name: 'mul',
    isCommon: (f, a, b, result) => f.both(f.isFinite(result), f.either(f.isSafelyNormal(result), f.isZero(a), f.isZero(b))),
    isExact: (f, a, b) => f.both(f.isShort(a), f.isShort(b)),
  },
  {
    name: 'div',
    isCommon: (f, a, _b, result) => f.both(f.isFinite(result), f.either(f.isSafelyNormal(result), f.isZero(a))),
    isExact: isQuotient,
  },
]

for (const operation of BINARY) {
  for (const suffix of ALL_SUFFIXES) {
    const mnemonic = operation.name.toUpperCase() + suffix
    define(mnemonic, 'rw,r', (o) => {
      const f = new FloatLanes(o, suffix)
      const b = f.read(1)
      emitBinary(f, mnemonic, operation, [f.read(0), b], [f.read(0), b])
    })
  }
}

/** `operands` are what is computed with, `given` what the helper of the whole instruction takes. */
function emitBinary(f: FloatLanes, helper: string, operation: Binary, operands: readonly [Value, Value], given: readonly Value[]): void {
  const { o } = f
  const [a, b] = operands
  const result = o.let(f.operate(operation.name, a, b))
  const common = f.holds(f.both(f.isOrdinary(a), f.isOrdinary(b), operation.isCommon(f, a, b, result)))
  const quiet = f.roundsQuietly(() => operation.isExact(f, a, b, result))
  o.wr(0, o.chooseCommon(o.and(common, quiet), f.carrier, () => f.toBits(result), () => callHelper(f, helper, given)))
}

function callHelper(f: FloatLanes, name: string, args: readonly Value[]): Value {
  return f.o.helper(name, args.map((arg) => f.toBits(arg)), { result: f.carrier })
}

for (const suffix of ALL_SUFFIXES) {
  const mnemonic = `SQRT${suffix}`
  define(mnemonic, 'w,r', (o) => {
    const f = new FloatLanes(o, suffix)
    const source = f.read(1)
    const result = o.let(f.operate('sqrt', source))
    const common = f.holds(f.both(f.isOrdinary(source), f.isFinite(result)))
    const quiet = f.roundsQuietly(() => f.both(f.isShort(result), f.compare('eq', f.operate('mul', result, result), source)))
    o.wr(0, o.chooseCommon(o.and(common, quiet), f.carrier, () => f.toBits(result), () => callHelper(f, mnemonic, [source, source])))
  })
}

/** The first operand if it is strictly less (greater), else the second: of equal zeros, too. */
function defineExtreme(name: 'MIN' | 'MAX', suffix: FloatSuffix): void {
  const mnemonic = name + suffix
  define(mnemonic, 'rw,r', (o) => {
    const f = new FloatLanes(o, suffix)
    const b = f.read(1)
    const a = f.read(0)
    const first = name === 'MIN' ? f.compare('lt', a, b) : f.compare('lt', b, a)
    const common = f.holds(f.both(f.isOrdinary(a), f.isOrdinary(b)))
    o.wr(0, o.chooseCommon(common, f.carrier, () => f.toBits(f.choose(first, a, b)), () => callHelper(f, mnemonic, [a, b])))
  })
}
for (const suffix of ALL_SUFFIXES) {
  defineExtreme('MIN', suffix)
  defineExtreme('MAX', suffix)
}

// Operations across lanes: rearranged operands, or one sign changed.

const EVEN = { PS: [0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27], PD: [0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23] }

for (const suffix of ['PS', 'PD'] as const) {
  const odd = EVEN[suffix].map((byte) => byte + (suffix === 'PS' ? 4 : 8))
  for (const operation of BINARY.slice(0, 2)) {
    const mnemonic = `H${operation.name.toUpperCase()}${suffix}`
    define(mnemonic, 'rw,r', (o) => {
      const f = new FloatLanes(o, suffix)
      const b = f.read(1)
      const a = f.read(0)
      const pairs = [o.let(o.shuffle(a, b, EVEN[suffix])), o.let(o.shuffle(a, b, odd))] as const
      emitBinary(f, mnemonic, operation, pairs, [a, b])
    })
  }
  define(`ADDSUB${suffix}`, 'rw,r', (o) => {
    const f = new FloatLanes(o, suffix)
    const b = f.read(1)
    const a = f.read(0)
    const signs = suffix === 'PS' ? doublewords(o, 0x80000000, 0) : quadwords(o, 1n << 63n, 0n)
    emitBinary(f, `ADDSUB${suffix}`, BINARY[0], [a, o.let(o.op(W.v128_xor, V128, b, signs))], [a, b])
  })
}

/** What the helper does alone. */
const viaHelper = (mnemonic: string, suffix: FloatSuffix) => (o: Ops): void => {
  const f = new FloatLanes(o, suffix)
  const b = f.read(1)
  o.wr(0, callHelper(f, mnemonic, [f.read(0), b]))
}

for (const [mnemonic, suffix] of [['DPPS', 'PS'], ['DPPD', 'PD']] as const) {
  define(mnemonic, 'rw,r,r', (o) => {
    const b = o.let(o.rd(1))
    o.wr(0, o.helper(mnemonic, [o.rd(0), b, o.rd(2)], { result: new FloatLanes(o, suffix).carrier }))
  })
}
for (const suffix of ['SS', 'PS'] as const) {
  define(`RCP${suffix}`, 'w,r', viaHelper(`RCP${suffix}`, suffix))
  define(`RSQRT${suffix}`, 'w,r', viaHelper(`RSQRT${suffix}`, suffix))
}
