import { Vector } from '../mmu/faults.ts'
import { Flag } from '../state/flags.ts'
import { Block, Segment } from '../state/layout.ts'
import type { SegmentIndex } from '../state/layout.ts'
import { Dr6 } from './debug.ts'
import {
  BUSY, SystemType, dplOf, isConforming, isNull, isPresent, isSystem, limitOf, loadCache, loadNull, markAccessed, readDescriptor,
  rplOf, selectorError, typeOf,
} from './descriptors.ts'
import type { Descriptor } from './descriptors.ts'
import { Cr0, Cr4, setCr0, setRegister32 } from './mode.ts'
import type { Processor } from './processor.ts'
import { dataDescriptor, enterCodeSegment, isCodeSegment, loadRealSegment, stackDescriptor } from './segmentation.ts'
import { Stack } from './stack.ts'
import { isWideTss } from './tss.ts'

/** Hardware task switches (SDM Vol. 3A chapter 7), from and to 16-bit and 32-bit task state segments. */

export type TaskSwitchReason = 'jump' | 'call' | 'interrupt' | 'iret'

/** Offsets in a TSS: general registers and segments lie one after the other. */
interface Layout {
  readonly bits: 16 | 32
  readonly ip: number
  readonly flags: number
  readonly registers: number
  readonly segments: number
  readonly segmentStep: number
  readonly segmentCount: number
  readonly ldt: number
  readonly minimumLimit: number
}
const WIDE: Layout = {
  bits: 32, ip: 0x20, flags: 0x24, registers: 0x28, segments: 0x48, segmentStep: 4, segmentCount: 6, ldt: 0x60, minimumLimit: 0x67,
}
const NARROW: Layout = {
  bits: 16, ip: 0x0e, flags: 0x10, registers: 0x12, segments: 0x22, segmentStep: 2, segmentCount: 4, ldt: 0x2a, minimumLimit: 0x2b,
}
const CR3_OFFSET = 0x1c
const TRAP_OFFSET = 0x64

/** What a TSS says of its task. */
interface TaskImage {
  readonly cr3: number
  readonly ip: number
  readonly flags: number
  readonly registers: readonly number[]
  readonly segments: readonly number[]
  readonly ldt: number
  readonly trap: boolean
}

/**
 * Switches to the task of a TSS selector. The caller has checked privilege.
 * @param returnRip where the old task goes on. @param errorCode pushed on the new task's stack; -1: none.
 * @returns false with a fault recorded: before the switch (nothing changed), or as the new task's first event (`newTaskFault`).
 */
export function switchTask(
  cpu: Processor, selector: number, reason: TaskSwitchReason, returnRip: bigint, errorCode: number,
): boolean {
  const tss = readTss(cpu, selector, reason)
  if (tss === null) return false
  const layout = (typeOf(tss) & 8) !== 0 ? WIDE : NARROW
  const base = cpu.wrap(baseAddress(tss))
  const image = readImage(cpu, base, layout)
  if (image === null || !saveTask(cpu, returnRip, reason) || !linkTasks(cpu, tss, base, reason)) return false
  enterTask(cpu, selector, tss, layout, image, reason)
  const whole = loadSegments(cpu, image, layout) && pushErrorCode(cpu, layout, errorCode) && trapIfAsked(cpu, image)
  cpu.newTaskFault = !whole
  return whole
}

function readTss(cpu: Processor, selector: number, reason: TaskSwitchReason): Descriptor | null {
  const vector = reason === 'iret' ? Vector.TS : Vector.GP
  const error = selectorError(selector)
  if (isNull(selector) || (selector & 4) !== 0) return cpu.faultNull(vector, error)
  const tss = readDescriptor(cpu, selector, vector)
  if (tss === null) return null
  const wanted = reason === 'iret' ? SystemType.TSS16_BUSY : SystemType.TSS16_AVAILABLE
  if (!isSystem(tss) || (typeOf(tss) & ~8) !== wanted) return cpu.faultNull(vector, error)
  if (!isPresent(tss)) return cpu.faultNull(Vector.NP, error)
  const minimum = (typeOf(tss) & 8) !== 0 ? WIDE.minimumLimit : NARROW.minimumLimit
  return limitOf(tss) < minimum ? cpu.faultNull(Vector.TS, error) : tss
}

const baseAddress = (d: Descriptor): bigint => BigInt(((d.low >>> 16) | ((d.high & 0xff) << 16) | (d.high & 0xff000000)) >>> 0)

function readImage(cpu: Processor, base: bigint, layout: Layout): TaskImage | null {
  const read = (offset: number, bits: number): number =>
    Number(cpu.memory.read(cpu.wrap(base + BigInt(offset)), bits, cpu.mmu.supervisorContext))
  const { memory, mmu } = cpu
  if (!memory.probeRead(base, layout.minimumLimit + 1, mmu.supervisorContext)) return null
  const wide = layout.bits === 32
  return {
    cr3: wide ? read(CR3_OFFSET, 32) : 0,
    ip: read(layout.ip, layout.bits),
    flags: read(layout.flags, layout.bits),
    registers: Array.from({ length: 8 }, (_, n) => read(layout.registers + n * layout.bits / 8, layout.bits)),
    segments: Array.from({ length: layout.segmentCount }, (_, n) => read(layout.segments + n * layout.segmentStep, 16)),
    ldt: read(layout.ldt, 16),
    trap: wide && (read(TRAP_OFFSET, 16) & 1) !== 0,
  }
}

/** Stores the old task's registers in its TSS, all of it or nothing. */
function saveTask(cpu: Processor, returnRip: bigint, reason: TaskSwitchReason): boolean {
  const { state, memory, mmu } = cpu
  const layout = isWideTss(cpu) ? WIDE : NARROW
  const base = state.blockU64(Block.TR_BASE)
  const end = layout.segments + layout.segmentCount * layout.segmentStep
  if (!memory.probeWrite(cpu.wrap(base + BigInt(layout.ip)), end - layout.ip, mmu.supervisorContext)) return false
  const write = (offset: number, bits: number, value: bigint): boolean =>
    memory.write(cpu.wrap(base + BigInt(offset)), bits, value, mmu.supervisorContext)
  write(layout.ip, layout.bits, returnRip)
  write(layout.flags, layout.bits, BigInt(reason === 'iret' ? cpu.flags & ~Flag.NT : cpu.flags))
  for (let n = 0; n < 8; n++) write(layout.registers + n * layout.bits / 8, layout.bits, state.gpr(n))
  for (let n = 0; n < layout.segmentCount; n++) {
    write(layout.segments + n * layout.segmentStep, 16, BigInt(state.segmentSelector(n as SegmentIndex)))
  }
  return true
}

/** Busy bits and the back link. */
function linkTasks(cpu: Processor, tss: Descriptor, base: bigint, reason: TaskSwitchReason): boolean {
  const { state, memory, mmu } = cpu
  const context = mmu.supervisorContext
  const nested = reason === 'call' || reason === 'interrupt'
  if (nested && !memory.write16(base, state.segmentSelector(Segment.TR), context)) return false
  if (!nested && !clearOldBusy(cpu)) return false
  return reason === 'iret' || memory.write8(cpu.wrap(tss.address + 5n), ((tss.high >>> 8) & 0xff) | BUSY, context)
}

function clearOldBusy(cpu: Processor): boolean {
  const old = readDescriptor(cpu, cpu.state.segmentSelector(Segment.TR), Vector.TS)
  if (old === null) return false
  return cpu.memory.write8(cpu.wrap(old.address + 5n), (old.high >>> 8) & 0xff & ~BUSY, cpu.mmu.supervisorContext)
}

/** The switch itself: everything but the checks of the new segments, which belong to the new task. */
function enterTask(
  cpu: Processor, selector: number, tss: Descriptor, layout: Layout, image: TaskImage, reason: TaskSwitchReason,
): void {
  const { state } = cpu
  loadCache(cpu, Segment.TR, selector, tss)
  state.setSegmentAttributes(Segment.TR, state.segmentAttributes(Segment.TR) | BUSY)
  setCr0(state, state.cr0 | Cr0.TS)
  state.setBlockU32(Block.DR + 56, cpu.debug.dr7 & ~0x55)
  if (layout.bits === 32 && (state.cr0 & Cr0.PG) !== 0) loadPageTables(cpu, image.cr3)
  image.registers.forEach((value, n) => state.setGpr32(n, value))
  const flags = (image.flags & VALID_FLAGS) | 2
  cpu.flags = reason === 'call' || reason === 'interrupt' ? flags | Flag.NT : flags
  state.rip = BigInt(image.ip)
}

const VALID_FLAGS = 0x3f7fd7

function loadPageTables(cpu: Processor, cr3: number): void {
  setRegister32(cpu.state, Block.CR3, cr3)
  if ((cpu.state.cr4 & Cr4.PAE) !== 0) cpu.mmu.walker.loadPdptes(cr3)
  cpu.mmu.rootChanged()
}

function loadSegments(cpu: Processor, image: TaskImage, layout: Layout): boolean {
  const { state } = cpu
  const selectors = Array.from({ length: 6 }, (_, n) => image.segments[n] ?? 0)
  selectors.forEach((selector, n) => loadNull(cpu, n as SegmentIndex, selector))
  const virtual = layout.bits === 32 && (image.flags & Flag.VM) !== 0
  cpu.setCpl(virtual ? 3 : rplOf(selectors[Segment.CS]))
  if (!loadTaskLdt(cpu, image.ldt)) return false
  if (virtual) {
    selectors.forEach((selector, n) => loadRealSegment(state, n as SegmentIndex, selector))
    return true
  }
  const data: readonly SegmentIndex[] = [Segment.DS, Segment.ES, Segment.FS, Segment.GS]
  return loadTaskCode(cpu, selectors[Segment.CS], image.ip) && loadTaskStack(cpu, selectors[Segment.SS]) &&
    data.every((index) => loadTaskData(cpu, index, selectors[index]))
}

function loadTaskLdt(cpu: Processor, selector: number): boolean {
  loadNull(cpu, Segment.LDTR, selector)
  if (isNull(selector)) return true
  const error = selectorError(selector)
  if ((selector & 4) !== 0) return cpu.fault(Vector.TS, error)
  const ldt = readDescriptor(cpu, selector, Vector.TS)
  if (ldt === null) return false
  if (!isSystem(ldt) || typeOf(ldt) !== SystemType.LDT || !isPresent(ldt)) return cpu.fault(Vector.TS, error)
  loadCache(cpu, Segment.LDTR, selector, ldt)
  return true
}

function loadTaskCode(cpu: Processor, selector: number, ip: number): boolean {
  const error = selectorError(selector)
  if (isNull(selector)) return cpu.fault(Vector.TS, error)
  const code = readDescriptor(cpu, selector, Vector.TS)
  if (code === null) return false
  const rightLevel = isConforming(code) ? dplOf(code) <= rplOf(selector) : dplOf(code) === rplOf(selector)
  if (!isCodeSegment(code) || !rightLevel) return cpu.fault(Vector.TS, error)
  if (!isPresent(code)) return cpu.fault(Vector.NP, error)
  if (!markAccessed(cpu, code)) return false
  enterCodeSegment(cpu, selector, code, rplOf(selector))
  return ip <= limitOf(code) || cpu.fault(Vector.GP)
}

function loadTaskStack(cpu: Processor, selector: number): boolean {
  const stack = stackDescriptor(cpu, selector, cpu.state.cpl, Vector.TS)
  if (stack === null || !markAccessed(cpu, stack)) return false
  loadCache(cpu, Segment.SS, selector, stack)
  return true
}

function loadTaskData(cpu: Processor, index: SegmentIndex, selector: number): boolean {
  if (isNull(selector)) return true
  const d = dataDescriptor(cpu, selector, Vector.TS)
  if (d === null || !markAccessed(cpu, d)) return false
  loadCache(cpu, index, selector, d)
  return true
}

function pushErrorCode(cpu: Processor, layout: Layout, errorCode: number): boolean {
  if (errorCode < 0) return true
  const stack = Stack.current(cpu)
  if (!stack.push(layout.bits, BigInt(errorCode))) return false
  stack.commit()
  return true
}

function trapIfAsked(cpu: Processor, image: TaskImage): true {
  if (image.trap) cpu.debug.pend(Dr6.BT)
  return true
}
