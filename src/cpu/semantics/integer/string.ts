/**
 * String instructions (SDM Vol. 2: MOVS, STOS, LODS, CMPS, SCAS, REP). With a repeat prefix one execution does one run of elements (or
 * one element) as a complete, restartable instruction, and then executes again.
 */
import { define } from '../define.ts'
import { Flag } from '../../state/flags.ts'
import { Gpr, Segment } from '../../state/layout.ts'
import type { Ops, Value } from '../ops.ts'

const { RAX, RCX, RSI, RDI } = Gpr

/** Bytes from one element to the next: negative where the direction flag is set. */
export function stride(o: Ops): Value {
  const bytes = o.size / 8
  // DF is bit 10; moved down it is twice the size or nothing.
  const down = o.shr(o.and(o.field('SYSTEM_FLAGS'), o.i32(Flag.DF)), o.i32(9 - Math.log2(bytes)))
  return o.let(o.extend(o.sub(o.i32(bytes), down), true))
}

export function advance(o: Ops, register: number, by: Value): void { o.setAddressReg(register, o.add(o.addressReg(register), by)) }

export const source = (o: Ops): Value => o.let(o.segmentedData(o.addressReg(RSI), o.size, 'read'))
export const destination = (o: Ops, access: 'read' | 'write'): Value => o.let(o.segmented(Segment.ES, o.addressReg(RDI), o.size, access))

/** The count of a repeated instruction; nothing happens where it is zero. */
export function repeatCount(o: Ops): Value {
  const count = o.let(o.addressReg(RCX))
  o.skipIf(o.eqz(count))
  return count
}

export function stageRepeat(o: Ops, count: Value, done: Value, unless: Value = o.i32(0)): void {
  const left = o.let(o.sub(count, done))
  o.setAddressReg(RCX, left)
  o.again(o.and(o.ne(left, o.i64(0)), o.eqz(unless)))
}

/** The elements that one execution may do: a single step is a single element. */
function runLength(o: Ops, count: Value): Value {
  return o.let(o.select(o.and(o.field('SYSTEM_FLAGS'), o.i32(Flag.TF)), o.i64(1), count))
}

define('MOVS', '-,-', (o) => {
  const step = stride(o)
  if (o.repeat === 0) {
    o.st(destination(o, 'write'), o.size, o.ld(source(o), o.size))
    advance(o, RSI, step)
    advance(o, RDI, step)
    return
  }
  const count = repeatCount(o)
  const from = source(o)
  const done = o.let(o.copyRun(from, destination(o, 'write'), runLength(o, count), o.size))
  const moved = o.let(o.mul(done, step))
  advance(o, RSI, moved)
  advance(o, RDI, moved)
  stageRepeat(o, count, done)
})

define('STOS', '-,-', (o) => {
  const step = stride(o)
  if (o.repeat === 0) {
    o.st(destination(o, 'write'), o.size, o.reg(RAX, o.size))
    advance(o, RDI, step)
    return
  }
  const count = repeatCount(o)
  const done = o.let(o.fillRun(destination(o, 'write'), o.let(o.reg(RAX, o.size)), runLength(o, count), o.size))
  advance(o, RDI, o.mul(done, step))
  stageRepeat(o, count, done)
})

define('LODS', '-,-', (o) => {
  const step = stride(o)
  const count = o.repeat === 0 ? undefined : repeatCount(o)
  o.setReg(RAX, o.size, o.ld(source(o), o.size))
  advance(o, RSI, step)
  if (count !== undefined) stageRepeat(o, count, o.i64(1))
})

define('CMPS', '-,-', (o) => {
  const step = stride(o)
  const count = o.repeat === 0 ? undefined : repeatCount(o)
  const a = o.ld(source(o), o.size)
  const b = o.ld(destination(o, 'read'), o.size)
  stageComparison(o, a, b, count)
  advance(o, RSI, step)
  advance(o, RDI, step)
})

define('SCAS', '-,-', (o) => {
  const step = stride(o)
  const count = o.repeat === 0 ? undefined : repeatCount(o)
  stageComparison(o, o.let(o.reg(RAX, o.size)), o.ld(destination(o, 'read'), o.size), count)
  advance(o, RDI, step)
})

/** REPE goes on while equal, REPNE while not. */
function stageComparison(o: Ops, a: Value, b: Value, count: Value | undefined): void {
  o.flags('SUB', o.size, a, b)
  if (count !== undefined) stageRepeat(o, count, o.i64(1), o.let(o.repeat === 1 ? o.ne(a, b) : o.eq(a, b)))
}
