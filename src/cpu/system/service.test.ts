import { describe, expect, it } from 'vitest'
import { gpa } from '../../base/addresses.ts'
import { AccessKind } from '../mmu/mmu.ts'
import { Flag } from '../state/flags.ts'
import { Block, Segment, Slot } from '../state/layout.ts'
import { Gdt, ProcessorRig, gate } from '../testing/processor-rig.ts'
import { Activity, PendingEvent, pendingEvents, signal } from './events.ts'
import { castShadow } from './interrupt-shadow.ts'
import { ServiceOutcome, afterStep, postponeStep, serviceEvents } from './service.ts'

const { RUN, STEP, HALT, SHUTDOWN } = ServiceOutcome

function rigWithHandlers(): ProcessorRig {
  const rig = new ProcessorRig().protect()
  for (const vector of [1, 2, 0x30, 0x31]) rig.setIdt(vector, gate(14, 0, Gdt.CODE0, 0x1000 + vector))
  rig.state.rip = 0x4000n
  return rig
}

describe('maskable interrupts', () => {
  it('wait for the instruction after STI even if the slice ends before it', () => {
    const rig = rigWithHandlers()
    rig.interrupts.waiting.push(0x30)
    rig.cpu.interrupt(true)
    rig.cpu.flags |= Flag.IF
    castShadow(rig.state, 1, rig.state.rip)
    expect(serviceEvents(rig.cpu)).toBe(STEP)
    postponeStep(rig.cpu)
    expect(rig.state.slotU32(Slot.INTERRUPT_SHADOW)).toBe(1)
    expect(serviceEvents(rig.cpu)).toBe(STEP)
    afterStep(rig.cpu)
    expect([serviceEvents(rig.cpu), rig.state.rip]).toEqual([RUN, 0x1030n])
  })

  it('come at once when the shadow belongs to an instruction that ran long ago', () => {
    const rig = rigWithHandlers()
    rig.interrupts.waiting.push(0x30)
    rig.cpu.flags |= Flag.IF
    castShadow(rig.state, 2, 0x1234n)
    rig.cpu.interrupt(true)
    expect([serviceEvents(rig.cpu), rig.state.rip]).toEqual([RUN, 0x1030n])
  })

  it('come when IF allows them, one after the other', () => {
    const rig = rigWithHandlers()
    rig.interrupts.waiting.push(0x30, 0x31)
    rig.cpu.interrupt(true)
    expect(serviceEvents(rig.cpu)).toBe(RUN)
    expect([rig.state.rip, rig.state.slotU32(Slot.MASKED_INTERRUPT), pendingEvents(rig.state)]).toEqual([0x4000n, 1, 0])
    rig.cpu.flags |= Flag.IF
    expect(pendingEvents(rig.state)).toBe(PendingEvent.INTERRUPT)
    expect(serviceEvents(rig.cpu)).toBe(RUN)
    expect([rig.state.rip, rig.interrupts.waiting]).toEqual([0x1030n, [0x31]])
    expect([rig.state.slotU32(Slot.MASKED_INTERRUPT), pendingEvents(rig.state)]).toEqual([1, 0])
    rig.call('returnFromInterrupt', 32, 0)
    serviceEvents(rig.cpu)
    expect(rig.state.rip).toBe(0x1031n)
  })

  it('wait for one instruction after STI, so that STI and HLT cannot sleep over them', () => {
    const rig = rigWithHandlers()
    rig.interrupts.waiting.push(0x30)
    rig.cpu.interrupt(true)
    serviceEvents(rig.cpu)
    rig.call('setInterruptFlag', rig.state.rip)
    expect(serviceEvents(rig.cpu)).toBe(STEP)
    expect(rig.state.rip).toBe(0x4000n)
    rig.call('halt', 0x4001)
    afterStep(rig.cpu)
    expect(serviceEvents(rig.cpu)).toBe(RUN)
    expect([rig.state.rip, rig.stack(32, 1)[0], rig.state.blockU32(Block.HALTED)]).toEqual([0x1030n, 0x4001, Activity.RUNNING])
  })

  it('end a HLT that the engine ran together with the STI before it', () => {
    const rig = rigWithHandlers()
    rig.call('setInterruptFlag', rig.state.rip)
    rig.call('halt', 0x4001)
    expect(serviceEvents(rig.cpu)).toBe(HALT)
    rig.interrupts.waiting.push(0x30)
    rig.cpu.interrupt(true)
    expect(serviceEvents(rig.cpu)).toBe(RUN)
    expect(rig.state.rip).toBe(0x1030n)
  })

  it('end HLT, which otherwise lasts', () => {
    const rig = rigWithHandlers()
    rig.call('halt', 0x4001)
    expect(serviceEvents(rig.cpu)).toBe(HALT)
    rig.interrupts.waiting.push(0x30)
    rig.cpu.interrupt(true)
    expect(serviceEvents(rig.cpu)).toBe(HALT)
    rig.cpu.nonMaskableInterrupt()
    expect(serviceEvents(rig.cpu)).toBe(RUN)
    expect(rig.state.rip).toBe(0x1002n)
  })
})

describe('NMI', () => {
  it('blocks further ones until IRET, and waits after a load of SS', () => {
    const rig = rigWithHandlers()
    rig.call('moveToSegment', Segment.SS, Gdt.DATA0, rig.state.rip)
    rig.cpu.nonMaskableInterrupt()
    expect(serviceEvents(rig.cpu)).toBe(STEP)
    serviceEvents(rig.cpu)
    expect(rig.state.rip).toBe(0x1002n)
    rig.cpu.nonMaskableInterrupt()
    rig.state.rip = 0x1005n
    serviceEvents(rig.cpu)
    expect(rig.state.rip).toBe(0x1005n)
    rig.call('returnFromInterrupt', 32, 0)
    serviceEvents(rig.cpu)
    expect(rig.state.rip).toBe(0x1002n)
  })
})

describe('debug exceptions', () => {
  it('follow each instruction while TF is set', () => {
    const rig = rigWithHandlers()
    rig.cpu.flags |= Flag.TF
    expect(serviceEvents(rig.cpu)).toBe(STEP)
    rig.state.rip = 0x4002n
    afterStep(rig.cpu)
    serviceEvents(rig.cpu)
    expect([rig.state.rip, rig.stack(32, 3)]).toEqual([0x1001n, [0x4002, Gdt.CODE0, 2 | Flag.TF]])
    expect(rig.state.blockU32(Block.DR + 48)).toBe(0xffff4ff0)
    expect(serviceEvents(rig.cpu)).toBe(RUN)
  })

  it('come before an instruction with a breakpoint, unless RF is set', () => {
    const rig = rigWithHandlers()
    rig.call('writeDebug', 0, 0x4000, 0x4000)
    rig.call('writeDebug', 7, 2, 0x4000)
    serviceEvents(rig.cpu)
    expect([rig.state.rip, rig.stack(32, 3)[2], rig.state.blockU32(Block.DR + 48) & 15]).toEqual([0x1001n, 2, 1])
    rig.memory.writeU32(gpa(Number(rig.state.rsp) + 8), 2 | Flag.RF)
    rig.call('returnFromInterrupt', 32, 0)
    expect(rig.cpu.flags & Flag.RF).toBe(Flag.RF)
    expect(serviceEvents(rig.cpu)).toBe(STEP)
    rig.cpu.resumeFlagLoaded = false
    afterStep(rig.cpu)
    expect([rig.state.rip, rig.cpu.flags & Flag.RF]).toEqual([0x4000n, 0])
  })

  it('come after a data access that a breakpoint covers, and no TLB entry hides it', () => {
    const rig = rigWithHandlers()
    rig.call('writeDebug', 1, 0x5004, 0x4000)
    rig.call('writeDebug', 7, 0x00d0_0008, 0x4000)
    rig.linear.read32(0x5004n)
    expect(rig.state.blockU32(Block.PENDING_DEBUG)).toBe(0)
    rig.linear.write8(0x5003n, 1)
    expect(rig.state.blockU32(Block.PENDING_DEBUG)).toBe(0)
    rig.mmu.access(0x5000, 0, 4, AccessKind.WRITE)
    expect(rig.mmu.filled).toBe(false)
    rig.linear.write16(0x5003n, 1)
    expect(rig.state.blockU32(Block.PENDING_DEBUG)).toBe(2)
    serviceEvents(rig.cpu)
    expect([rig.state.rip, rig.state.blockU32(Block.DR + 48) & 15]).toEqual([0x1001n, 2])
  })

  it('watch ports with CR4.DE', () => {
    const rig = rigWithHandlers()
    rig.state.setBlockU64(Block.CR4, 8n)
    rig.call('writeDebug', 2, 0x60, 0x4000)
    rig.call('writeDebug', 7, 0x0200_0010, 0x4000)
    rig.call('readPort', 0x61, 8)
    expect(rig.state.blockU32(Block.PENDING_DEBUG)).toBe(0)
    rig.call('readPort', 0x60, 8)
    expect(rig.state.blockU32(Block.PENDING_DEBUG)).toBe(4)
  })
})

describe('reset and start-up', () => {
  it('begins at the reset vector', () => {
    const rig = new ProcessorRig()
    expect([rig.state.rip, rig.state.segmentBase(Segment.CS), rig.state.cr0, rig.cpu.flags])
      .toEqual([0xfff0n, 0xffff0000n, 0x60000010, 2])
    expect(serviceEvents(rig.cpu)).toBe(RUN)
  })

  it('an application processor waits for SIPI after INIT', () => {
    const rig = new ProcessorRig(1)
    rig.cpu.initialize()
    expect(serviceEvents(rig.cpu)).toBe(HALT)
    rig.cpu.interrupt(true)
    expect(serviceEvents(rig.cpu)).toBe(HALT)
    rig.cpu.startUp(0x9a)
    expect(serviceEvents(rig.cpu)).toBe(RUN)
    expect([rig.state.segmentBase(Segment.CS), rig.selector(Segment.CS)]).toEqual([0x9a000n, 0x9a00])
  })

  it('a shut-down processor stays down', () => {
    const rig = new ProcessorRig().protect()
    rig.state.setBlockU32(Block.IDTR + 8, 0)
    signal(rig.state, PendingEvent.NMI)
    expect(serviceEvents(rig.cpu)).toBe(SHUTDOWN)
    expect(serviceEvents(rig.cpu)).toBe(SHUTDOWN)
    rig.cpu.reset()
    expect(serviceEvents(rig.cpu)).toBe(RUN)
  })
})
