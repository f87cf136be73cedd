import { Vector } from '../mmu/faults.ts'
import { Flag } from '../state/flags.ts'
import { Block, Segment } from '../state/layout.ts'
import type { Event } from './event.ts'
import type { Processor } from './processor.ts'
import { loadRealSegment } from './segmentation.ts'
import { Stack } from './stack.ts'

/** Interrupts in real mode, through the interrupt vector table (SDM Vol. 3A §20.1.4). */

export const CLEARED_BY_REAL_INTERRUPT = Flag.IF | Flag.TF | Flag.AC | Flag.RF

export function deliverReal(cpu: Processor, event: Event): boolean {
  const { state } = cpu
  if (event.vector * 4 + 3 > state.blockU32(Block.IDTR + 8)) return cpu.fault(Vector.GP)
  const target = cpu.memory.read32(cpu.wrap(state.blockU64(Block.IDTR) + BigInt(event.vector * 4)))
  return target >= 0 && enterVector(cpu, target, event.returnRip, cpu.flags & 0xffff)
}

/** Pushes FLAGS (as given), CS and IP and goes to a far pointer of 16:16 bits. */
export function enterVector(cpu: Processor, target: number, returnRip: bigint, flagsImage: number): boolean {
  const { state } = cpu
  const stack = Stack.current(cpu)
  if (!stack.push(16, BigInt(flagsImage)) || !stack.push(16, BigInt(state.segmentSelector(Segment.CS)))) return false
  if (!stack.push(16, returnRip)) return false
  stack.commit()
  loadRealSegment(state, Segment.CS, target >>> 16)
  state.rip = BigInt(target & 0xffff)
  cpu.changeSystemFlags(CLEARED_BY_REAL_INTERRUPT, 0)
  return true
}
