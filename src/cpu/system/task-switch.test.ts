import { describe, expect, it } from 'vitest'
import { gpa } from '../../base/addresses.ts'
import { Flag } from '../state/flags.ts'
import { Block, Gpr, Segment } from '../state/layout.ts'
import { GDT_BASE, Gdt, ProcessorRig, TSS_BASE, descriptor, gate } from '../testing/processor-rig.ts'
import { deliverInterrupt } from './delivery.ts'
import { switchTask } from './task-switch.ts'
import { HelperOutcome } from './outcome.ts'

const { FAULT, RESYNC } = HelperOutcome
const NEW_TSS = 0x60, NEW_BASE = 0x6000
const REGISTERS = [0x11, 0x22, 0x33, 0x44, 0x7000, 0x66, 0x77, 0x88]

/** A rig at level 0 with a second task, whose TSS the test may spoil before it is used. */
function twoTasks(wide = true): ProcessorRig {
  const rig = new ProcessorRig().protect()
  rig.setGdt(NEW_TSS, descriptor(wide ? 0x89 : 0x81, wide ? 0x67 : 0x2b, NEW_BASE))
  const put = (offset: number, value: number): void =>
    wide ? rig.memory.writeU32(gpa(NEW_BASE + offset), value) : rig.memory.writeU16(gpa(NEW_BASE + offset), value)
  const [ip, flags, registers, segments, step] = wide ? [0x20, 0x24, 0x28, 0x48, 4] : [0x0e, 0x10, 0x12, 0x22, 2]
  put(ip, 0x5000)
  put(flags, Flag.CF | 2)
  REGISTERS.forEach((value, n) => put(registers + n * (wide ? 4 : 2), value))
  const selectors = [Gdt.DATA0, Gdt.CODE0, Gdt.DATA0, Gdt.DATA0, Gdt.DATA0, 0]
  selectors.slice(0, wide ? 6 : 4).forEach((value, n) => put(segments + n * step, value))
  for (let n = 0; n < 8; n++) rig.state.setGpr32(n, 0xa0 + n)
  rig.state.rsp = 0x8000n
  rig.setFlags(Flag.IF)
  return rig
}
const typeOf = (rig: ProcessorRig, selector: number): number => rig.memory.readU8(gpa(GDT_BASE + selector + 5)) & 15

describe('a far JMP to a TSS', () => {
  it.each([true, false])('saves the old task and loads the new one (32 bits: %s)', (wide) => {
    const rig = twoTasks(wide)
    expect(rig.call('jumpFar', NEW_TSS, 0n, 32, 0x4444)).toBe(RESYNC)
    expect(Array.from({ length: 8 }, (_, n) => rig.state.gpr32(n))).toEqual(REGISTERS)
    expect([rig.state.rip, rig.cpu.flags, rig.selector(Segment.TR), rig.selector(Segment.CS)])
      .toEqual([0x5000n, Flag.CF | 2, NEW_TSS, Gdt.CODE0])
    expect([typeOf(rig, Gdt.TSS), typeOf(rig, NEW_TSS)]).toEqual(wide ? [9, 11] : [9, 3])
    expect(rig.state.cr0 & 8).toBe(8)
    expect(rig.memory.readU32(gpa(TSS_BASE + 0x20))).toBe(0x4444)
    expect(rig.memory.readU32(gpa(TSS_BASE + 0x24))).toBe(Flag.IF | 2)
    expect(rig.memory.readU32(gpa(TSS_BASE + 0x28 + 3 * 4))).toBe(0xa3)
    expect(rig.memory.readU16(gpa(TSS_BASE + 0x4c))).toBe(Gdt.CODE0)
  })

  it('raises a trap for the T bit', () => {
    const rig = twoTasks()
    rig.memory.writeU16(gpa(NEW_BASE + 100), 1)
    rig.call('jumpFar', NEW_TSS, 0n, 32, 0)
    expect(rig.state.blockU32(Block.PENDING_DEBUG)).toBe(0x8000)
  })

  it('enters virtual-8086 mode', () => {
    const rig = twoTasks()
    rig.memory.writeU32(gpa(NEW_BASE + 0x24), Flag.VM | 2)
    rig.call('jumpFar', NEW_TSS, 0n, 32, 0)
    expect([rig.state.cpl, rig.state.segmentBase(Segment.DS), rig.cpu.flags]).toEqual([3, BigInt(Gdt.DATA0 << 4), Flag.VM | 2])
  })
})

describe('nesting', () => {
  it('a CALL links the tasks, and IRET comes back', () => {
    const rig = twoTasks()
    expect(rig.call('callFar', NEW_TSS, 0n, 32, 0x4444)).toBe(RESYNC)
    expect([typeOf(rig, Gdt.TSS), typeOf(rig, NEW_TSS), rig.cpu.flags]).toEqual([11, 11, Flag.CF | Flag.NT | 2])
    expect(rig.memory.readU16(gpa(NEW_BASE))).toBe(Gdt.TSS)
    rig.state.setGpr32(Gpr.RBX, 0x999)
    expect(rig.call('returnFromInterrupt', 32, 0x6666)).toBe(RESYNC)
    expect([rig.state.rip, rig.state.gpr32(Gpr.RBX), rig.cpu.flags, rig.selector(Segment.TR)])
      .toEqual([0x4444n, 0xa3, Flag.IF | 2, Gdt.TSS])
    expect([typeOf(rig, Gdt.TSS), typeOf(rig, NEW_TSS)]).toEqual([11, 9])
    expect(rig.memory.readU32(gpa(NEW_BASE + 0x20))).toBe(0x6666)
    expect(rig.memory.readU32(gpa(NEW_BASE + 0x24)) & Flag.NT).toBe(0)
  })

  it('an interrupt through a task gate pushes the error code on the new stack', () => {
    const rig = twoTasks()
    rig.setIdt(13, gate(5, 0, NEW_TSS, 0))
    rig.setIdt(0x30, gate(5, 0, NEW_TSS, 0))
    rig.state.rip = 0x4444n
    expect(deliverInterrupt(rig.cpu, 0x30)).toBe(true)
    expect([rig.state.rip, rig.state.rsp, rig.cpu.flags & Flag.NT]).toEqual([0x5000n, 0x7000n, Flag.NT])
    rig.call('returnFromInterrupt', 32, 0x5000)
    rig.setIdt(0x31, 0n)
    deliverInterrupt(rig.cpu, 0x31)
    expect([rig.state.rsp, rig.stack(32, 1)[0]]).toEqual([0x6ffcn, 0x31 * 8 + 3])
  })

  it('a task gate in the GDT leads to its TSS', () => {
    const rig = twoTasks()
    rig.setGdt(0x68, gate(5, 0, NEW_TSS, 0))
    expect(rig.call('callFar', 0x68, 0n, 32, 0)).toBe(RESYNC)
    expect(rig.selector(Segment.TR)).toBe(NEW_TSS)
  })
})

describe('checks', () => {
  const before: [string, (rig: ProcessorRig) => void, number, number][] = [
    ['a busy TSS', (rig) => rig.setGdt(NEW_TSS, descriptor(0x8b, 0x67, NEW_BASE)), 13, NEW_TSS],
    ['an absent TSS', (rig) => rig.setGdt(NEW_TSS, descriptor(0x09, 0x67, NEW_BASE)), 11, NEW_TSS],
    ['a TSS that is too short', (rig) => rig.setGdt(NEW_TSS, descriptor(0x89, 0x66, NEW_BASE)), 10, NEW_TSS],
  ]
  it.each(before)('%s leaves the old task running', (_, spoil, vector, code) => {
    const rig = twoTasks()
    spoil(rig)
    expect(rig.call('jumpFar', NEW_TSS, 0n, 32, 0x4444)).toBe(FAULT)
    expect([rig.fault, rig.selector(Segment.TR), rig.memory.readU32(gpa(TSS_BASE + 0x20))]).toEqual([{ vector, code }, Gdt.TSS, 0])
  })

  const after: [string, number, number, number, number][] = [
    ['an LDT in an LDT', 0x60, 0x0c, 10, 0x0c],
    ['an LDT of another type', 0x60, Gdt.DATA0, 10, Gdt.DATA0],
    ['null code', 0x4c, 0, 10, 0],
    ['code that is data', 0x4c, Gdt.DATA0, 10, Gdt.DATA0],
    ['code of another level', 0x4c, Gdt.CODE3 & ~3, 10, Gdt.CODE3 & ~3],
    ['a null stack', 0x50, 0, 10, 0],
    ['a stack of another level', 0x50, Gdt.DATA3, 10, Gdt.DATA3 & ~3],
    ['data beyond the table', 0x54, 0x1000, 10, 0x1000],
    ['a data segment that is a TSS', 0x58, Gdt.TSS, 10, Gdt.TSS],
  ]
  it.each(after)('%s faults in the new task', (_, offset, value, vector, code) => {
    const rig = twoTasks()
    rig.memory.writeU16(gpa(NEW_BASE + offset), value)
    expect([switchTask(rig.cpu, NEW_TSS, 'jump', 0x4444n, -1), rig.cpu.newTaskFault]).toEqual([false, true])
    expect([rig.fault, rig.selector(Segment.TR), rig.state.rip]).toEqual([{ vector, code }, NEW_TSS, 0x5000n])
  })

  it('privilege of TSS and task gate', () => {
    const rig = twoTasks()
    rig.enter(3)
    expect(rig.call('jumpFar', NEW_TSS, 0n, 32, 0)).toBe(FAULT)
    expect(rig.fault).toEqual({ vector: 13, code: NEW_TSS })
    const long = new ProcessorRig().enterLong()
    long.setGdt(NEW_TSS, descriptor(0x89, 0x67, NEW_BASE))
    expect(long.call('jumpFar', NEW_TSS, 0n, 32, 0)).toBe(FAULT)
  })
})
