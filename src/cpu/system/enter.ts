import { Gpr } from '../state/layout.ts'
import { HelperOutcome } from './outcome.ts'
import type { Processor } from './processor.ts'
import { stackBits } from './mode.ts'
import { Stack } from './stack.ts'

/**
 * ENTER (SDM Vol. 2A): arguments are the operand size, the bytes to allocate and the nesting level (its low five bits count).
 * The pushed frame pointers are read and written one by one, and the registers change only when all of it is done.
 */
export function enterFrame(cpu: Processor): HelperOutcome {
  const { state } = cpu
  const bits = cpu.argument32(0)
  const level = cpu.argument32(2) & 31
  const stack = Stack.current(cpu)
  if (!stack.push(bits, state.gpr(Gpr.RBP))) return HelperOutcome.FAULT
  const frame = stack.pointer
  if (level > 0 && !(copyDisplay(cpu, stack, bits, level) && stack.push(bits, frame))) return HelperOutcome.FAULT
  stack.skip(-(cpu.argument32(1) & 0xffff))
  // The processor tests that the new top of the stack can be written.
  if (!stack.probe(bits)) return HelperOutcome.FAULT
  stack.commit()
  setFramePointer(cpu, bits, frame)
  return HelperOutcome.OK
}

/** Pushes the enclosing procedures' frame pointers, found below the old one. */
function copyDisplay(cpu: Processor, stack: Stack, bits: number, level: number): boolean {
  const display = Stack.current(cpu)
  display.pointer = BigInt.asUintN(stackBits(cpu.state), cpu.state.gpr(Gpr.RBP))
  for (let n = 1; n < level; n++) {
    display.skip(-(bits >> 3))
    const value = display.peek(bits)
    if (value < 0n || !stack.push(bits, value)) return false
  }
  return true
}

/** RBP takes the frame's address, as many bits of it as the operand has. */
function setFramePointer(cpu: Processor, bits: number, frame: bigint): void {
  const { state } = cpu
  if (bits === 16) state.setGpr16(Gpr.RBP, Number(frame & 0xffffn))
  else state.setGpr(Gpr.RBP, BigInt.asUintN(bits, frame))
}
