import { describe, expect, it } from 'vitest'
import { gpa } from '../../base/addresses.ts'
import { Flag } from '../state/flags.ts'
import { Block, Gpr, Segment } from '../state/layout.ts'
import { Gdt, ProcessorRig, STACK0, STACK3, descriptor, gate } from '../testing/processor-rig.ts'
import { HelperOutcome } from './outcome.ts'

const { FAULT, RESYNC } = HelperOutcome
const CALL_GATE16 = 4, CALL_GATE32 = 12

describe('far JMP', () => {
  it('in real mode', () => {
    const rig = new ProcessorRig()
    expect(rig.call('jumpFar', 0xf000, 0x1_e05bn, 16, 0)).toBe(RESYNC)
    expect([rig.selector(Segment.CS), rig.state.segmentBase(Segment.CS), rig.state.rip]).toEqual([0xf000, 0xf0000n, 0xe05bn])
    expect(rig.call('jumpFar', 0xf000, 0x1_0000n, 32, 0)).toBe(FAULT)
  })

  it('enters 16-bit, 32-bit and 64-bit code', () => {
    for (const [selector, attributes] of [[Gdt.CODE16, 0x9b], [Gdt.CODE0, 0xc09b], [Gdt.CODE64, 0xa09b]]) {
      const rig = new ProcessorRig().enterLong()
      expect(rig.call('jumpFar', selector, 0x1234n, 32, 0)).toBe(RESYNC)
      expect([rig.state.segmentAttributes(Segment.CS), rig.state.rip]).toEqual([attributes, 0x1234n])
    }
  })

  const refusals: [string, number, 0 | 3, bigint, number, number][] = [
    ['null', 0, 0, 0n, 13, 0],
    ['data', Gdt.DATA0, 0, 0n, 13, Gdt.DATA0],
    ['code of another level', Gdt.CODE3, 0, 0n, 13, Gdt.CODE3 & ~3],
    ['inner code', Gdt.CODE0 | 3, 3, 0n, 13, Gdt.CODE0],
    ['an offset past the limit', Gdt.CODE16, 0, 0x10000n, 13, 0],
    ['a system segment that is no gate', Gdt.LDT, 0, 0n, 13, Gdt.LDT],
    ['absent code', Gdt.FREE, 0, 0n, 11, Gdt.FREE],
  ]
  it.each(refusals)('refuses %s', (_, selector, cpl, offset, vector, code) => {
    const rig = new ProcessorRig().protect(cpl)
    rig.setGdt(Gdt.FREE, descriptor(0x1a, 0xffff))
    expect(rig.call('jumpFar', selector, offset, 32, 0)).toBe(FAULT)
    expect(rig.fault).toEqual({ vector, code })
  })

  it('keeps CPL in conforming code', () => {
    const rig = new ProcessorRig().protect(3)
    expect(rig.call('jumpFar', Gdt.CONFORMING, 0x10n, 32, 0)).toBe(RESYNC)
    expect([rig.selector(Segment.CS), rig.state.cpl]).toEqual([Gdt.CONFORMING | 3, 3])
  })

  it('through a call gate goes to code of the same level only', () => {
    const rig = new ProcessorRig().protect()
    rig.setGdt(Gdt.FREE, gate(CALL_GATE32, 0, Gdt.CODE0, 0x12345678))
    expect(rig.call('jumpFar', Gdt.FREE, 0n, 32, 0)).toBe(RESYNC)
    expect(rig.state.rip).toBe(0x12345678n)
    rig.enter(3)
    rig.setGdt(Gdt.FREE, gate(CALL_GATE32, 3, Gdt.CODE0, 0x12345678))
    expect(rig.call('jumpFar', Gdt.FREE | 3, 0n, 32, 0)).toBe(FAULT)
    expect(rig.fault).toEqual({ vector: 13, code: Gdt.CODE0 })
  })
})

describe('far CALL and RET', () => {
  it('at one level push and pop CS and the pointer', () => {
    for (const bits of [16, 32] as const) {
      const rig = new ProcessorRig().protect()
      expect(rig.call('callFar', Gdt.CODE0, 0x1000n, bits, 0x444)).toBe(RESYNC)
      expect(rig.stack(bits, 2)).toEqual([0x444, Gdt.CODE0])
      expect(rig.call('returnFar', bits, 8)).toBe(RESYNC)
      expect([rig.state.rip, rig.state.rsp]).toEqual([0x444n, BigInt(STACK0 + 8)])
    }
  })

  it('through a gate to an inner level copy parameters, and come back releasing both copies', () => {
    for (const [type, bits] of [[CALL_GATE16, 16], [CALL_GATE32, 32]] as const) {
      const rig = new ProcessorRig().protect(3)
      rig.setGdt(Gdt.FREE, gate(type, 3, Gdt.CODE0, 0x5000, 2))
      for (let n = 0; n < 2; n++) rig.linear.write(BigInt(STACK3 + n * bits / 8), bits, BigInt(0x11 + n))
      expect(rig.call('callFar', Gdt.FREE | 3, 0x9999n, bits, 0x444)).toBe(RESYNC)
      expect(rig.stack(bits, 6)).toEqual([0x444, Gdt.CODE3, 0x11, 0x12, STACK3, Gdt.DATA3])
      expect([rig.state.cpl, rig.state.rip, rig.selector(Segment.CS), rig.selector(Segment.SS)])
        .toEqual([0, 0x5000n, Gdt.CODE0, Gdt.DATA0])
      rig.call('moveToSegment', Segment.FS, Gdt.DATA0)
      expect(rig.call('returnFar', bits, 2 * bits / 8)).toBe(RESYNC)
      expect([rig.state.cpl, rig.state.rip, rig.state.rsp]).toEqual([3, 0x444n, BigInt(STACK3 + 2 * bits / 8)])
      expect([rig.selector(Segment.SS), rig.selector(Segment.FS), rig.selector(Segment.DS)]).toEqual([Gdt.DATA3, 0, Gdt.DATA3])
    }
  })

  it('through a 64-bit gate push 8-byte slots and leave SS null', () => {
    const rig = new ProcessorRig().enterLong(3)
    rig.setGdt(Gdt.FREE, gate(CALL_GATE32, 3, Gdt.CODE64, 0x5000))
    rig.setGdt(Gdt.FREE + 8, 0xffff8000n)
    expect(rig.call('callFar', Gdt.FREE | 3, 0n, 32, 0x444)).toBe(RESYNC)
    expect(rig.state.rip).toBe(0xffff8000_00005000n)
    expect(rig.stack(64, 4)).toEqual([0x444, Gdt.CODE64_3, STACK3, Gdt.DATA3])
    expect(rig.selector(Segment.SS)).toBe(0)
    expect(rig.call('returnFar', 64, 0)).toBe(RESYNC)
    expect([rig.state.cpl, rig.state.rsp, rig.selector(Segment.SS)]).toEqual([3, BigInt(STACK3), Gdt.DATA3])
  })

  it('refuse gates and returns that break privilege', () => {
    const rig = new ProcessorRig().protect(3)
    rig.setGdt(Gdt.FREE, gate(CALL_GATE32, 0, Gdt.CODE0, 0))
    expect(rig.call('callFar', Gdt.FREE, 0n, 32, 0)).toBe(FAULT)
    expect(rig.fault).toEqual({ vector: 13, code: Gdt.FREE })
    rig.linear.write32(BigInt(STACK3 + 4), Gdt.CODE0)
    expect(rig.call('returnFar', 32, 0)).toBe(FAULT)
    expect(rig.fault).toEqual({ vector: 13, code: Gdt.CODE0 })
    expect(rig.state.rsp).toBe(BigInt(STACK3))
  })
})

describe('IRET', () => {
  const frame = (rig: ProcessorRig, bits: 16 | 32 | 64, values: number[]): void =>
    values.forEach((value, n) => {
      rig.linear.write(rig.state.rsp + BigInt(n * bits / 8), bits, BigInt(value), rig.mmu.supervisorContext)
    })

  it('in real mode restores IP, CS and FLAGS', () => {
    const rig = new ProcessorRig()
    rig.state.rsp = 0x8000n
    rig.setFlags(Flag.AC)
    frame(rig, 16, [0x10, 0x2000, 0xffff])
    expect(rig.call('returnFromInterrupt', 16, 0)).toBe(RESYNC)
    expect([rig.state.rip, rig.selector(Segment.CS), rig.cpu.flags]).toEqual([0x10n, 0x2000, Flag.AC | 0x7fd7])
  })

  it('restores only the flags that the level may change', () => {
    for (const [cpl, iopl, expected] of [
      [0, 0, Flag.IF | Flag.IOPL | Flag.ID | Flag.VIF], [3, 0, Flag.ID], [3, 3, Flag.IF | Flag.IOPL | Flag.ID],
    ] as const) {
      const rig = new ProcessorRig().protect(cpl)
      rig.setFlags(iopl << 12)
      frame(rig, 32, [0x10, cpl === 0 ? Gdt.CODE0 : Gdt.CODE3, Flag.IF | Flag.IOPL | Flag.ID | Flag.VIF])
      expect(rig.call('returnFromInterrupt', 32, 0)).toBe(RESYNC)
      expect(rig.cpu.flags).toBe(expected | 2)
    }
  })

  it('returns to an outer level, dropping segments that it may not use', () => {
    const rig = new ProcessorRig().protect()
    frame(rig, 32, [0x10, Gdt.CODE3, 0x202, 0x9ff0, Gdt.DATA3])
    rig.call('moveToSegment', Segment.ES, Gdt.DATA3)
    expect(rig.call('returnFromInterrupt', 32, 0)).toBe(RESYNC)
    expect([rig.state.cpl, rig.state.rsp, rig.selector(Segment.SS), rig.selector(Segment.DS), rig.selector(Segment.ES)])
      .toEqual([3, 0x9ff0n, Gdt.DATA3, 0, Gdt.DATA3])
  })

  it('in 64-bit mode always pops SS:RSP, allows a null SS below level 3, and keeps a null segment\'s base', () => {
    const rig = new ProcessorRig().enterLong()
    rig.call('moveToSegment', Segment.FS, 0)
    rig.state.setSegmentBase(Segment.FS, 0x7000_0000_0000n)
    frame(rig, 64, [0x10, Gdt.CODE64, 2, 0x7777, 0])
    expect(rig.call('returnFromInterrupt', 64, 0)).toBe(RESYNC)
    expect([rig.state.rsp, rig.selector(Segment.SS)]).toEqual([0x7777n, 0])
    rig.state.rsp = 0x8000n
    frame(rig, 64, [0x10, Gdt.CODE64_3, 2, 0x7777, Gdt.DATA3])
    expect(rig.call('returnFromInterrupt', 64, 0)).toBe(RESYNC)
    expect([rig.state.cpl, rig.state.segmentBase(Segment.FS)]).toEqual([3, 0x7000_0000_0000n])
  })

  it('refuses NT in long mode, and a non-canonical pointer', () => {
    const rig = new ProcessorRig().enterLong()
    rig.setFlags(Flag.NT)
    expect(rig.call('returnFromInterrupt', 64, 0)).toBe(FAULT)
    rig.setFlags(0)
    rig.linear.write64(rig.state.rsp, 0x8000_0000_0000n)
    rig.linear.write64(rig.state.rsp + 8n, BigInt(Gdt.CODE64))
    rig.linear.write64(rig.state.rsp + 32n, BigInt(Gdt.DATA0))
    expect(rig.call('returnFromInterrupt', 64, 0)).toBe(FAULT)
    expect(rig.fault).toEqual({ vector: 13, code: 0 })
  })

  it('ends the blocking of NMIs', () => {
    const rig = new ProcessorRig().protect()
    rig.state.setBlockU32(Block.NMI_BLOCKED, 1)
    frame(rig, 32, [0x10, Gdt.CODE0, 2])
    rig.call('returnFromInterrupt', 32, 0)
    expect(rig.state.blockU32(Block.NMI_BLOCKED)).toBe(0)
  })
})

describe('SYSCALL and SYSRET', () => {
  it('switch to the kernel and back', () => {
    const rig = new ProcessorRig().enterLong(3)
    const { state } = rig
    state.setBlockU64(Block.STAR, 0x0023_0010_0000_0000n)
    state.setBlockU64(Block.LSTAR, 0xffffffff81000000n)
    state.setBlockU64(Block.FMASK, BigInt(Flag.IF | Flag.DF))
    rig.setFlags(Flag.IF | Flag.DF | Flag.CF)
    expect(rig.call('systemCall', 0x400123)).toBe(RESYNC)
    expect([state.gpr(Gpr.RCX), state.gpr(Gpr.R11), state.rip])
      .toEqual([0x400123n, BigInt(Flag.IF | Flag.DF | Flag.CF | 2), 0xffffffff81000000n])
    expect([rig.selector(Segment.CS), rig.selector(Segment.SS), state.cpl, rig.cpu.flags]).toEqual([0x10, 0x18, 0, Flag.CF | 2])
    expect(rig.call('systemReturn', 64)).toBe(RESYNC)
    expect([rig.selector(Segment.CS), rig.selector(Segment.SS), state.cpl, state.rip]).toEqual([0x33, 0x2b, 3, 0x400123n])
    expect(rig.cpu.flags).toBe(Flag.IF | Flag.DF | Flag.CF | 2)
    expect(rig.call('systemReturn', 64)).toBe(FAULT)
    expect(rig.fault.vector).toBe(13)
    state.setBlockU64(Block.EFER, 0xd00n)
    expect(rig.call('systemCall', 0)).toBe(FAULT)
    expect(rig.fault.vector).toBe(6)
  })

  it('return to compatibility mode with a 32-bit operand', () => {
    const rig = new ProcessorRig().enterLong()
    rig.state.setBlockU64(Block.STAR, 0x0023_0010_0000_0000n)
    rig.state.setGpr(Gpr.RCX, 0xffff_ffff_0804_8000n)
    rig.call('systemReturn', 32)
    expect([rig.selector(Segment.CS), rig.state.segmentAttributes(Segment.CS), rig.state.rip]).toEqual([0x23, 0xc0fb, 0x8048000n])
  })
})

describe('SYSENTER and SYSEXIT', () => {
  it('use fixed offsets from IA32_SYSENTER_CS', () => {
    const rig = new ProcessorRig().protect(3)
    const { state } = rig
    expect(rig.call('systemEnter')).toBe(FAULT)
    state.setBlockU64(Block.SYSENTER_CS, 0x60n)
    state.setBlockU64(Block.SYSENTER_ESP, 0x7000n)
    state.setBlockU64(Block.SYSENTER_EIP, 0x5000n)
    rig.setFlags(Flag.IF)
    expect(rig.call('systemEnter')).toBe(RESYNC)
    expect([rig.selector(Segment.CS), rig.selector(Segment.SS), state.cpl, state.rip, state.rsp, rig.cpu.flags])
      .toEqual([0x60, 0x68, 0, 0x5000n, 0x7000n, 2])
    state.setGpr(Gpr.RDX, 0x1234n)
    state.setGpr(Gpr.RCX, 0x9000n)
    expect(rig.call('systemExit', 32)).toBe(RESYNC)
    expect([rig.selector(Segment.CS), rig.selector(Segment.SS), state.cpl, state.rip, state.rsp])
      .toEqual([0x73, 0x7b, 3, 0x1234n, 0x9000n])
    expect(rig.call('systemExit', 32)).toBe(FAULT)
  })
})

describe('ENTER', () => {
  it('makes a frame, and copies the display of outer procedures', () => {
    const rig = new ProcessorRig().protect()
    rig.state.setGpr(Gpr.RBP, 0x8100n)
    expect(rig.call('enterFrame', 32, 0x20, 0)).toBe(HelperOutcome.OK)
    expect([rig.state.gpr(Gpr.RBP), rig.state.rsp]).toEqual([BigInt(STACK0 - 4), BigInt(STACK0 - 0x24)])
    rig.state.rsp = BigInt(STACK0)
    rig.state.setGpr(Gpr.RBP, 0x8100n)
    rig.memory.writeU32(gpa(0x80fc), 0xaaaa)
    rig.memory.writeU32(gpa(0x80f8), 0xbbbb)
    rig.call('enterFrame', 32, 0, 3)
    expect(rig.stack(32, 4)).toEqual([STACK0 - 4, 0xbbbb, 0xaaaa, 0x8100])
  })
})
