/**
 * SSE and AVX arithmetic (SDM Vol. 2: ADDPS to SQRTSD, MINxx, MAXxx, HADDPS, ADDSUBPS, DPPS, RCPPS). The common case is done by the host's own
 * instructions: ordinary operands, a result that neither overflows nor comes near underflow, default modes, and PE set already or the
 * result exact. Everything else is done by a helper of the same name in softfloat, which also updates MXCSR and may fault.
 */
import { ValueType, W } from '../../wasm/opcodes.ts'
import type { Value } from '../ops.ts'
import { defineBinary, defineUnary } from './float-define.ts'
import { ALL_SUFFIXES } from './float-lanes.ts'
import type { FloatLanes, FloatSuffix, Parts } from './float-lanes.ts'
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
    defineBinary(mnemonic, suffix, (f, a, b) => emitBinary(f, mnemonic, operation, a, b, [...a, ...b]))
  }
}

/** `a` and `b` are what is computed with, `given` what the helper of the whole instruction takes. */
function emitBinary(f: FloatLanes, helper: string, operation: Binary, a: Parts, b: Parts, given: readonly Value[]): Parts {
  const { o } = f
  const results = a.map((left, n) => o.let(f.operate(operation.name, left, b[n])))
  const common = f.everywhere(...results.map((result, n) =>
    f.both(f.isOrdinary(a[n]), f.isOrdinary(b[n]), operation.isCommon(f, a[n], b[n], result))))
  const quiet = f.roundsQuietly(() => f.both(...results.map((result, n) => operation.isExact(f, a[n], b[n], result))))
  return f.commonly(o.and(common, quiet), results, helper, bitsOf(f, given))
}

const bitsOf = (f: FloatLanes, values: readonly Value[]): Value[] => values.map((value) => f.toBits(value))

for (const suffix of ALL_SUFFIXES) {
  const mnemonic = `SQRT${suffix}`
  defineUnary(mnemonic, suffix, (f, source) => {
    const { o } = f
    const results = source.map((part) => o.let(f.operate('sqrt', part)))
    const common = f.everywhere(...results.map((result, n) => f.both(f.isOrdinary(source[n]), f.isFinite(result))))
    const quiet = f.roundsQuietly(() => f.both(...results.map((result, n) =>
      f.both(f.isShort(result), f.compare('eq', f.operate('mul', result, result), source[n])))))
    return f.commonly(o.and(common, quiet), results, mnemonic, bitsOf(f, [...source, ...source]))
  })
}

/** The first operand if it is strictly less (greater), else the second: of equal zeros, too. */
function defineExtreme(name: 'MIN' | 'MAX', suffix: FloatSuffix): void {
  const mnemonic = name + suffix
  defineBinary(mnemonic, suffix, (f, a, b) => {
    const first = (n: number): Value => (name === 'MIN' ? f.compare('lt', a[n], b[n]) : f.compare('lt', b[n], a[n]))
    const results = a.map((left, n) => f.choose(first(n), left, b[n]))
    return f.commonly(f.everywhere(...[...a, ...b].map((value) => f.isOrdinary(value))), results, mnemonic, bitsOf(f, [...a, ...b]))
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
    defineBinary(mnemonic, suffix, (f, a, b) => {
      const lanes = (which: readonly number[]): Parts => a.map((part, n) => f.o.let(f.o.shuffle(part, b[n], which)))
      return emitBinary(f, mnemonic, operation, lanes(EVEN[suffix]), lanes(odd), [...a, ...b])
    })
  }
  defineBinary(`ADDSUB${suffix}`, suffix, (f, a, b) => {
    const { o } = f
    const signs = suffix === 'PS' ? doublewords(o, 0x80000000, 0) : quadwords(o, 1n << 63n, 0n)
    const signed = b.map((part) => o.let(o.op(W.v128_xor, V128, part, signs)))
    return emitBinary(f, `ADDSUB${suffix}`, BINARY[0], a, signed, [...a, ...b])
  })
}

// What the helper does alone.

for (const [mnemonic, suffix] of [['DPPS', 'PS'], ['DPPD', 'PD']] as const) {
  defineBinary(mnemonic, suffix, (f, a, b, immediate) =>
    f.byHelper(mnemonic, a.length, [...a, ...b, f.o.rd(immediate)]), ',r')
}
for (const suffix of ['SS', 'PS'] as const) {
  for (const name of ['RCP', 'RSQRT']) {
    defineUnary(name + suffix, suffix, (f, source) => source.flatMap((part) => f.byHelper(name + suffix, 1, [f.toBits(part)])))
  }
}
