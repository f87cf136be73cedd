import { Vector } from '../mmu/faults.ts'
import { Segment } from '../state/layout.ts'
import {
  SystemType, dplOf, gateOffset16, gateOffset32, gateOffset64, gateSelector, isConforming, isLongCode, isNull, isPresent, isSystem,
  limitOf, loadCache, loadNull, markAccessed, readDescriptor, readLongDescriptor, rplOf, selectorError, typeOf,
} from './descriptors.ts'
import type { Descriptor } from './descriptors.ts'
import { canonical, isLong, isReal, truncate } from './mode.ts'
import type { Processor } from './processor.ts'
import {
  dropInnerSegments, enterCodeSegment, isCodeSegment, isValidCodeSize, loadRealSegment, stackDescriptor,
} from './segmentation.ts'
import { Stack } from './stack.ts'
import { switchTask } from './task-switch.ts'
import { innerStack, longInnerStack } from './tss.ts'

/** Far JMP, CALL and RET in all modes (SDM Vol. 2A, Vol. 3A §5.8). Each returns false with a fault recorded and nothing changed. */

type Bits = 16 | 32 | 64

/** JMP ptr16:n. `bits` is the operand size, `nextRip` the instruction that follows. */
export function farJump(cpu: Processor, selector: number, offset: bigint, bits: Bits, nextRip: bigint): boolean {
  if (isReal(cpu.state)) return enterReal(cpu, selector, truncate(offset, bits))
  const d = readTarget(cpu, selector)
  if (d === null) return false
  if (!isSystem(d)) {
    return checkDirect(cpu, selector, d) && enterCode(cpu, selector, d, truncate(offset, bits), cpu.state.cpl)
  }
  const type = typeOf(d)
  if (isCallGate(cpu, type)) return jumpThroughGate(cpu, selector, d)
  return transferToTask(cpu, selector, d, 'jump', nextRip)
}

/** CALL ptr16:n. */
export function farCall(cpu: Processor, selector: number, offset: bigint, bits: Bits, nextRip: bigint): boolean {
  if (isReal(cpu.state)) return callReal(cpu, selector, truncate(offset, bits), bits, nextRip)
  const d = readTarget(cpu, selector)
  if (d === null) return false
  if (!isSystem(d)) {
    if (!checkDirect(cpu, selector, d)) return false
    return callSameLevel(cpu, selector, d, truncate(offset, bits), bits, nextRip)
  }
  const type = typeOf(d)
  if (isCallGate(cpu, type)) return callThroughGate(cpu, selector, d, nextRip)
  return transferToTask(cpu, selector, d, 'call', nextRip)
}

/** RET far, releasing `parameters` bytes. */
export function farReturn(cpu: Processor, bits: Bits, parameters: number): boolean {
  const stack = Stack.current(cpu)
  const offset = stack.pop(bits)
  const selectorSlot = offset < 0n ? -1n : stack.pop(bits)
  if (selectorSlot < 0n) return false
  const selector = Number(selectorSlot & 0xffffn)
  if (isReal(cpu.state)) {
    if (!enterReal(cpu, selector, offset)) return false
    stack.skip(parameters)
    stack.commit()
    return true
  }
  const code = returnTarget(cpu, selector)
  if (code === null) return false
  stack.skip(parameters)
  if (rplOf(selector) > cpu.state.cpl) return returnOuter(cpu, selector, code, offset, stack, bits, parameters)
  if (!enterCode(cpu, selector, code, offset, cpu.state.cpl)) return false
  stack.commit()
  return true
}

/** The code segment that a far return or IRET goes back to: RPL may not be below CPL. */
export function returnTarget(cpu: Processor, selector: number): Descriptor | null {
  if (isNull(selector)) return cpu.faultNull(Vector.GP)
  const code = readDescriptor(cpu, selector)
  if (code === null) return null
  const error = selectorError(selector)
  const rpl = rplOf(selector)
  const levels = rpl >= cpu.state.cpl && (isConforming(code) ? dplOf(code) <= rpl : dplOf(code) === rpl)
  if (!isCodeSegment(code) || !levels || !isValidCodeSize(cpu, code)) return cpu.faultNull(Vector.GP, error)
  return isPresent(code) ? code : cpu.faultNull(Vector.NP, error)
}

/**
 * The stack segment that a return to an outer level pops. Null selectors are for 64-bit code below level 3 only.
 * @returns the descriptor, 'null' for a null selector that is allowed, or null with a fault recorded.
 */
export function returnStack(cpu: Processor, selector: number, code: Descriptor, cpl: number): Descriptor | 'null' | null {
  if (!isNull(selector)) return stackDescriptor(cpu, selector, cpl, Vector.GP)
  const allowed = isLong(cpu.state) && isLongCode(code) && cpl !== 3 && rplOf(selector) === cpl
  return allowed ? 'null' : cpu.faultNull(Vector.GP)
}

/** Loads SS with what `returnStack` answered. */
export function loadReturnStack(cpu: Processor, selector: number, descriptor: Descriptor | 'null'): void {
  if (descriptor === 'null') loadNull(cpu, Segment.SS, selector)
  else loadCache(cpu, Segment.SS, selector, descriptor)
}

/** The target's offset lies in its segment, or is canonical for 64-bit code: otherwise #GP(0). */
export function checkOffset(cpu: Processor, code: Descriptor, offset: bigint): boolean {
  const inside = isLong(cpu.state) && isLongCode(code) ? canonical(offset) : offset <= BigInt(limitOf(code))
  return inside || cpu.fault(Vector.GP)
}

function enterReal(cpu: Processor, selector: number, offset: bigint): boolean {
  if (offset > BigInt(cpu.state.segmentLimit(Segment.CS))) return cpu.fault(Vector.GP)
  loadRealSegment(cpu.state, Segment.CS, selector)
  cpu.state.rip = offset
  return true
}

function callReal(cpu: Processor, selector: number, offset: bigint, bits: Bits, nextRip: bigint): boolean {
  const stack = Stack.current(cpu)
  if (!stack.push(bits, BigInt(cpu.state.segmentSelector(Segment.CS))) || !stack.push(bits, nextRip)) return false
  if (!enterReal(cpu, selector, offset)) return false
  stack.commit()
  return true
}

/** The descriptor that a far JMP or CALL names; gates of long mode with both halves. */
function readTarget(cpu: Processor, selector: number): Descriptor | null {
  if (isNull(selector)) return cpu.faultNull(Vector.GP)
  const d = readDescriptor(cpu, selector)
  return d !== null && isSystem(d) && isLong(cpu.state) ? readLongDescriptor(cpu, selector) : d
}

/** Privilege of a direct transfer to a code segment: it does not change CPL. */
function checkDirect(cpu: Processor, selector: number, code: Descriptor): boolean {
  const { cpl } = cpu.state
  const error = selectorError(selector)
  const levels = isConforming(code) ? dplOf(code) <= cpl : rplOf(selector) <= cpl && dplOf(code) === cpl
  if (!isCodeSegment(code) || !levels || !isValidCodeSize(cpu, code)) return cpu.fault(Vector.GP, error)
  return isPresent(code) || cpu.fault(Vector.NP, error)
}

function enterCode(cpu: Processor, selector: number, code: Descriptor, offset: bigint, cpl: number): boolean {
  if (!checkOffset(cpu, code, offset) || !markAccessed(cpu, code)) return false
  enterCodeSegment(cpu, selector, code, cpl)
  cpu.state.rip = offset
  return true
}

function callSameLevel(cpu: Processor, selector: number, code: Descriptor, offset: bigint, bits: Bits, nextRip: bigint): boolean {
  const stack = Stack.current(cpu)
  if (!stack.push(bits, BigInt(cpu.state.segmentSelector(Segment.CS))) || !stack.push(bits, nextRip)) return false
  if (!enterCode(cpu, selector, code, offset, cpu.state.cpl)) return false
  stack.commit()
  return true
}

/** Call gates of 16 and 32 bits exist outside long mode; in it, the 32-bit type is the 64-bit gate. */
function isCallGate(cpu: Processor, type: number): boolean {
  return type === SystemType.CALL_GATE32 || (type === SystemType.CALL_GATE16 && !isLong(cpu.state))
}

interface GateTarget {
  readonly selector: number
  readonly code: Descriptor
  readonly offset: bigint
  readonly bits: Bits
}

/** The code segment behind a call gate. CALL may go to an inner level, JMP stays at its own. */
function readGateTarget(cpu: Processor, gateSelectorValue: number, gate: Descriptor, how: 'call' | 'jump'): GateTarget | null {
  const { cpl } = cpu.state
  const gateError = selectorError(gateSelectorValue)
  if (dplOf(gate) < cpl || rplOf(gateSelectorValue) > dplOf(gate)) return cpu.faultNull(Vector.GP, gateError)
  if (!isPresent(gate)) return cpu.faultNull(Vector.NP, gateError)
  const selector = gateSelector(gate)
  if (isNull(selector)) return cpu.faultNull(Vector.GP)
  const code = readDescriptor(cpu, selector)
  if (code === null) return null
  const error = selectorError(selector)
  const long = isLong(cpu.state)
  const levels = how === 'call' || isConforming(code) ? dplOf(code) <= cpl : dplOf(code) === cpl
  if (!isCodeSegment(code) || !levels) return cpu.faultNull(Vector.GP, error)
  if (long && (!isLongCode(code) || !isValidCodeSize(cpu, code))) return cpu.faultNull(Vector.GP, error)
  if (!isPresent(code)) return cpu.faultNull(Vector.NP, error)
  if (long) return { selector, code, offset: gateOffset64(gate), bits: 64 }
  const wide = typeOf(gate) === SystemType.CALL_GATE32
  return { selector, code, offset: wide ? gateOffset32(gate) : gateOffset16(gate), bits: wide ? 32 : 16 }
}

function jumpThroughGate(cpu: Processor, selector: number, gate: Descriptor): boolean {
  const target = readGateTarget(cpu, selector, gate, 'jump')
  return target !== null && enterCode(cpu, target.selector, target.code, target.offset, cpu.state.cpl)
}

function callThroughGate(cpu: Processor, selector: number, gate: Descriptor, nextRip: bigint): boolean {
  const target = readGateTarget(cpu, selector, gate, 'call')
  if (target === null) return false
  const inner = !isConforming(target.code) && dplOf(target.code) < cpu.state.cpl
  if (!inner) return callSameLevelGate(cpu, target, nextRip)
  return target.bits === 64 ? callInnerLong(cpu, target, nextRip) : callInner(cpu, target, gate.high & 31, nextRip)
}

function callSameLevelGate(cpu: Processor, target: GateTarget, nextRip: bigint): boolean {
  const { state } = cpu
  const stack = target.bits === 64 ? Stack.flat(cpu, state.rsp, state.cpl) : Stack.current(cpu)
  if (!pushReturn(cpu, stack, target.bits, nextRip)) return false
  if (!enterCode(cpu, target.selector, target.code, target.offset, state.cpl)) return false
  stack.commit()
  return true
}

function pushReturn(cpu: Processor, stack: Stack, bits: Bits, nextRip: bigint): boolean {
  return stack.push(bits, BigInt(cpu.state.segmentSelector(Segment.CS))) && stack.push(bits, nextRip)
}

/** To an inner level with the TSS's stack, onto which `count` parameters are copied. */
function callInner(cpu: Processor, target: GateTarget, count: number, nextRip: bigint): boolean {
  const { state } = cpu
  const level = dplOf(target.code)
  const inner = innerStack(cpu, level)
  if (inner === null) return false
  const descriptor = stackDescriptor(cpu, inner.selector, level, Vector.TS)
  if (descriptor === null) return false
  const parameters = readParameters(cpu, count, target.bits)
  if (parameters === null) return false
  const stack = Stack.switched(cpu, descriptor, inner.selector, inner.pointer, level)
  const { bits } = target
  if (!stack.push(bits, BigInt(state.segmentSelector(Segment.SS))) || !stack.push(bits, state.rsp)) return false
  if (!parameters.every((value) => stack.push(bits, value)) || !pushReturn(cpu, stack, bits, nextRip)) return false
  if (!markAccessed(cpu, descriptor) || !enterCode(cpu, target.selector, target.code, target.offset, level)) return false
  loadCache(cpu, Segment.SS, inner.selector, descriptor)
  stack.commit()
  return true
}

/** Parameters on the caller's stack, in the order in which they are pushed again. */
function readParameters(cpu: Processor, count: number, bits: Bits): bigint[] | null {
  const stack = Stack.current(cpu)
  const values: bigint[] = []
  for (let n = 0; n < count; n++) {
    const value = stack.pop(bits)
    if (value < 0n) return null
    values.unshift(value)
  }
  return values
}

function callInnerLong(cpu: Processor, target: GateTarget, nextRip: bigint): boolean {
  const { state } = cpu
  const level = dplOf(target.code)
  const pointer = longInnerStack(cpu, 4 + level * 8)
  if (pointer < 0n) return false
  const stack = Stack.flat(cpu, pointer, level)
  if (!stack.push(64, BigInt(state.segmentSelector(Segment.SS))) || !stack.push(64, state.rsp)) return false
  if (!pushReturn(cpu, stack, 64, nextRip)) return false
  if (!enterCode(cpu, target.selector, target.code, target.offset, level)) return false
  loadNull(cpu, Segment.SS, level)
  stack.commit()
  return true
}

function returnOuter(
  cpu: Processor, selector: number, code: Descriptor, offset: bigint, stack: Stack, bits: Bits, parameters: number,
): boolean {
  const cpl = rplOf(selector)
  const pointer = stack.pop(bits)
  const stackSlot = pointer < 0n ? -1n : stack.pop(bits)
  if (stackSlot < 0n) return false
  const stackSelector = Number(stackSlot & 0xffffn)
  const descriptor = returnStack(cpu, stackSelector, code, cpl)
  if (descriptor === null || !checkOffset(cpu, code, offset)) return false
  if (!markAccessed(cpu, code) || (descriptor !== 'null' && !markAccessed(cpu, descriptor))) return false
  enterCodeSegment(cpu, selector, code, cpl)
  cpu.state.rip = offset
  loadReturnStack(cpu, stackSelector, descriptor)
  setOuterPointer(cpu, pointer, parameters)
  dropInnerSegments(cpu, cpl)
  return true
}

/** RSP of the outer level after it released its own copy of the parameters. */
function setOuterPointer(cpu: Processor, pointer: bigint, parameters: number): void {
  setReturnPointer(cpu, pointer)
  const stack = Stack.current(cpu)
  stack.skip(parameters)
  stack.commit()
}

/**
 * Loads RSP with what a return popped, as many bits as the stack has: a 16-bit stack keeps the high half of ESP, whatever the operand
 * size.
 */
export function setReturnPointer(cpu: Processor, pointer: bigint): void {
  const stack = Stack.current(cpu)
  stack.pointer = pointer
  stack.commit()
}

/** A far JMP or CALL that names a TSS or a task gate. Long mode has no task switches. */
function transferToTask(cpu: Processor, selector: number, d: Descriptor, reason: 'jump' | 'call', nextRip: bigint): boolean {
  const error = selectorError(selector)
  const type = typeOf(d)
  const isTss = (type & ~8) === SystemType.TSS16_AVAILABLE
  if (isLong(cpu.state) || (!isTss && type !== SystemType.TASK_GATE)) return cpu.fault(Vector.GP, error)
  if (dplOf(d) < cpu.state.cpl || dplOf(d) < rplOf(selector)) return cpu.fault(Vector.GP, error)
  if (!isPresent(d)) return cpu.fault(Vector.NP, error)
  return switchTask(cpu, isTss ? selector : gateSelector(d), reason, nextRip, -1)
}
