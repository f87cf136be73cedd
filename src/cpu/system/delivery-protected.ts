import { Vector } from '../mmu/faults.ts'
import { Flag } from '../state/flags.ts'
import { Block, Segment } from '../state/layout.ts'
import type { SegmentIndex } from '../state/layout.ts'
import {
  SystemType, dplOf, gateOffset16, gateOffset32, gateSelector, isConforming, isNull, isPresent, isSystem, limitOf, loadCache,
  loadNull, markAccessed, readDescriptor, selectorError, typeOf,
} from './descriptors.ts'
import type { Descriptor } from './descriptors.ts'
import { checksGatePrivilege, setsResumeFlag } from './event.ts'
import type { Event } from './event.ts'
import { isVirtual8086 } from './mode.ts'
import type { Processor } from './processor.ts'
import { enterCodeSegment, isCodeSegment, stackDescriptor } from './segmentation.ts'
import { Stack } from './stack.ts'
import { switchTask } from './task-switch.ts'
import { innerStack } from './tss.ts'

/** Interrupts in 16-bit and 32-bit protected mode and virtual-8086 mode (SDM Vol. 3A §6.12, Vol. 2A INT n). */

/** Error code that names an IDT entry. */
const idtError = (vector: number): number => vector * 8 + 2

interface Target {
  readonly gate: Descriptor
  readonly selector: number
  readonly code: Descriptor
  readonly offset: bigint
  /** Width of what is pushed. */
  readonly bits: 16 | 32
  /** RFLAGS as the handler's stack gets it. */
  readonly flags: number
}

export function deliverProtected(cpu: Processor, event: Event): boolean {
  const gate = readGate(cpu, event)
  if (gate === null) return false
  if (typeOf(gate) === SystemType.TASK_GATE) {
    return switchTask(cpu, gateSelector(gate), 'interrupt', event.returnRip, event.errorCode)
  }
  const target = readTarget(cpu, event, gate)
  if (target === null) return false
  const inner = !isConforming(target.code) && dplOf(target.code) < cpu.state.cpl
  return inner ? enterInner(cpu, event, target) : enterSame(cpu, event, target)
}

function readGate(cpu: Processor, event: Event): Descriptor | null {
  const { state, memory, mmu } = cpu
  const error = idtError(event.vector)
  if (event.vector * 8 + 7 > state.blockU32(Block.IDTR + 8)) return cpu.faultNull(Vector.GP, error)
  const address = cpu.wrap(state.blockU64(Block.IDTR) + BigInt(event.vector * 8))
  const low = memory.read32(address, mmu.supervisorContext)
  const high = low < 0 ? -1 : memory.read32(cpu.wrap(address + 4n), mmu.supervisorContext)
  if (high < 0) return null
  const gate = { address, low, high, upper: 0 }
  const type = typeOf(gate)
  const known = type === SystemType.TASK_GATE || type === SystemType.INTERRUPT_GATE16 || type === SystemType.TRAP_GATE16 ||
    type === SystemType.INTERRUPT_GATE32 || type === SystemType.TRAP_GATE32
  if (!isSystem(gate) || !known) return cpu.faultNull(Vector.GP, error)
  if (checksGatePrivilege(event) && dplOf(gate) < state.cpl) return cpu.faultNull(Vector.GP, error)
  return isPresent(gate) ? gate : cpu.faultNull(Vector.NP, error)
}

function readTarget(cpu: Processor, event: Event, gate: Descriptor): Target | null {
  const { state } = cpu
  const selector = gateSelector(gate)
  if (isNull(selector)) return cpu.faultNull(Vector.GP)
  const code = readDescriptor(cpu, selector)
  if (code === null) return null
  const error = selectorError(selector)
  if (!isCodeSegment(code) || dplOf(code) > state.cpl) return cpu.faultNull(Vector.GP, error)
  if (!isPresent(code)) return cpu.faultNull(Vector.NP, error)
  // Virtual-8086 mode is left for privilege level 0 only.
  if (isVirtual8086(state) && (isConforming(code) || dplOf(code) !== 0)) return cpu.faultNull(Vector.GP, error)
  const wide = (typeOf(gate) & 8) !== 0
  const offset = wide ? gateOffset32(gate) : gateOffset16(gate)
  if (offset > BigInt(limitOf(code))) return cpu.faultNull(Vector.GP)
  const flags = cpu.flags | (setsResumeFlag(event) ? Flag.RF : 0)
  return { gate, selector, code, offset, bits: wide ? 32 : 16, flags }
}

/** To an inner privilege level, with the stack that the TSS names for it. */
function enterInner(cpu: Processor, event: Event, target: Target): boolean {
  const { state } = cpu
  const level = dplOf(target.code)
  const inner = innerStack(cpu, level)
  if (inner === null) return false
  const descriptor = stackDescriptor(cpu, inner.selector, level, Vector.TS)
  if (descriptor === null) return false
  const stack = Stack.switched(cpu, descriptor, inner.selector, inner.pointer, level)
  const fromVirtual = isVirtual8086(state)
  if (fromVirtual && !pushVirtualSegments(cpu, stack, target.bits)) return false
  if (!stack.push(target.bits, BigInt(state.segmentSelector(Segment.SS))) || !stack.push(target.bits, state.rsp)) return false
  if (!pushReturn(cpu, event, target, stack)) return false
  if (!markAccessed(cpu, target.code) || !markAccessed(cpu, descriptor)) return false
  if (fromVirtual) for (const index of VIRTUAL_SEGMENTS) loadNull(cpu, index, 0)
  loadCache(cpu, Segment.SS, inner.selector, descriptor)
  commit(cpu, target, stack, level)
  return true
}

const VIRTUAL_SEGMENTS: readonly SegmentIndex[] = [Segment.GS, Segment.FS, Segment.DS, Segment.ES]

function pushVirtualSegments(cpu: Processor, stack: Stack, bits: number): boolean {
  return VIRTUAL_SEGMENTS.every((index) => stack.push(bits, BigInt(cpu.state.segmentSelector(index))))
}

function enterSame(cpu: Processor, event: Event, target: Target): boolean {
  const stack = Stack.current(cpu)
  if (!pushReturn(cpu, event, target, stack) || !markAccessed(cpu, target.code)) return false
  commit(cpu, target, stack, cpu.state.cpl)
  return true
}

function pushReturn(cpu: Processor, event: Event, target: Target, stack: Stack): boolean {
  const { bits } = target
  if (!stack.push(bits, BigInt(target.flags)) || !stack.push(bits, BigInt(cpu.state.segmentSelector(Segment.CS)))) return false
  if (!stack.push(bits, event.returnRip)) return false
  return event.errorCode < 0 || stack.push(bits, BigInt(event.errorCode))
}

function commit(cpu: Processor, target: Target, stack: Stack, level: number): void {
  const isInterruptGate = (typeOf(target.gate) & 1) === 0
  cpu.changeSystemFlags(Flag.TF | Flag.NT | Flag.RF | Flag.VM | (isInterruptGate ? Flag.IF : 0), 0)
  enterCodeSegment(cpu, target.selector, target.code, level)
  cpu.state.rip = target.offset
  stack.commit()
}
