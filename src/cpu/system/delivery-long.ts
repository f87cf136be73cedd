import { Vector } from '../mmu/faults.ts'
import { Flag } from '../state/flags.ts'
import { Block, Segment } from '../state/layout.ts'
import {
  SystemType, dplOf, gateOffset64, gateSelector, isBig, isConforming, isLongCode, isNull, isPresent, isSystem, loadNull,
  markAccessed, readDescriptor, selectorError, typeOf,
} from './descriptors.ts'
import type { Descriptor } from './descriptors.ts'
import { checksGatePrivilege, setsResumeFlag } from './event.ts'
import type { Event } from './event.ts'
import { canonical } from './mode.ts'
import type { Processor } from './processor.ts'
import { enterCodeSegment, isCodeSegment } from './segmentation.ts'
import { Stack } from './stack.ts'
import { longInnerStack } from './tss.ts'

/** Interrupts in IA-32e mode (SDM Vol. 3A §6.14): 16-byte gates, an aligned stack of 8-byte slots, the interrupt stack table. */

const idtError = (vector: number): number => vector * 8 + 2

export function deliverLong(cpu: Processor, event: Event): boolean {
  const gate = readGate(cpu, event)
  if (gate === null) return false
  const selector = gateSelector(gate)
  const code = readCode(cpu, selector)
  if (code === null) return false
  const level = isConforming(code) ? cpu.state.cpl : dplOf(code)
  const offset = gateOffset64(gate)
  if (!canonical(offset)) return cpu.fault(Vector.GP)
  const pointer = stackPointer(cpu, gate, level)
  if (pointer < 0n) return false
  const stack = Stack.flat(cpu, pointer & ~15n, level)
  if (!pushFrame(cpu, event, stack) || !markAccessed(cpu, code)) return false
  const interruptGate = typeOf(gate) === SystemType.INTERRUPT_GATE32
  if (level !== cpu.state.cpl) loadNull(cpu, Segment.SS, level)
  cpu.changeSystemFlags(Flag.TF | Flag.NT | Flag.RF | Flag.VM | (interruptGate ? Flag.IF : 0), 0)
  enterCodeSegment(cpu, selector, code, level)
  cpu.state.rip = offset
  stack.commit()
  return true
}

function readGate(cpu: Processor, event: Event): Descriptor | null {
  const { state, memory, mmu } = cpu
  const error = idtError(event.vector)
  if (event.vector * 16 + 15 > state.blockU32(Block.IDTR + 8)) return cpu.faultNull(Vector.GP, error)
  const address = cpu.wrap(state.blockU64(Block.IDTR) + BigInt(event.vector * 16))
  const low = memory.read32(address, mmu.supervisorContext)
  const high = low < 0 ? -1 : memory.read32(address + 4n, mmu.supervisorContext)
  const upper = high < 0 ? -1 : memory.read32(address + 8n, mmu.supervisorContext)
  if (upper < 0) return null
  const gate = { address, low, high, upper }
  const type = typeOf(gate)
  if (!isSystem(gate) || (type !== SystemType.INTERRUPT_GATE32 && type !== SystemType.TRAP_GATE32)) {
    return cpu.faultNull(Vector.GP, error)
  }
  if (checksGatePrivilege(event) && dplOf(gate) < state.cpl) return cpu.faultNull(Vector.GP, error)
  return isPresent(gate) ? gate : cpu.faultNull(Vector.NP, error)
}

function readCode(cpu: Processor, selector: number): Descriptor | null {
  if (isNull(selector)) return cpu.faultNull(Vector.GP)
  const code = readDescriptor(cpu, selector)
  if (code === null) return null
  const error = selectorError(selector)
  if (!isCodeSegment(code) || dplOf(code) > cpu.state.cpl || !isLongCode(code) || isBig(code)) {
    return cpu.faultNull(Vector.GP, error)
  }
  return isPresent(code) ? code : cpu.faultNull(Vector.NP, error)
}

/** RSP before the frame: from the interrupt stack table, the inner level's, or the one in use. -1n: a fault is recorded. */
function stackPointer(cpu: Processor, gate: Descriptor, level: number): bigint {
  const interruptStack = gate.high & 7
  if (interruptStack !== 0) return longInnerStack(cpu, 0x24 + (interruptStack - 1) * 8)
  if (level !== cpu.state.cpl) return longInnerStack(cpu, 4 + level * 8)
  return cpu.state.rsp
}

function pushFrame(cpu: Processor, event: Event, stack: Stack): boolean {
  const { state } = cpu
  const flags = cpu.flags | (setsResumeFlag(event) ? Flag.RF : 0)
  return stack.push(64, BigInt(state.segmentSelector(Segment.SS))) && stack.push(64, state.rsp) &&
    stack.push(64, BigInt(flags)) && stack.push(64, BigInt(state.segmentSelector(Segment.CS))) && stack.push(64, event.returnRip) &&
    (event.errorCode < 0 || stack.push(64, BigInt(event.errorCode)))
}
