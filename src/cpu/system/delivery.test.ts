import { describe, expect, it } from 'vitest'
import { gpa } from '../../base/addresses.ts'
import { Vector } from '../mmu/faults.ts'
import { Flag } from '../state/flags.ts'
import { Block, Segment, Slot } from '../state/layout.ts'
import { Gdt, ProcessorRig, STACK0, STACK3, TSS_BASE, descriptor, gate } from '../testing/processor-rig.ts'
import { deliver, deliverFault, deliverInterrupt } from './delivery.ts'
import { EventKind, combine } from './event.ts'
import { Activity } from './events.ts'
import { HelperOutcome } from './outcome.ts'

const INTERRUPT32 = 14, TRAP32 = 15, INTERRUPT16 = 6, TRAP16 = 7

describe('real mode', () => {
  it('goes through the vector table and pushes FLAGS, CS and IP', () => {
    const rig = new ProcessorRig()
    rig.load(Segment.CS, 0x1000, { base: 0x10000, limit: 0xffff, attributes: 0x93 })
    rig.memory.writeU32(gpa(0x21 * 4), 0x2000_0123)
    rig.state.rsp = 0x8000n
    rig.state.rip = 0x55n
    rig.setFlags(Flag.IF | Flag.TF | Flag.CF)
    expect(rig.call('softwareInterrupt', 0x21, 0x57)).toBe(HelperOutcome.RESYNC)
    expect([rig.selector(Segment.CS), rig.state.segmentBase(Segment.CS), rig.state.rip]).toEqual([0x2000, 0x20000n, 0x123n])
    expect(rig.stack(16, 3)).toEqual([0x57, 0x1000, Flag.IF | Flag.TF | Flag.CF | 2])
    expect(rig.cpu.flags).toBe(Flag.CF | 2)
  })

  it('pushes no error code, and shuts down when the table is too short', () => {
    const rig = new ProcessorRig()
    rig.state.rsp = 0x8000n
    rig.memory.writeU32(gpa(13 * 4), 0x0000_0500)
    rig.cpu.fault(Vector.GP, 0)
    expect(deliverFault(rig.cpu)).toBe(true)
    expect([rig.state.rip, rig.state.rsp]).toEqual([0x500n, 0x7ffan])
    rig.state.setBlockU32(Block.IDTR + 8, 3)
    rig.cpu.fault(Vector.UD)
    expect(deliverFault(rig.cpu)).toBe(false)
    expect(rig.state.blockU32(Block.HALTED)).toBe(Activity.SHUTDOWN)
  })
})

describe('protected mode', () => {
  it('stays on the stack at the same level; interrupt gates clear IF, trap gates keep it', () => {
    for (const [type, flagsAfter] of [[INTERRUPT32, 2], [TRAP32, 2 | Flag.IF]]) {
      const rig = new ProcessorRig().protect()
      rig.setIdt(0x30, gate(type, 0, Gdt.CODE0, 0x123456))
      rig.state.rip = 0x4000n
      rig.setFlags(Flag.IF | Flag.TF | Flag.NT)
      expect(deliverInterrupt(rig.cpu, 0x30)).toBe(true)
      expect(rig.stack(32, 3)).toEqual([0x4000, Gdt.CODE0, 2 | Flag.IF | Flag.TF | Flag.NT])
      expect([rig.state.rip, rig.state.rsp, rig.cpu.flags]).toEqual([0x123456n, BigInt(STACK0 - 12), flagsAfter])
    }
  })

  it('takes the inner stack from the TSS and pushes the outer one, the error code last', () => {
    const rig = new ProcessorRig().protect(3)
    rig.setIdt(13, gate(INTERRUPT32, 0, Gdt.CODE0, 0x5000))
    rig.state.rip = 0x4000n
    rig.setFlags(Flag.IF)
    rig.cpu.fault(Vector.GP, 0x18)
    expect(deliverFault(rig.cpu)).toBe(true)
    expect(rig.stack(32, 6)).toEqual([0x18, 0x4000, Gdt.CODE3, 2 | Flag.IF | Flag.RF, STACK3, Gdt.DATA3])
    expect([rig.selector(Segment.CS), rig.selector(Segment.SS), rig.state.cpl, rig.state.rip])
      .toEqual([Gdt.CODE0, Gdt.DATA0, 0, 0x5000n])
    expect(rig.memory.readU8(gpa(0x1000 + Gdt.CODE0 + 5)) & 1).toBe(1)
  })

  it('uses 16-bit gates and 16-bit TSS stacks', () => {
    const rig = new ProcessorRig().protect(3)
    rig.load(Segment.TR, Gdt.TSS, { base: TSS_BASE, limit: 0x2b, attributes: 0x83 })
    rig.memory.writeU16(gpa(TSS_BASE + 2), 0x7000)
    rig.memory.writeU16(gpa(TSS_BASE + 4), Gdt.DATA16)
    rig.setIdt(0x40, gate(TRAP16, 3, Gdt.CODE16, 0x99991234))
    rig.state.rip = 0x4321n
    expect(rig.call('softwareInterrupt', 0x40, 0x4323)).toBe(HelperOutcome.RESYNC)
    expect(rig.state.rip).toBe(0x1234n)
    expect(rig.state.rsp & 0xffffn).toBe(0x6ff6n)
    expect(rig.stack(16, 5, 0x6ff6n)).toEqual([0x4323, Gdt.CODE3, 2, STACK3, Gdt.DATA3])
    rig.setIdt(0x41, gate(INTERRUPT16, 0, Gdt.CODE16, 0x10))
    expect(deliverInterrupt(rig.cpu, 0x41)).toBe(true)
    expect(rig.state.rsp & 0xffffn).toBe(0x6ff0n)
  })

  const refusals: [string, (rig: ProcessorRig) => void, number, number, number][] = [
    ['a vector beyond the IDT', (rig) => rig.state.setBlockU32(Block.IDTR + 8, 0x7f), EventKind.EXTERNAL, 13, 0x30 * 8 + 3],
    ['a gate of another type', (rig) => rig.setIdt(0x30, gate(12, 0, Gdt.CODE0, 0)), EventKind.EXTERNAL, 13, 0x30 * 8 + 3],
    ['INT n to a gate of too low a DPL',
      (rig) => rig.setIdt(0x30, gate(14, 0, Gdt.CODE0, 0)), EventKind.SOFTWARE, 13, 0x30 * 8 + 2],
    ['a gate that is not present',
      (rig) => rig.setIdt(0x30, gate(14, 3, Gdt.CODE0, 0) & ~(0x80n << 40n)), EventKind.SOFTWARE, 11, 0x30 * 8 + 2],
    ['a null code selector', (rig) => rig.setIdt(0x30, gate(14, 3, 3, 0)), EventKind.EXTERNAL, 13, 1],
    ['a data segment as code', (rig) => rig.setIdt(0x30, gate(14, 3, Gdt.DATA0, 0)), EventKind.EXTERNAL, 13, Gdt.DATA0 + 1],
    ['a selector beyond the GDT', (rig) => rig.setIdt(0x30, gate(14, 3, 0x1000, 0)), EventKind.EXTERNAL, 13, 0x1001],
    ['absent code', (rig) => rig.setGdt(Gdt.CODE0, descriptor(0x1a, 0xfffff, 0, 0xc)), EventKind.EXTERNAL, 11, Gdt.CODE0 + 1],
    ['a target beyond the limit', (rig) => rig.setGdt(Gdt.CODE0, descriptor(0x9a, 0xff, 0, 4)), EventKind.EXTERNAL, 13, 1],
    ['a TSS that is too short',
      (rig) => rig.load(Segment.TR, Gdt.TSS, { base: TSS_BASE, limit: 6, attributes: 0x8b }), EventKind.EXTERNAL, 10, Gdt.TSS + 1],
    ['a null inner stack', (rig) => rig.memory.writeU16(gpa(TSS_BASE + 8), 0), EventKind.EXTERNAL, 10, 1],
    ['an inner stack of the wrong level',
      (rig) => rig.memory.writeU16(gpa(TSS_BASE + 8), Gdt.DATA3), EventKind.EXTERNAL, 10, (Gdt.DATA3 & ~3) + 1],
    ['an absent inner stack',
      (rig) => rig.setGdt(Gdt.DATA0, descriptor(0x12, 0xfffff, 0, 0xc)), EventKind.EXTERNAL, 12, Gdt.DATA0 + 1],
    ['an inner stack without room',
      (rig) => rig.setGdt(Gdt.DATA0, descriptor(0x92, 0xff, 0, 4)), EventKind.EXTERNAL, 12, Gdt.DATA0 + 1],
  ]
  it.each(refusals)('raises an exception for %s', (_, spoil, kind, vector, code) => {
    const rig = new ProcessorRig().protect(3)
    rig.setIdt(0x30, gate(14, 3, Gdt.CODE0, 0x1000))
    // The exception that takes its place goes to a conforming segment, which needs no other stack.
    for (const other of [10, 11, 12, 13]) rig.setIdt(other, gate(14, 0, Gdt.CONFORMING, 0x1000 + other))
    spoil(rig)
    rig.state.rip = 0x4000n
    expect(deliver(rig.cpu, { vector: 0x30, kind: kind as 1 | 4, errorCode: -1, returnRip: 0x4002n })).toBe(true)
    expect(rig.state.rip).toBe(BigInt(0x1000 + vector))
    expect(rig.stack(32, 2)).toEqual([code, 0x4000])
  })

  it('delivers a page fault with its address in CR2', () => {
    const rig = new ProcessorRig().protect()
    rig.setIdt(14, gate(14, 0, Gdt.CODE0, 0x1000))
    rig.cpu.fault(Vector.PF, 7)
    rig.state.setSlotU64(Slot.FAULT_ADDRESS, 0x12345678n)
    deliverFault(rig.cpu)
    expect(rig.state.blockU64(Block.CR2)).toBe(0x12345678n)
    expect(rig.stack(32, 1)).toEqual([7])
  })
})

describe('virtual-8086 mode', () => {
  it('leaves for level 0 with all segment registers on the stack, and comes back', () => {
    const rig = new ProcessorRig()
    rig.enterVirtual(3)
    rig.setIdt(0x30, gate(14, 3, Gdt.CODE0, 0x5000))
    rig.state.rip = 0x10n
    const flags = Flag.VM | Flag.IF | Flag.IOPL | 2
    expect(rig.call('softwareInterrupt', 0x30, 0x12)).toBe(HelperOutcome.RESYNC)
    expect(rig.stack(32, 9)).toEqual([0x12, 0x100, flags, 0x100, 0x200, 0x300, 0x303, 0x304, 0x305])
    expect([Segment.ES, Segment.DS, Segment.FS, Segment.GS].map((index) => rig.selector(index))).toEqual([0, 0, 0, 0])
    expect([rig.state.cpl, rig.cpu.flags & Flag.VM]).toEqual([0, 0])
    expect(rig.call('returnFromInterrupt', 32, 0)).toBe(HelperOutcome.RESYNC)
    expect([rig.cpu.flags, rig.state.cpl, rig.state.rip, rig.state.rsp]).toEqual([flags, 3, 0x12n, 0x100n])
    expect([Segment.ES, Segment.CS, Segment.SS, Segment.DS, Segment.FS, Segment.GS].map((index) => rig.selector(index)))
      .toEqual([0x300, 0x100, 0x200, 0x303, 0x304, 0x305])
    expect(rig.state.segmentBase(Segment.GS)).toBe(0x3050n)
  })

  it('makes INT n a general protection fault below IOPL 3, and refuses other targets than level 0', () => {
    const rig = new ProcessorRig()
    rig.enterVirtual(0)
    expect(rig.call('softwareInterrupt', 0x30, 0x12)).toBe(HelperOutcome.FAULT)
    expect(rig.fault).toEqual({ vector: 13, code: 0 })
    rig.setIdt(0x30, gate(14, 3, Gdt.CONFORMING, 0x5000))
    rig.setIdt(13, gate(14, 0, Gdt.CODE0, 0x6000))
    deliverInterrupt(rig.cpu, 0x30)
    expect(rig.state.rip).toBe(0x6000n)
    expect(rig.stack(32, 1)).toEqual([Gdt.CONFORMING + 1])
  })

  it('redirects INT n to the 8086 program with VME, and virtualises its interrupt flag', () => {
    const rig = new ProcessorRig()
    rig.enterVirtual(0)
    rig.state.setBlockU64(Block.CR4, 1n)
    rig.memory.writeU32(gpa(0x21 * 4), 0x0500_0040)
    rig.setFlags(Flag.VM | Flag.IF | Flag.VIF)
    expect(rig.call('softwareInterrupt', 0x21, 0x12)).toBe(HelperOutcome.RESYNC)
    expect([rig.selector(Segment.CS), rig.state.rip]).toEqual([0x500, 0x40n])
    expect(rig.stack(16, 3, 0x20fan)).toEqual([0x12, 0x100, 2 | Flag.IF | Flag.IOPL])
    expect(rig.cpu.flags).toBe(Flag.VM | Flag.IF | 2)
    rig.memory.writeU16(gpa(TSS_BASE + 0x68 - 32 + 4), 2)
    expect(rig.call('softwareInterrupt', 0x21, 0x12)).toBe(HelperOutcome.FAULT)
    expect(rig.fault).toEqual({ vector: 13, code: 0 })
    expect(rig.call('returnFromInterrupt', 16, 0)).toBe(HelperOutcome.RESYNC)
    expect([rig.cpu.flags & Flag.VIF, rig.state.rip]).toEqual([Flag.VIF, 0x12n])
  })
})

describe('long mode', () => {
  it('aligns the stack, pushes SS and RSP always, and keeps SS at the same level', () => {
    const rig = new ProcessorRig().enterLong()
    rig.setLongIdt(0x30, 14, 0, Gdt.CODE64, 0xffff_8000_0000_1234n)
    rig.state.rsp = 0x8007n
    rig.state.rip = 0xffff_ffff_8000_0000n
    rig.setFlags(Flag.IF)
    expect(deliverInterrupt(rig.cpu, 0x30)).toBe(true)
    expect(rig.state.rsp).toBe(0x8000n - 40n)
    expect(rig.linear.read64(rig.state.rsp)).toBe(0xffff_ffff_8000_0000n)
    expect(rig.stack(64, 4, rig.state.rsp + 8n)).toEqual([Gdt.CODE64, 2 | Flag.IF, 0x8007, Gdt.DATA0])
    expect([rig.state.rip, rig.selector(Segment.SS)]).toEqual([0xffff_8000_0000_1234n, Gdt.DATA0])
  })

  it('switches to the TSS stack with a null SS, or to an interrupt stack', () => {
    for (const [stack, top] of [[0, STACK0], [3, 0x7100]]) {
      const rig = new ProcessorRig().enterLong(3)
      rig.memory.writeU64(gpa(TSS_BASE + 0x24 + 16), 0x7100n)
      rig.setLongIdt(14, 14, 0, Gdt.CODE64, 0x5000n, stack)
      rig.state.rip = 0x4000n
      rig.cpu.fault(Vector.PF, 4)
      expect(deliverFault(rig.cpu)).toBe(true)
      expect(rig.state.rsp).toBe(BigInt(top - 48))
      expect(rig.stack(64, 6)).toEqual([4, 0x4000, Gdt.CODE64_3, 2 | Flag.RF, STACK3, Gdt.DATA3])
      expect([rig.selector(Segment.SS), rig.state.cpl]).toEqual([0, 0])
      expect(rig.call('returnFromInterrupt', 64, 0)).toBe(HelperOutcome.FAULT)
      rig.state.rsp += 8n
      expect(rig.call('returnFromInterrupt', 64, 0)).toBe(HelperOutcome.RESYNC)
      expect([rig.state.rip, rig.state.rsp, rig.state.cpl, rig.selector(Segment.SS)])
        .toEqual([0x4000n, BigInt(STACK3), 3, Gdt.DATA3])
    }
  })

  it.each([
    ['code that is not 64-bit', Gdt.CODE0, 0x1000n, 13, Gdt.CODE0 + 1],
    ['a non-canonical target', Gdt.CODE64, 0x8000_0000_0000n, 13, 1],
  ])('refuses %s', (_, selector, offset, vector, code) => {
    const rig = new ProcessorRig().enterLong()
    rig.setLongIdt(0x30, 14, 0, selector, offset)
    rig.setLongIdt(13, 14, 0, Gdt.CODE64, 0x6000n)
    deliverInterrupt(rig.cpu, 0x30)
    expect([rig.state.rip, vector]).toEqual([0x6000n, 13])
    expect(rig.stack(64, 1)).toEqual([code])
  })
})

describe('double and triple faults', () => {
  it('combine as in SDM Vol. 3A table 6-5', () => {
    const exception = (vector: number) => ({ vector, kind: EventKind.EXCEPTION, errorCode: -1, returnRip: 0n })
    const kinds = { benign: [1, 6, 7, 16, 17, 19], contributory: [0, 10, 11, 12, 13], page: [14] }
    const expected: Record<string, string> = {
      'benign benign': 'serial', 'benign contributory': 'serial', 'benign page': 'serial',
      'contributory benign': 'serial', 'contributory contributory': 'double', 'contributory page': 'serial',
      'page benign': 'serial', 'page contributory': 'double', 'page page': 'double',
    }
    for (const [first, firsts] of Object.entries(kinds)) for (const [second, seconds] of Object.entries(kinds)) {
      for (const a of firsts) for (const b of seconds) expect(combine(exception(a), b), `${a} ${b}`)
        .toBe(expected[`${first} ${second}`])
    }
    expect(combine(exception(8), 13)).toBe('shutdown')
    expect(combine({ vector: 13, kind: EventKind.EXTERNAL, errorCode: -1, returnRip: 0n }, 13)).toBe('serial')
  })

  it('deliver a double fault with error code 0, then shut down', () => {
    const rig = new ProcessorRig().protect()
    rig.setIdt(8, gate(14, 0, Gdt.CODE0, 0x8888))
    rig.cpu.fault(Vector.GP, 0)
    expect(deliverFault(rig.cpu)).toBe(true)
    expect([rig.state.rip, rig.stack(32, 1)[0]]).toEqual([0x8888n, 0])
    rig.setIdt(8, 0n)
    rig.cpu.fault(Vector.GP, 0)
    expect(deliverFault(rig.cpu)).toBe(false)
  })
})
