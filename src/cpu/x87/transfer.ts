import { denormalStops } from '../softfloat/arithmetic.ts'
import { BINARY32, BINARY64, packBinary32, packBinary64 } from '../softfloat/formats.ts'
import type { FloatFormat } from '../softfloat/formats.ts'
import { fromPackedDecimal, toInteger, toPackedDecimal } from '../softfloat/integer.ts'
import { propagateNan } from '../softfloat/nan.ts'
import { Category, NUMBER } from '../softfloat/number.ts'
import { roundToBits, roundToFormat } from '../softfloat/round.ts'
import { Exception, RoundingMode } from '../softfloat/status.ts'
import { loadOperand } from './arithmetic.ts'
import type { MemoryFormat } from './arithmetic.ts'
import type { X87 } from './registers.ts'

/** Post-computation exceptions that, unmasked, keep a store to memory from happening. */
const NO_STORE = Exception.INVALID | Exception.OVERFLOW | Exception.UNDERFLOW

/** Makes room for a push. False when there is none and the instruction is over: the masked response is done here. */
function canPush(x87: X87): boolean {
  if (x87.isEmpty(7)) return true
  if (x87.stackOverflow()) {
    x87.push()
    x87.storeIndefinite(0)
  }
  return false
}

/**
 * FLD m32 and m64 (which convert, so that signalling NaNs and denormals are noticed), FILD. An unmasked denormal exception becomes
 * pending, yet the value is pushed.
 */
export function loadMemory(x87: X87, format: MemoryFormat): void {
  if (!canPush(x87)) return
  x87.begin()
  const { a, result, status } = x87
  loadOperand(x87, a, format)
  if (a.category > NUMBER) propagateNan(result, a, status)
  else {
    denormalStops(a, a, status)
    result.copy(a)
  }
  if (!x87.settle() && (status.flags & Exception.DENORMAL) === 0) return
  x87.push()
  x87.store(0, result)
}

/** FLD m80: a copy of the bits. */
export function loadExtended(x87: X87): void {
  if (!canPush(x87)) return
  x87.begin()
  x87.settle()
  x87.push()
  const at = x87.at(0)
  x87.words[at] = x87.words[x87.operandAt]
  x87.words[at + 1] = x87.words[x87.operandAt + 1]
  x87.words[at + 2] = x87.words[x87.operandAt + 2] & 0xffff
  x87.setValid(0)
}

/** FBLD. */
export function loadDecimal(x87: X87): void {
  if (!canPush(x87)) return
  x87.begin()
  x87.settle()
  fromPackedDecimal(x87.a, x87.state.u8.subarray(x87.operandAt * 4, x87.operandAt * 4 + 10))
  x87.push()
  x87.store(0, x87.a)
}

/** FLD ST(i). */
export function loadRegister(x87: X87, i: number): void {
  if (x87.isEmpty(i)) {
    if (!x87.stackUnderflow()) return
    x87.push()
    return x87.storeIndefinite(0)
  }
  if (!canPush(x87)) return
  x87.begin()
  x87.settle()
  x87.push()
  x87.copy(0, i + 1)
}

/** FST and FSTP ST(i). */
export function storeRegister(x87: X87, i: number, pop: boolean): void {
  if (x87.isEmpty(0)) {
    if (!x87.stackUnderflow()) return
    x87.storeIndefinite(i)
  } else {
    x87.begin()
    x87.settle()
    x87.copy(i, 0)
  }
  if (pop) x87.pop()
}

/** FSTPNCE (D9 D8 + i), an undocumented FSTP ST(i) that does not check for an empty register: it then only pops. */
export function storeUnchecked(x87: X87, i: number): void {
  if (!x87.isEmpty(0)) return storeRegister(x87, i, true)
  x87.pop()
  x87.begin()
  x87.settle()
}

/** FXCH. Empty registers count as holding the default NaN when the stack fault is masked. */
export function fxch(x87: X87, i: number): void {
  if (x87.isEmpty(0) || x87.isEmpty(i)) {
    if (!x87.stackUnderflow()) return
    if (x87.isEmpty(0)) x87.storeIndefinite(0)
    if (x87.isEmpty(i)) x87.storeIndefinite(i)
  } else {
    x87.begin()
    x87.settle()
  }
  const top = x87.at(0)
  const other = x87.at(i)
  const [lo, hi, sign] = [x87.words[top], x87.words[top + 1], x87.words[top + 2]]
  x87.copyWords(top, other)
  x87.words[other] = lo
  x87.words[other + 1] = hi
  x87.words[other + 2] = sign
}

/** FCMOVcc, told whether its condition holds. C1 stays. */
export function fcmov(x87: X87, i: number, condition: boolean): void {
  if (x87.isEmpty(0) || x87.isEmpty(i)) {
    if (x87.stackUnderflow()) x87.storeIndefinite(0)
    return
  }
  if (condition) x87.copy(0, i)
}

/** What a store to memory does with an empty ST0; `indefinite` puts the masked response into the result area. */
function storeEmpty(x87: X87, pop: boolean, indefinite: () => void): boolean {
  if (!x87.stackUnderflow()) return false
  indefinite()
  if (pop) x87.pop()
  return true
}

/** Settles a store; returns whether the result area is to be written to memory. */
function finishStore(x87: X87, pop: boolean): boolean {
  const stored = (x87.status.flags & ~x87.status.masks & NO_STORE) === 0
  if (!x87.settle() || !stored) return false
  if (pop) x87.pop()
  return true
}

function packResult(x87: X87, format: FloatFormat): void {
  if (format === BINARY32) x87.words[x87.resultAt] = packBinary32(x87.result)
  else packBinary64(x87.result, x87.words, x87.resultAt)
}

function storeFloat(x87: X87, format: FloatFormat, pop: boolean): boolean {
  const { a, result, status } = x87
  if (x87.isEmpty(0)) {
    return storeEmpty(x87, pop, () => {
      result.setIndefinite()
      packResult(x87, format)
    })
  }
  x87.begin()
  x87.load(a, 0)
  result.copy(a)
  if (a.category > NUMBER) propagateNan(result, a, status)
  else if (a.category === Category.FINITE) roundToFormat(result, format, status)
  packResult(x87, format)
  return finishStore(x87, pop)
}

/** FST and FSTP m32. Like every store, returns whether Block.RESULT is to be written to memory. */
export function storeBinary32(x87: X87, pop: boolean): boolean { return storeFloat(x87, BINARY32, pop) }
export function storeBinary64(x87: X87, pop: boolean): boolean { return storeFloat(x87, BINARY64, pop) }

/** FSTP m80: a copy of the bits, ten bytes. */
export function storeExtended(x87: X87): boolean {
  const { words, resultAt } = x87
  if (x87.isEmpty(0)) {
    return storeEmpty(x87, true, () => words.set([0, 0xc0000000, 0xffff], resultAt))
  }
  x87.begin()
  x87.settle()
  x87.copyWords(resultAt, x87.at(0))
  x87.pop()
  return true
}

/** FIST, FISTP, and FISTTP with `truncate`, to 16, 32 or 64 bits. */
export function storeInteger(x87: X87, bits: 16 | 32 | 64, pop: boolean, truncate: boolean): boolean {
  const { words, resultAt, a } = x87
  const out = { lo: bits === 64 ? 0 : -1 << (bits - 1), hi: 0x80000000 }
  const write = (): void => words.set([out.lo, out.hi], resultAt)
  if (x87.isEmpty(0)) return storeEmpty(x87, pop, write)
  x87.begin()
  if (truncate) x87.status.roundingMode = RoundingMode.TOWARD_ZERO
  x87.load(a, 0)
  toInteger(out, a, bits, x87.status)
  write()
  return finishStore(x87, pop)
}

/** FBSTP. */
export function storeDecimal(x87: X87): boolean {
  const bytes = x87.state.u8.subarray(x87.resultAt * 4, x87.resultAt * 4 + 10)
  if (x87.isEmpty(0)) return storeEmpty(x87, true, () => bytes.set([0, 0, 0, 0, 0, 0, 0, 0xc0, 0xff, 0xff]))
  x87.begin()
  x87.load(x87.a, 0)
  toPackedDecimal(bytes, x87.a, x87.status)
  return finishStore(x87, true)
}

/** The constants' significands to 66 bits and a sticky one, so that the rounding mode can be applied (SDM Vol. 1 §8.3.8). */
const CONSTANTS: readonly [exponent: number, hi: number, lo: number, extra: number][] = [
  [0, 0x80000000, 0x00000000, 0x00000000], // FLD1
  [1, 0xd49a784b, 0xcd1b8afe, 0x492bf6ff], // FLDL2T
  [0, 0xb8aa3b29, 0x5c17f0bb, 0xbe87fed1], // FLDL2E
  [1, 0xc90fdaa2, 0x2168c234, 0xc4c6628b], // FLDPI
  [-2, 0x9a209a84, 0xfbcff798, 0x8f8959ad], // FLDLG2
  [-1, 0xb17217f7, 0xd1cf79ab, 0xc9e3b399], // FLDLN2
]

/** FLD1, FLDL2T, FLDL2E, FLDPI, FLDLG2, FLDLN2, FLDZ: `index` is the low three bits of the opcode. No precision exception. */
export function loadConstant(x87: X87, index: number): void {
  if (!canPush(x87)) return
  x87.begin()
  x87.settle()
  const { result } = x87
  if (index === 6) result.setZero(0)
  else {
    const [exponent, hi, lo, extra] = CONSTANTS[index]
    result.set(Category.FINITE, 0, exponent, hi | 0, lo | 0)
    result.extra = extra | 0
    roundToBits(result, 64, x87.status)
  }
  x87.push()
  x87.store(0, result)
}
