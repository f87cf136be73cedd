import { Segment } from '../state/layout.ts'
import type { SegmentIndex } from '../state/layout.ts'
import { deliverFault } from './delivery.ts'
import { farCall, farJump, farReturn } from './far-transfer.ts'
import { Shadow, castShadow } from './interrupt-shadow.ts'
import { interruptReturn } from './iret.ts'
import { HelperOutcome } from './outcome.ts'
import type { Processor } from './processor.ts'
import { loadSegment } from './segmentation.ts'

/** Helpers of far transfers and segment loads: arguments in, outcome out. */

const size = (cpu: Processor, n: number): 16 | 32 | 64 => cpu.argument32(n) as 16 | 32 | 64
/** A fault is the instruction's, unless a task switch was over before: then it is delivered here, in the new task. */
function outcome(cpu: Processor, done: boolean): HelperOutcome {
  if (!done && !cpu.newTaskFault) return HelperOutcome.FAULT
  if (!done) deliverFault(cpu)
  return HelperOutcome.RESYNC
}

/** Arguments: selector, offset, operand size, next instruction's pointer. */
export const jumpFar = (cpu: Processor): HelperOutcome =>
  outcome(cpu, farJump(cpu, cpu.argument32(0) & 0xffff, cpu.argument64(1), size(cpu, 2), cpu.argument64(3)))

export const callFar = (cpu: Processor): HelperOutcome =>
  outcome(cpu, farCall(cpu, cpu.argument32(0) & 0xffff, cpu.argument64(1), size(cpu, 2), cpu.argument64(3)))

/** Arguments: operand size, bytes of parameters to release. */
export const returnFar = (cpu: Processor): HelperOutcome =>
  outcome(cpu, farReturn(cpu, size(cpu, 0), cpu.argument32(1) & 0xffff))

/** Arguments: operand size, next instruction's pointer. */
export const returnFromInterrupt = (cpu: Processor): HelperOutcome =>
  outcome(cpu, interruptReturn(cpu, size(cpu, 0), cpu.argument64(1)))

/** Arguments: segment register, selector, the next instruction's pointer. A load of SS delays interrupts by one instruction. */
export function moveToSegment(cpu: Processor): HelperOutcome {
  const index = cpu.argument32(0) as SegmentIndex
  if (!loadSegment(cpu, index, cpu.argument32(1) & 0xffff)) return HelperOutcome.FAULT
  if (index === Segment.SS) castShadow(cpu.state, Shadow.MOV_SS, cpu.argument64(2))
  return HelperOutcome.OK
}

/** LDS and its like: arguments: segment register, selector. Interrupts are not delayed. */
export const loadFarPointer = (cpu: Processor): HelperOutcome =>
  loadSegment(cpu, cpu.argument32(0) as SegmentIndex, cpu.argument32(1) & 0xffff) ? HelperOutcome.OK : HelperOutcome.FAULT

/** Argument: segment register; the selector is the result. */
export function moveFromSegment(cpu: Processor): HelperOutcome {
  cpu.setResult32(cpu.state.segmentSelector(cpu.argument32(0) as SegmentIndex))
  return HelperOutcome.OK
}
