import { compare, Ordering } from '../softfloat/compare.ts'
import { Category } from '../softfloat/number.ts'
import type { FloatNumber } from '../softfloat/number.ts'
import { loadOperand } from './arithmetic.ts'
import type { MemoryFormat } from './arithmetic.ts'
import { StatusWord } from './registers.ts'
import type { X87 } from './registers.ts'

const { C0, C1, C2, C3 } = StatusWord
const UNORDERED = C0 | C2 | C3

function conditions(ordering: number): number {
  if (ordering === Ordering.GREATER) return 0
  if (ordering === Ordering.LESS) return C0
  return ordering === Ordering.EQUAL ? C3 : UNORDERED
}

function popTimes(x87: X87, pops: number): void {
  for (let i = 0; i < pops; i++) x87.pop()
}

/** Compares ST0 with `b` and sets the condition codes, whatever is unmasked; an unmasked exception only prevents the pops. */
function compareTop(x87: X87, b: FloatNumber, quiet: boolean, pops: number): void {
  x87.load(x87.a, 0)
  const ordering = compare(x87.a, b, quiet, x87.status)
  const completed = x87.settle()
  x87.setConditions(conditions(ordering))
  if (completed) popTimes(x87, pops)
}

function reportUnderflow(x87: X87, pops: number): void {
  const masked = x87.stackUnderflow()
  x87.setConditions(UNORDERED)
  if (masked) popTimes(x87, pops)
}

/** FCOM and FUCOM (`quiet`) with ST(i), and their popping forms. */
export function compareRegister(x87: X87, i: number, quiet: boolean, pops: number): void {
  if (x87.isEmpty(0) || x87.isEmpty(i)) return reportUnderflow(x87, pops)
  x87.begin()
  x87.load(x87.b, i)
  compareTop(x87, x87.b, quiet, pops)
}

/** FCOM, FCOMP, FICOM, FICOMP with a memory operand. */
export function compareMemory(x87: X87, format: MemoryFormat, pops: number): void {
  if (x87.isEmpty(0)) return reportUnderflow(x87, pops)
  x87.begin()
  loadOperand(x87, x87.b, format)
  compareTop(x87, x87.b, false, pops)
}

/** FTST: compares ST0 with zero. */
export function ftst(x87: X87): void {
  if (x87.isEmpty(0)) return reportUnderflow(x87, 0)
  x87.begin()
  x87.b.setZero(0)
  compareTop(x87, x87.b, false, 0)
}

/**
 * FCOMI, FUCOMI and their popping forms. Returns the new ZF, PF and CF as in RFLAGS (mask 0x45), which change even when an unmasked
 * exception becomes pending. C1 stays unless the stack underflows.
 */
export function compareToFlags(x87: X87, i: number, quiet: boolean, pops: number): number {
  let ordering: number = Ordering.UNORDERED
  let completed: boolean
  if (x87.isEmpty(0) || x87.isEmpty(i)) completed = x87.stackUnderflow()
  else {
    x87.begin()
    x87.load(x87.a, 0)
    x87.load(x87.b, i)
    ordering = compare(x87.a, x87.b, quiet, x87.status)
    completed = x87.settleKeepingC1()
  }
  if (completed) popTimes(x87, pops)
  return conditions(ordering) >> 8
}

/** FXAM: C3 C2 C0 tell the class of ST0, C1 its sign, even when it is empty. */
export function fxam(x87: X87): void {
  x87.load(x87.a, 0)
  x87.setConditions(x87.isEmpty(0) ? C3 | C0 : classOf(x87.a))
  const sign = x87.a.sign !== 0 ? C1 : 0
  x87.statusWord = (x87.statusWord & ~C1) | sign
}

function classOf(n: FloatNumber): number {
  if (n.category === Category.UNSUPPORTED) return 0
  if (n.category === Category.ZERO) return C3
  if (n.category === Category.INFINITY) return C2 | C0
  if (n.category !== Category.FINITE) return C0
  return n.denormal ? C3 | C2 : C2
}
