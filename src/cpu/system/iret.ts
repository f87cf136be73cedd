import { Vector } from '../mmu/faults.ts'
import { Flag } from '../state/flags.ts'
import { Block, Segment } from '../state/layout.ts'
import type { SegmentIndex } from '../state/layout.ts'
import { markAccessed, rplOf } from './descriptors.ts'
import { checkOffset, loadReturnStack, returnStack, returnTarget, setReturnPointer } from './far-transfer.ts'
import { isSensitive, loadFlags, loadResumeFlag, loadVirtualImage, loadableFlags } from './flags-control.ts'
import { Cr4, is64Bit, isLong, isReal } from './mode.ts'
import type { Processor } from './processor.ts'
import { dropInnerSegments, enterCodeSegment, loadRealSegment } from './segmentation.ts'
import { Stack } from './stack.ts'
import { switchTask } from './task-switch.ts'

/** IRET in all modes (SDM Vol. 2A). */

type Bits = 16 | 32 | 64

/** What IRET pops first. */
interface Frame {
  readonly offset: bigint
  readonly selector: number
  readonly flags: number
}

/** False: a fault is recorded and nothing has changed. `nextRip` is where a task that returns goes on when it is called again. */
export function interruptReturn(cpu: Processor, bits: Bits, nextRip: bigint): boolean {
  cpu.state.setBlockU32(Block.NMI_BLOCKED, 0)
  if (isReal(cpu.state)) return returnReal(cpu, bits)
  if ((cpu.systemFlags & Flag.NT) !== 0) return isLong(cpu.state) ? cpu.fault(Vector.GP) : returnToTask(cpu, nextRip)
  const stack = Stack.current(cpu)
  const frame = popFrame(stack, bits)
  if (frame === null) return false
  const toVirtual = bits === 32 && (frame.flags & Flag.VM) !== 0 && cpu.state.cpl === 0 && !isLong(cpu.state)
  return toVirtual ? returnToVirtual(cpu, stack, frame) : returnProtected(cpu, stack, frame, bits)
}

function popFrame(stack: Stack, bits: Bits): Frame | null {
  const offset = stack.pop(bits)
  const selector = offset < 0n ? -1n : stack.pop(bits)
  const flags = selector < 0n ? -1n : stack.pop(bits)
  return flags < 0n ? null : { offset, selector: Number(selector & 0xffffn), flags: Number(flags & 0xffffffffn) }
}

function returnReal(cpu: Processor, bits: Bits): boolean {
  const withVme = bits === 16 && (cpu.state.cr4 & Cr4.VME) !== 0
  if (isSensitive(cpu) && !withVme) return cpu.fault(Vector.GP)
  const stack = Stack.current(cpu)
  const frame = popFrame(stack, bits)
  if (frame === null) return false
  if (frame.offset > BigInt(cpu.state.segmentLimit(Segment.CS))) return cpu.fault(Vector.GP)
  if (isSensitive(cpu)) {
    if (!loadVirtualImage(cpu, frame.flags)) return false
  } else restoreFlags(cpu, frame.flags, loadableFlags(cpu, bits))
  stack.commit()
  loadRealSegment(cpu.state, Segment.CS, frame.selector)
  cpu.state.rip = frame.offset
  return true
}

function restoreFlags(cpu: Processor, image: number, mask: number): void {
  loadFlags(cpu, image, mask)
  loadResumeFlag(cpu, image)
}

function returnToTask(cpu: Processor, nextRip: bigint): boolean {
  const link = cpu.memory.read16(cpu.wrap(cpu.state.blockU64(Block.TR_BASE)), cpu.mmu.supervisorContext)
  return link >= 0 && switchTask(cpu, link, 'iret', nextRip, -1)
}

function returnProtected(cpu: Processor, stack: Stack, frame: Frame, bits: Bits): boolean {
  const { state } = cpu
  const code = returnTarget(cpu, frame.selector)
  if (code === null) return false
  const cpl = rplOf(frame.selector)
  const outer = cpl > state.cpl
  if (!outer && !is64Bit(state)) {
    if (!checkOffset(cpu, code, frame.offset) || !markAccessed(cpu, code)) return false
    restoreFlags(cpu, frame.flags, loadableFlags(cpu, bits) | privilegedFlags(cpu, bits))
    stack.commit()
    enterCodeSegment(cpu, frame.selector, code, cpl)
    state.rip = frame.offset
    return true
  }
  const pointer = stack.pop(bits)
  const stackSlot = pointer < 0n ? -1n : stack.pop(bits)
  if (stackSlot < 0n) return false
  const selector = Number(stackSlot & 0xffffn)
  const descriptor = returnStack(cpu, selector, code, cpl)
  if (descriptor === null || !checkOffset(cpu, code, frame.offset)) return false
  if (!markAccessed(cpu, code) || (descriptor !== 'null' && !markAccessed(cpu, descriptor))) return false
  restoreFlags(cpu, frame.flags, loadableFlags(cpu, bits) | privilegedFlags(cpu, bits))
  enterCodeSegment(cpu, frame.selector, code, cpl)
  state.rip = frame.offset
  loadReturnStack(cpu, selector, descriptor)
  setReturnPointer(cpu, pointer)
  if (outer) dropInnerSegments(cpu, cpl)
  return true
}

/** At level 0, IRET loads the virtual interrupt flags too. */
function privilegedFlags(cpu: Processor, bits: Bits): number {
  return bits !== 16 && cpu.state.cpl === 0 ? Flag.VIF | Flag.VIP : 0
}

/** The frame of virtual-8086 mode goes on with ESP, SS, ES, DS, FS and GS. */
function returnToVirtual(cpu: Processor, stack: Stack, frame: Frame): boolean {
  const { state } = cpu
  const slots: bigint[] = []
  for (let n = 0; n < 6; n++) {
    const value = stack.pop(32)
    if (value < 0n) return false
    slots.push(value)
  }
  if (frame.offset > 0xffffn) return cpu.fault(Vector.GP)
  cpu.flags = (frame.flags & 0x3e7fd7) | 2
  loadResumeFlag(cpu, frame.flags)
  cpu.setCpl(3)
  state.rip = frame.offset
  state.rsp = slots[0]
  const order: readonly SegmentIndex[] = [Segment.SS, Segment.ES, Segment.DS, Segment.FS, Segment.GS]
  order.forEach((index, n) => loadRealSegment(state, index, Number(slots[n + 1] & 0xffffn)))
  loadRealSegment(state, Segment.CS, frame.selector)
  return true
}
