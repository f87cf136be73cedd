/** The stack (SDM Vol. 1 chapter 6). `push` and `pop` are for other semantics too. */
import { define } from '../define.ts'
import { Gpr, Segment } from '../../state/layout.ts'
import type { OperandSize } from '../../decode/instruction.ts'
import type { Ops, Value } from '../ops.ts'

const { RSP, RBP } = Gpr

/** Linear address of the stack slot `bytes` above the stack pointer (below, if negative); translation is the caller's. */
export function stackSlot(o: Ops, bytes: number, size: OperandSize, access: 'read' | 'write'): Value {
  const at = o.add(o.reg(RSP, 64), o.i64(bytes))
  return o.let(o.mode === 64 ? at : o.segmented(Segment.SS, o.let(o.and(at, o.field('STACK_MASK'))), size, access))
}

/** Moves the stack pointer (staged). Outside 64-bit mode only as many bits as the stack segment has change. */
export function moveStack(o: Ops, by: Value): void { setStack(o, o.add(o.reg(RSP, 64), by)) }

export function setStack(o: Ops, pointer: Value): void {
  if (o.mode === 64) {
    o.setReg(RSP, 64, pointer)
    return
  }
  const mask = o.field('STACK_MASK')
  o.setReg(RSP, 64, o.or(o.and(o.reg(RSP, 64), o.not(mask)), o.and(pointer, mask)))
}

export function push(o: Ops, size: OperandSize, value: Value): void {
  o.st(stackSlot(o, -size / 8, size, 'write'), size, value, true)
  moveStack(o, o.i64(-size / 8))
}

/** The top of the stack; moving the pointer is the caller's. */
export function top(o: Ops, size: OperandSize): Value { return o.ld(stackSlot(o, 0, size, 'read'), size, true) }

define('PUSH', 'r', (o) => { push(o, o.size, o.let(o.rd(0))) })

/** Engines add the operand's size to the displacement where the base is the stack pointer: it is used as it is after the pop. */
define('POP', 'w', (o) => {
  const value = top(o, o.size)
  moveStack(o, o.i64(o.size / 8))
  o.wr(0, value)
})

define('LEAVE', '', (o) => {
  const frame = o.mode === 64 ? o.reg(RBP, 64) : o.and(o.reg(RBP, 64), o.field('STACK_MASK'))
  const linear = o.mode === 64 ? frame : o.segmented(Segment.SS, o.let(frame), o.size, 'read')
  const value = o.ld(o.let(linear), o.size, true)
  setStack(o, o.add(frame, o.i64(o.size / 8)))
  o.setReg(RBP, o.size, value)
})

define('PUSHA', '', (o) => {
  const bytes = o.size / 8
  for (let register = 0; register < 8; register++) {
    o.st(stackSlot(o, -bytes * (register + 1), o.size, 'write'), o.size, o.reg(register, o.size))
  }
  moveStack(o, o.i64(-bytes * 8))
})

define('POPA', '', (o) => {
  const bytes = o.size / 8
  for (let register = 7; register >= 0; register--) {
    if (register === RSP) continue
    o.setReg(register, o.size, o.ld(stackSlot(o, bytes * (7 - register), o.size, 'read'), o.size))
  }
  moveStack(o, o.i64(bytes * 8))
})
