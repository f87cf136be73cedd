import { describe, expect, it } from 'vitest'
import { gpa } from '../../base/addresses.ts'
import { FrameState } from '../../machine/frame-map.ts'
import { Block, Context, Segment, Slot } from '../state/layout.ts'
import { Attribute } from '../system/mode.ts'
import { MemoryRig } from '../testing/rig.ts'
import { AccessKind, tlbLookup } from './mmu.ts'
import type { FlushScope } from './tlb.ts'

const USER = 4, WRITABLE = 2, GLOBAL = 0x100, PRESENT = 1

/** A rig with PAE paging: linear page n of the first 2 MiB maps as told, the second 2 MiB is one large page. */
function paged(): MemoryRig & { map(page: number, to: number, flags: number): void } {
  const rig = new MemoryRig()
  rig.memory.writeU64(gpa(0x1000), 0x2001n)
  rig.memory.writeU64(gpa(0x2000), 0x3007n)
  rig.memory.writeU64(gpa(0x2008), 0x200087n)
  const map = (page: number, to: number, flags: number): void =>
    rig.memory.writeU64(gpa(0x3000 + page * 8), BigInt(to * 4096 + flags))
  rig.state.setBlockU64(Block.CR0, 0x80010001n)
  rig.state.setBlockU64(Block.CR3, 0x1000n)
  rig.state.setBlockU64(Block.CR4, 0xa0n)
  rig.mmu.walker.loadPdptes(0x1000)
  rig.mmu.configure()
  return Object.assign(rig, { map })
}

const hitsRead = (rig: MemoryRig, low: number): boolean =>
  tlbLookup(rig.state.u32, rig.linear.context + Context.READ_TLB, low, 0, 1) !== 0
const hitsWrite = (rig: MemoryRig, low: number): boolean =>
  tlbLookup(rig.state.u32, rig.linear.context + Context.WRITE_TLB, low, 0, 1) !== 0

describe('filling and flushing', () => {
  it('serves the next access of a page from the TLB, writes once the page is dirty', () => {
    const rig = paged()
    rig.map(5, 0x40, PRESENT | WRITABLE)
    rig.memory.writeU8(gpa(0x40123), 0x77)
    const address = rig.mmu.access(0x5123, 0, 1, AccessKind.READ)
    expect(rig.pool.u8[address]).toBe(0x77)
    expect([hitsRead(rig, 0x5000), hitsWrite(rig, 0x5000)]).toEqual([true, false])
    rig.mmu.access(0x5123, 0, 4, AccessKind.WRITE)
    expect(hitsWrite(rig, 0x5000)).toBe(true)
    expect(rig.memory.readU32(gpa(0x3028)) & 0x60).toBe(0x60)
    rig.mmu.tlb.flushAll()
    rig.mmu.access(0x5123, 0, 1, AccessKind.READ)
    expect(hitsWrite(rig, 0x5000)).toBe(true)
  })

  it('keeps global translations over a CR3 write and removes them with INVLPG or a full flush', () => {
    const rig = paged()
    rig.map(5, 0x40, PRESENT | WRITABLE)
    rig.map(6, 0x41, PRESENT | WRITABLE | GLOBAL)
    const touch = (): void => { for (const page of [5, 6]) rig.mmu.access(page << 12, 0, 1, AccessKind.WRITE) }
    touch()
    rig.mmu.rootChanged()
    expect([hitsRead(rig, 0x5000), hitsWrite(rig, 0x5000), hitsRead(rig, 0x6000), hitsWrite(rig, 0x6000)])
      .toEqual([false, false, true, true])
    rig.mmu.tlb.flushPage(0x6fff, 0)
    expect([hitsRead(rig, 0x6000), hitsWrite(rig, 0x6000)]).toEqual([false, false])
    touch()
    rig.mmu.tlb.flushAll()
    expect([hitsRead(rig, 0x5000), hitsRead(rig, 0x6000)]).toEqual([false, false])
    touch()
    rig.mmu.rootChanged()
    expect([hitsRead(rig, 0x5000), hitsRead(rig, 0x6000)]).toEqual([false, true])
  })

  it('removes every cached piece of a large page with one INVLPG', () => {
    const rig = paged()
    for (const low of [0x200000, 0x234000, 0x3ff000]) rig.mmu.access(low, 0, 1, AccessKind.READ)
    rig.map(5, 0x40, PRESENT)
    rig.mmu.access(0x5000, 0, 1, AccessKind.READ)
    rig.mmu.tlb.flushPage(0x210000, 0)
    expect([0x200000, 0x234000, 0x3ff000, 0x5000].map((low) => hitsRead(rig, low))).toEqual([false, false, false, true])
  })

  it('tells its listeners', () => {
    const rig = paged()
    const heard: [FlushScope, number][] = []
    rig.mmu.tlb.listeners.push((scope, low) => heard.push([scope, low]))
    rig.mmu.rootChanged()
    rig.mmu.tlb.flushPage(0x5000, 0)
    rig.mmu.configure()
    expect(heard).toEqual([['non-global', 0], ['page', 0x5000], ['all', 0]])
  })

  it('fetches through its own cache until a flush', () => {
    const rig = paged()
    rig.map(5, 0x40, PRESENT)
    expect(rig.mmu.translateFetch(0x5010, 0)).toBe(0x40)
    rig.map(5, 0x41, PRESENT)
    expect(rig.mmu.translateFetch(0x5020, 0)).toBe(0x40)
    rig.mmu.tlb.flushPage(0x5000, 0)
    expect(rig.mmu.translateFetch(0x5020, 0)).toBe(0x41)
    rig.map(5, 0x41, 0)
    rig.mmu.rootChanged()
    expect(rig.mmu.translateFetch(0x5020, 0)).toBe(-1)
  })
})

describe('frames', () => {
  it('shows zeros until the first write, through every alias', () => {
    const rig = paged()
    rig.map(5, 0x80, PRESENT | WRITABLE)
    rig.map(6, 0x80, PRESENT | WRITABLE)
    const free = rig.pool.freePages
    expect(rig.linear.read32(0x5010n)).toBe(0)
    expect(rig.mmu.access(0x5010, 0, 4, AccessKind.READ)).toBe(rig.pool.zeroFrameAddress + 0x10)
    expect(rig.pool.freePages).toBe(free)
    expect(rig.linear.write32(0x6010n, 0xdeadbeef)).toBe(true)
    expect(rig.pool.freePages).toBe(free - 1)
    expect(hitsRead(rig, 0x5000)).toBe(false)
    expect(rig.linear.read32(0x5010n)).toBe(0xdeadbeef)
  })

  it('reports writes to watched code at the commit, and no TLB entry lets one through', () => {
    const rig = paged()
    const heard: number[][] = []
    rig.frames.addCodeWatcher({
      codeWritten: (frame, offset, length, page) => { heard.push([frame << 12 >>> 0, offset, length, page]) },
      pageReleased: () => undefined,
    })
    rig.map(5, 0x40, PRESENT | WRITABLE)
    rig.linear.write8(0x5000n, 1)
    expect(hitsWrite(rig, 0x5000)).toBe(true)
    const frame = rig.frames.watchCode(0x40)
    expect([hitsRead(rig, 0x5000), hitsWrite(rig, 0x5000)]).toEqual([true, false])
    const address = rig.mmu.access(0x5ffe, 0, 2, AccessKind.WRITE)
    expect(address).toBe(frame + 0xffe)
    expect([rig.state.slotU32(Slot.SLOW_STORES), heard.length, rig.mmu.filled]).toEqual([1, 0, false])
    rig.mmu.commitSlowStores()
    expect(heard).toEqual([[frame, 0xffe, 2, 0x40]])
    rig.mmu.access(0x5000, 0, 4, AccessKind.WRITE)
    expect(rig.mmu.filled).toBe(false)
    rig.mmu.abandonSlowStores()
    rig.memory.writeU32(gpa(0x40ffe), 0)
    expect(heard[1]).toEqual([frame, 0xffe, 2, 0x40])
    rig.frames.unwatchCode(0x40)
    rig.mmu.access(0x5000, 0, 4, AccessKind.WRITE)
    expect(rig.mmu.filled).toBe(true)
  })

  it('gives a page that is watched before it was written a frame of its own', () => {
    const rig = paged()
    expect(rig.frames.watchCode(0x90)).not.toBe(rig.pool.zeroFrameAddress)
    expect(rig.frames.watchCode(0x500)).toBe(0)
  })

  it('ignores writes to ROM', () => {
    const rig = paged()
    rig.frames.addRom(0x50, Uint8Array.of(1, 2, 3))
    rig.map(5, 0x50, PRESENT | WRITABLE)
    expect(rig.linear.write32(0x5000n, 0)).toBe(true)
    expect(rig.linear.read32(0x5000n)).toBe(0x030201)
    rig.memory.writeU32(gpa(0x50000), 0)
    expect(rig.memory.readU32(gpa(0x50000))).toBe(0x030201)
    expect(rig.frames.entry(0x50) & FrameState.READ_ONLY).not.toBe(0)
  })
})

describe('accesses that no TLB entry serves', () => {
  it('reads across a page boundary and stores on both sides at the commit', () => {
    const rig = paged()
    rig.map(5, 0x40, PRESENT | WRITABLE)
    rig.map(6, 0x60, PRESENT | WRITABLE)
    rig.memory.writeU32(gpa(0x40ffc), 0x44332211)
    rig.memory.writeU32(gpa(0x60000), 0x88776655)
    expect(rig.linear.read64(0x5ffdn)).toBe(0x0088776655443322n)
    expect(rig.linear.write32(0x5ffen, 0xddccbbaa)).toBe(true)
    expect(rig.memory.readU32(gpa(0x40ffc))).toBe(0xbbaa2211)
    expect(rig.memory.readU32(gpa(0x60000))).toBe(0x8877ddcc)
  })

  it('faults on the second page with its own address, before anything is stored', () => {
    const rig = paged()
    rig.map(5, 0x40, PRESENT | WRITABLE)
    expect(rig.linear.write32(0x5ffen, -1)).toBe(false)
    expect(rig.state.slotU64(Slot.FAULT_ADDRESS)).toBe(0x6000n)
    expect(rig.state.slotU32(Slot.EXIT_ERROR_CODE)).toBe(2)
    expect(rig.memory.readU16(gpa(0x40ffe))).toBe(0)
  })

  it('splits device accesses into aligned pieces of at most four bytes', () => {
    const rig = paged()
    rig.map(5, 0x8000, PRESENT | WRITABLE)
    expect(rig.linear.read64(0x5002n)).toBe(0x2211_4433_2211_2211n)
    rig.linear.write64(0x5008n, 0x0807060504030201n)
    rig.linear.write16(0x5001n, 0x0102)
    expect(rig.bus.log).toEqual([
      'read 8000002 2', 'read 8000004 4', 'read 8000008 2', 'write 8000008 4 4030201', 'write 800000c 4 8070605',
      'write 8000001 1 2', 'write 8000002 1 1',
    ])
  })

  it('reads a device before storing only where the old bytes matter', () => {
    const rig = paged()
    rig.map(5, 0x8000, PRESENT | WRITABLE)
    rig.mmu.access(0x5000, 0, 4, AccessKind.WRITE)
    rig.mmu.abandonSlowStores()
    expect(rig.bus.log).toEqual([])
    const address = rig.mmu.access(0x5000, 0, 4, AccessKind.MODIFY)
    rig.pool.u32[address >>> 2] += 1
    rig.mmu.commitSlowStores()
    expect(rig.bus.log).toEqual(['read 8000000 4', 'write 8000000 4 44332212'])
  })

  it('checks alignment of user accesses while CR0.AM and RFLAGS.AC are set', () => {
    const rig = paged()
    rig.map(5, 0x40, PRESENT | WRITABLE | USER)
    rig.state.setBlockU64(Block.CR0, 0x80050001n)
    rig.state.setBlockU32(Block.CPL, 3)
    rig.state.setSlotU32(Slot.SYSTEM_FLAGS, 0x40002)
    rig.mmu.configure()
    expect(rig.linear.read32(0x5004n)).toBe(0)
    expect(rig.linear.read32(0x5005n)).toBe(-1)
    expect([rig.state.slotU32(Slot.EXIT_VECTOR), rig.state.slotU32(Slot.EXIT_ERROR_CODE)]).toEqual([17, 0])
    rig.state.setSlotU32(Slot.SYSTEM_FLAGS, 2)
    rig.mmu.selectContext()
    expect(rig.linear.read32(0x5005n)).toBe(0)
  })

  it('raises #GP, or #SS for the stack, at a non-canonical address', () => {
    const rig = new MemoryRig()
    rig.state.setBlockU64(Block.EFER, 0x500n)
    rig.state.setBlockU64(Block.CR0, 0x80000001n)
    rig.state.setSegmentAttributes(Segment.CS, Attribute.LONG | Attribute.PRESENT)
    rig.mmu.configure()
    expect(rig.mmu.access(0, 0x8000, 1, AccessKind.READ)).toBe(0)
    expect(rig.state.slotU32(Slot.EXIT_VECTOR)).toBe(13)
    expect(rig.mmu.access(-4, 0x7fff, 8, AccessKind.WRITE | AccessKind.STACK)).toBe(0)
    expect(rig.state.slotU32(Slot.EXIT_VECTOR)).toBe(12)
    expect(rig.mmu.translateFetch(0, 0x12340000)).toBe(-1)
  })
})
