import { describe, expect, it } from 'vitest'
import { gpa } from '../../base/addresses.ts'
import { Flag } from '../state/flags.ts'
import { Block, Segment, Slot } from '../state/layout.ts'
import type { SegmentIndex } from '../state/layout.ts'
import { GDT_BASE, Gdt, ProcessorRig, descriptor } from '../testing/processor-rig.ts'
import { HelperOutcome } from './outcome.ts'
import { segmentedLinear } from './segmentation.ts'

const { OK, FAULT } = HelperOutcome

describe('segment loads', () => {
  it('in real mode move the base and keep the limit', () => {
    const rig = new ProcessorRig()
    rig.load(Segment.DS, 0, { limit: 0xffffffff, attributes: 0x93 })
    expect(rig.call('moveToSegment', Segment.DS, 0x1234)).toBe(OK)
    expect([rig.state.segmentBase(Segment.DS), rig.state.segmentLimit(Segment.DS)]).toEqual([0x12340n, 0xffffffff])
  })

  it('in virtual-8086 mode set base, limit and attributes', () => {
    const rig = new ProcessorRig()
    rig.enterVirtual(0)
    rig.call('moveToSegment', Segment.ES, 0xb800)
    expect([rig.state.segmentBase(Segment.ES), rig.state.segmentLimit(Segment.ES), rig.state.segmentAttributes(Segment.ES)])
      .toEqual([0xb8000n, 0xffff, 0xf3])
  })

  it('take base, limit and attributes from the descriptor and mark it accessed', () => {
    const rig = new ProcessorRig().protect()
    rig.setGdt(Gdt.FREE, descriptor(0x92, 0x12345, 0x89abcdef, 0xc))
    expect(rig.call('moveToSegment', Segment.FS, Gdt.FREE)).toBe(OK)
    expect([rig.state.segmentBase(Segment.FS), rig.state.segmentLimit(Segment.FS), rig.state.segmentAttributes(Segment.FS)])
      .toEqual([0x89abcdefn, 0x12345fff, 0xc093])
    expect(rig.memory.readU8(gpa(GDT_BASE + Gdt.FREE + 5))).toBe(0x93)
  })

  it('read the LDT, within its limit', () => {
    const rig = new ProcessorRig().protect()
    expect(rig.call('loadLdt', Gdt.LDT)).toBe(OK)
    rig.memory.writeU64(gpa(0x4018), descriptor(0x92, 0xff, 0x500))
    expect(rig.call('moveToSegment', Segment.ES, 0x1c)).toBe(OK)
    expect(rig.state.segmentBase(Segment.ES)).toBe(0x500n)
    expect(rig.call('moveToSegment', Segment.ES, 0x24)).toBe(FAULT)
    expect(rig.fault).toEqual({ vector: 13, code: 0x24 })
    rig.call('loadLdt', 0)
    expect(rig.call('moveToSegment', Segment.ES, 0x1c)).toBe(FAULT)
  })

  const checks: [string, SegmentIndex, number, number, 0 | 3, number, number][] = [
    // name, register, selector, access byte of Gdt.FREE, CPL, vector (0: loads), error code
    ['null SS', Segment.SS, 0, 0x92, 0, 13, 0],
    ['SS of another RPL', Segment.SS, Gdt.FREE | 3, 0x92, 0, 13, Gdt.FREE],
    ['SS of another DPL', Segment.SS, Gdt.FREE, 0xf2, 0, 13, Gdt.FREE],
    ['SS read-only', Segment.SS, Gdt.FREE, 0x90, 0, 13, Gdt.FREE],
    ['SS code', Segment.SS, Gdt.FREE, 0x9a, 0, 13, Gdt.FREE],
    ['SS absent', Segment.SS, Gdt.FREE, 0x12, 0, 12, Gdt.FREE],
    ['SS at level 3', Segment.SS, Gdt.FREE | 3, 0xf2, 3, 0, 0],
    ['null DS', Segment.DS, 2, 0x92, 3, 0, 0],
    ['DS execute-only code', Segment.DS, Gdt.FREE, 0x98, 0, 13, Gdt.FREE],
    ['DS readable code', Segment.DS, Gdt.FREE, 0x9a, 0, 0, 0],
    ['DS system segment', Segment.DS, Gdt.FREE, 0x82, 0, 13, Gdt.FREE],
    ['DS of too high a level', Segment.DS, Gdt.FREE | 3, 0x92, 3, 13, Gdt.FREE],
    ['DS with RPL above DPL', Segment.DS, Gdt.FREE | 3, 0x92, 0, 13, Gdt.FREE],
    ['DS conforming code of a higher level', Segment.DS, Gdt.FREE | 3, 0x9e, 3, 0, 0],
    ['DS absent', Segment.DS, Gdt.FREE, 0x12, 0, 11, Gdt.FREE],
    ['DS beyond the table', Segment.DS, 0x108, 0x92, 0, 13, 0x108],
  ]
  it.each(checks)('check %s', (_, index, selector, access, cpl, vector, code) => {
    const rig = new ProcessorRig().protect(cpl)
    rig.setGdt(Gdt.FREE, descriptor(access, 0xfffff, 0, 0xc))
    const before = rig.selector(index)
    expect(rig.call('moveToSegment', index, selector)).toBe(vector === 0 ? OK : FAULT)
    if (vector !== 0) expect(rig.fault).toEqual({ vector, code })
    expect(rig.selector(index)).toBe(vector === 0 ? selector : before)
  })

  it('allow a null SS in 64-bit mode below level 3 and give null segments a zero base', () => {
    const rig = new ProcessorRig().enterLong()
    rig.state.setSegmentBase(Segment.FS, 0x1234n)
    expect(rig.call('moveToSegment', Segment.SS, 0)).toBe(OK)
    expect(rig.call('moveToSegment', Segment.FS, 0)).toBe(OK)
    expect(rig.state.segmentBase(Segment.FS)).toBe(0n)
    expect(new ProcessorRig().enterLong(3).call('moveToSegment', Segment.SS, 0)).toBe(FAULT)
  })

  it('of SS delay interrupts, of LSS do not', () => {
    const rig = new ProcessorRig().protect()
    rig.call('loadFarPointer', Segment.SS, Gdt.DATA0)
    expect(rig.state.slotU32(Slot.INTERRUPT_SHADOW)).toBe(0)
    rig.call('moveToSegment', Segment.SS, Gdt.DATA0)
    expect(rig.state.slotU32(Slot.INTERRUPT_SHADOW)).toBe(2)
  })
})

describe('data accesses outside 64-bit mode', () => {
  const cases: [string, number, number, number, number, boolean, number][] = [
    // name, attributes, limit, offset, size, write, expected linear (-1: fault)
    ['the last byte', 0x93, 0xff, 0xff, 1, true, 0x100ff],
    ['past the limit', 0x93, 0xff, 0xfe, 4, false, -1],
    ['wrapping around', 0x93, 0xffffffff, 0xfffffffe, 4, false, -1],
    ['expand-down below its limit', 0x97, 0xff, 0xff, 1, false, -1],
    ['expand-down above its limit', 0x97, 0xff, 0x100, 4, true, 0x10100],
    ['expand-down, 16 bits, at its top', 0x97, 0xff, 0xfffe, 4, true, -1],
    ['expand-down, 32 bits', 0x4097, 0xff, 0xfffe, 4, true, 0x1fffe],
    ['a write to read-only data', 0x91, 0xff, 0, 1, true, -1],
    ['a read of read-only data', 0x91, 0xff, 0, 1, false, 0x10000],
    ['a write to code', 0x9b, 0xff, 0, 1, true, -1],
    ['a read of readable code', 0x9b, 0xff, 0, 1, false, 0x10000],
    ['a read of execute-only code', 0x99, 0xff, 0, 1, false, -1],
    ['a null segment', 0, 0xffffffff, 0, 1, false, -1],
  ]
  it.each(cases)('%s', (_, attributes, limit, offset, size, write, expected) => {
    const rig = new ProcessorRig().protect()
    for (const [index, vector] of [[Segment.DS, 13], [Segment.SS, 12]] as const) {
      rig.load(index, 0x10, { base: 0x10000, limit, attributes })
      expect(segmentedLinear(rig.cpu, index, offset, size, write)).toBe(expected)
      if (expected < 0) expect(rig.fault).toEqual({ vector, code: 0 })
      expect(rig.cpu.checkSegment(index, offset, size, write)).toBe(expected >= 0)
    }
  })

  it('do not check types in real mode', () => {
    const rig = new ProcessorRig()
    rig.load(Segment.CS, 0, { limit: 0xffff, attributes: 0x9b })
    expect(segmentedLinear(rig.cpu, Segment.CS, 0x10, 2, true)).toBe(0x10)
  })
})

describe('descriptor inspection', () => {
  const zero = (rig: ProcessorRig): boolean => (rig.cpu.flags & Flag.ZF) !== 0

  it('LAR and LSL answer for what may be seen, by operand size', () => {
    const rig = new ProcessorRig().protect(3)
    rig.call('loadAccessRights', Gdt.DATA3, 0xaaaa_bbbb_cccc_ddddn, 32)
    expect([zero(rig), rig.state.blockU64(Block.RESULT)]).toEqual([true, 0xcff200n])
    rig.call('loadAccessRights', Gdt.DATA3, 0xaaaa_bbbb_cccc_ddddn, 16)
    expect(rig.state.blockU64(Block.RESULT)).toBe(0xaaaa_bbbb_cccc_f200n)
    rig.call('loadSegmentLimit', Gdt.DATA3, 0, 32)
    expect(rig.state.blockU64(Block.RESULT)).toBe(0xffffffffn)
    for (const hidden of [0, Gdt.DATA0, Gdt.DATA0 | 3, 0x108, Gdt.TSS]) {
      rig.call('loadAccessRights', hidden, 0x1_0000_0007n, 32)
      expect([zero(rig), rig.state.blockU64(Block.RESULT)], hidden.toString(16)).toEqual([false, 0x1_0000_0007n])
    }
    rig.call('loadAccessRights', Gdt.CONFORMING | 3, 0, 32)
    expect(zero(rig)).toBe(true)
  })

  it('LAR knows gates, LSL does not', () => {
    const rig = new ProcessorRig().protect()
    rig.setGdt(Gdt.FREE, descriptor(0x8c, 0))
    rig.call('loadAccessRights', Gdt.FREE, 0, 32)
    expect(zero(rig)).toBe(true)
    rig.call('loadSegmentLimit', Gdt.FREE, 0, 32)
    expect(zero(rig)).toBe(false)
  })

  it('VERR and VERW look at readability and writability', () => {
    const rig = new ProcessorRig().protect()
    for (const [access, readable, writable] of [
      [0x90, true, false], [0x92, true, true], [0x98, false, false], [0x9a, true, false], [0x82, false, false],
    ] as const) {
      rig.setGdt(Gdt.FREE, descriptor(access, 0xff))
      rig.call('verifyRead', Gdt.FREE)
      expect(zero(rig)).toBe(readable)
      rig.call('verifyWrite', Gdt.FREE)
      expect(zero(rig)).toBe(writable)
    }
  })
})

describe('descriptor table registers', () => {
  it('LGDT takes 24 bits of base with a 16-bit operand, SGDT stores all', () => {
    const rig = new ProcessorRig().protect()
    rig.memory.writeU16(gpa(0x5000), 0x1ff)
    rig.memory.writeU32(gpa(0x5002), 0x89abcdef)
    expect(rig.call('loadGdt', 0x5000, 16)).toBe(OK)
    expect(rig.state.blockU64(Block.GDTR)).toBe(0xabcdefn)
    rig.call('loadIdt', 0x5000, 32)
    expect(rig.call('storeIdt', 0x6000)).toBe(OK)
    expect([rig.memory.readU16(gpa(0x6000)), rig.memory.readU32(gpa(0x6002))]).toEqual([0x1ff, 0x89abcdef])
  })

  it('LTR marks an available TSS busy, once', () => {
    const rig = new ProcessorRig().protect()
    expect(rig.call('loadTaskRegister', Gdt.TSS)).toBe(FAULT)
    expect(rig.fault).toEqual({ vector: 13, code: Gdt.TSS })
    rig.setGdt(Gdt.TSS, descriptor(0x89, 0x67, 0x3000))
    expect(rig.call('loadTaskRegister', Gdt.TSS)).toBe(OK)
    expect(rig.memory.readU8(gpa(GDT_BASE + Gdt.TSS + 5))).toBe(0x8b)
    rig.setGdt(Gdt.TSS, descriptor(0x09, 0x67, 0x3000))
    rig.call('loadTaskRegister', Gdt.TSS)
    expect(rig.fault).toEqual({ vector: 11, code: Gdt.TSS })
  })

  it('long mode has descriptors of 16 bytes', () => {
    const rig = new ProcessorRig().enterLong()
    rig.setGdt(Gdt.FREE, descriptor(0x89, 0x67, 0x3000))
    rig.setGdt(Gdt.FREE + 8, 0xffff8000n)
    expect(rig.call('loadTaskRegister', Gdt.FREE)).toBe(OK)
    expect(rig.state.blockU64(Block.TR_BASE)).toBe(0xffff8000_00003000n)
    rig.setGdt(Gdt.FREE, descriptor(0x89, 0x67, 0x3000))
    rig.setGdt(Gdt.FREE + 8, 0x0000_0100_0000_0000n)
    expect(rig.call('loadTaskRegister', Gdt.FREE)).toBe(FAULT)
  })

  it('are for level 0; with UMIP, so is storing them', () => {
    const rig = new ProcessorRig().protect(3)
    for (const name of ['loadGdt', 'loadIdt', 'loadLdt', 'loadTaskRegister'] as const) expect(rig.call(name, 0x5000, 32))
      .toBe(FAULT)
    for (const name of ['storeGdt', 'storeIdt', 'storeLdt', 'storeTaskRegister', 'storeMachineStatus'] as const) {
      rig.state.setBlockU64(Block.CR4, 0n)
      expect(rig.call(name, 0x5000)).toBe(OK)
      rig.state.setBlockU64(Block.CR4, 0x800n)
      expect(rig.call(name, 0x5000)).toBe(FAULT)
      expect(rig.fault).toEqual({ vector: 13, code: 0 })
    }
  })
})
