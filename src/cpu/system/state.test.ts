import { describe, expect, it } from 'vitest'
import { gpa } from '../../base/addresses.ts'
import { Block, Gpr, Slot } from '../state/layout.ts'
import { ProcessorRig } from '../testing/processor-rig.ts'
import { TestRandom } from '../testing/rig.ts'
import { HelperOutcome } from './outcome.ts'

const { OK, FAULT, RESYNC } = HelperOutcome

/** Fills x87 and SSE state with random bytes. */
function scramble(rig: ProcessorRig, random: TestRandom): void {
  const { state } = rig
  for (let n = 0; n < 8; n++) for (let byte = 0; byte < 10; byte++) state.u8[state.slot + Slot.X87 + n * 16 + byte] = random.next()
  for (let n = 0; n < 16; n++) for (let byte = 0; byte < 16; byte++) state.u8[state.slot + Slot.YMM + n * 32 + byte] = random.next()
  state.setSlotU16(Slot.FCW, 0x27f)
  state.setSlotU16(Slot.FSW, 0x3841)
  state.setSlotU16(Slot.FTW, 0x5a)
  state.setSlotU32(Slot.MXCSR, 0x9fc0)
  state.setSlotU64(Slot.FIP, 0x1234_5678_9abcn)
}
const floatingState = (rig: ProcessorRig): string =>
  Buffer.from(rig.state.u8.slice(rig.state.slot + Slot.YMM, rig.state.slot + Slot.MXCSR + 4)).toString('hex')

describe('FXSAVE and FXRSTOR', () => {
  it('store the documented image, with ST0 first, and load it again', () => {
    const rig = new ProcessorRig().enterLong()
    scramble(rig, new TestRandom(7))
    const before = floatingState(rig)
    expect(rig.call('saveFast', 0x20000, 64)).toBe(OK)
    expect([rig.memory.readU16(gpa(0x20000)), rig.memory.readU16(gpa(0x20002)), rig.memory.readU16(gpa(0x20004))])
      .toEqual([0x27f, 0x3841, 0x5a])
    expect([rig.memory.readU64(gpa(0x20008)), rig.memory.readU32(gpa(0x20018)), rig.memory.readU32(gpa(0x2001c))])
      .toEqual([0x1234_5678_9abcn, 0x9fc0, 0xffff])
    const top = 7
    expect(rig.memory.readU64(gpa(0x20020))).toBe(rig.state.slotU64(Slot.X87 + top * 16))
    expect(rig.memory.readU64(gpa(0x200a0 + 15 * 16))).toBe(rig.state.slotU64(Slot.YMM + 15 * 32))
    rig.state.u8.fill(0, rig.state.slot + Slot.YMM, rig.state.slot + Slot.MXCSR + 4)
    expect(rig.call('restoreFast', 0x20000, 64)).toBe(OK)
    expect(floatingState(rig)).toBe(before)
  })

  it('need alignment, clear CR0.TS, and an MXCSR without reserved bits', () => {
    const rig = new ProcessorRig().enterLong()
    expect(rig.call('saveFast', 0x20008, 64)).toBe(FAULT)
    expect(rig.fault.vector).toBe(13)
    rig.memory.writeU32(gpa(0x20018), 0x10000)
    expect(rig.call('restoreFast', 0x20000, 64)).toBe(FAULT)
    expect(rig.fault.vector).toBe(13)
    rig.state.setBlockU64(Block.CR0, 0x80000019n)
    expect(rig.call('saveFast', 0x20000, 64)).toBe(FAULT)
    expect(rig.fault.vector).toBe(7)
  })
})

describe('XSAVE and XRSTOR', () => {
  const enabled = (): ProcessorRig => {
    const rig = new ProcessorRig().enterLong()
    rig.state.setBlockU64(Block.CR4, 0x40220n)
    rig.state.setBlockU64(Block.XCR0, 3n)
    rig.state.setGpr(Gpr.RAX, 0xffffffffn)
    return rig
  }

  it('save and restore the components asked for; the others get their initial state only if asked for', () => {
    const rig = enabled()
    scramble(rig, new TestRandom(9))
    const before = floatingState(rig)
    expect(rig.call('saveExtended', 0x20000, 64)).toBe(OK)
    expect(rig.memory.readU64(gpa(0x20200))).toBe(3n)
    rig.state.u8.fill(0, rig.state.slot + Slot.YMM, rig.state.slot + Slot.MXCSR + 4)
    rig.call('restoreExtended', 0x20000, 64)
    expect(floatingState(rig)).toBe(before)
    rig.memory.writeU64(gpa(0x20200), 2n)
    rig.call('restoreExtended', 0x20000, 64)
    expect([rig.state.slotU16(Slot.FCW), rig.state.slotU16(Slot.FTW), rig.state.slotU64(Slot.X87)]).toEqual([0x37f, 0, 0n])
    rig.state.setSlotU16(Slot.FCW, 0x77f)
    rig.state.setGpr(Gpr.RAX, 2n)
    rig.call('restoreExtended', 0x20000, 64)
    expect(rig.state.slotU16(Slot.FCW)).toBe(0x77f)
  })

  it('have the high halves of YMM registers as a component of their own', () => {
    const rig = enabled()
    rig.state.setBlockU64(Block.XCR0, 7n)
    const random = new TestRandom(11)
    scramble(rig, random)
    for (let byte = 0; byte < 512; byte++) rig.state.u8[rig.state.slot + Slot.YMM + byte] = random.next()
    const before = floatingState(rig)
    expect(rig.call('saveExtended', 0x20000, 64)).toBe(OK)
    expect(rig.memory.readU64(gpa(0x20200))).toBe(7n)
    expect(rig.memory.readU64(gpa(0x20240 + 15 * 16 + 8))).toBe(rig.state.slotU64(Slot.YMM + 15 * 32 + 24))
    rig.state.u8.fill(0, rig.state.slot + Slot.YMM, rig.state.slot + Slot.MXCSR + 4)
    expect(rig.call('restoreExtended', 0x20000, 64)).toBe(OK)
    expect(floatingState(rig)).toBe(before)
    // Only that component, which the area does not have: it becomes zero, MXCSR is loaded, the rest stays.
    rig.memory.writeU64(gpa(0x20200), 3n)
    rig.state.setGpr(Gpr.RAX, 4n)
    const low = rig.state.slotU64(Slot.YMM + 32)
    rig.state.setSlotU32(Slot.MXCSR, 0x1f80)
    expect(rig.call('restoreExtended', 0x20000, 64)).toBe(OK)
    expect([rig.state.slotU64(Slot.YMM + 32), rig.state.slotU64(Slot.YMM + 48), rig.state.slotU32(Slot.MXCSR)]).toEqual([low, 0n, 0x9fc0])
  })

  it('need no more memory than the components asked for', () => {
    const rig = enabled()
    rig.state.setBlockU64(Block.XCR0, 7n)
    rig.state.setGpr(Gpr.RAX, 3n)
    const area = new Uint8Array(256).fill(0x5a)
    rig.memory.write(gpa(0x20240), area)
    expect(rig.call('saveExtended', 0x20000, 64)).toBe(OK)
    expect(rig.memory.readU64(gpa(0x20200))).toBe(3n)
    expect(rig.memory.readU64(gpa(0x20240))).toBe(0x5a5a5a5a5a5a5a5an)
  })

  it('refuse a header that the standard form does not have', () => {
    const rig = enabled()
    for (const [offset, value] of [[0x200, 4n], [0x200, 8n], [0x208, 1n << 63n], [0x210, 1n]] as const) {
      rig.memory.write(gpa(0x20200), new Uint8Array(64))
      rig.memory.writeU64(gpa(0x20000 + offset), value)
      expect(rig.call('restoreExtended', 0x20000, 64)).toBe(FAULT)
      expect(rig.fault).toEqual({ vector: 13, code: 0 })
    }
    expect(rig.call('saveExtended', 0x20020, 64)).toBe(FAULT)
    rig.state.setBlockU64(Block.CR4, 0x20n)
    expect(rig.call('saveExtended', 0x20000, 64)).toBe(FAULT)
    expect(rig.fault.vector).toBe(6)
  })

  it('XSETBV keeps x87 on and unknown components off', () => {
    const rig = enabled()
    for (const [value, allowed] of [[1n, true], [7n, true], [2n, false], [5n, false], [15n, false], [3n, true]] as const) {
      rig.state.setGpr(Gpr.RAX, value)
      rig.state.setGpr(Gpr.RCX, 0n)
      rig.state.setGpr(Gpr.RDX, 0n)
      expect(rig.call('writeExtendedControl', 0)).toBe(allowed ? RESYNC : FAULT)
    }
    expect(rig.call('readExtendedControl')).toBe(OK)
    expect(rig.state.gpr(Gpr.RAX)).toBe(3n)
  })
})

describe('a snapshot', () => {
  it('restores on another processor what was saved, and nothing else', () => {
    const rig = new ProcessorRig().enterLong(3)
    scramble(rig, new TestRandom(3))
    for (let n = 0; n < 16; n++) rig.state.setGpr(n, BigInt(n) << 60n | 0x1234n)
    rig.setFlags(0x247)
    rig.cpu.msrs.set(0x2ff, 0xc06n)
    rig.cpu.nonMaskableInterrupt()
    rig.call('halt', 0)
    const saved = rig.cpu.save()
    const other = new ProcessorRig()
    other.cpu.restore(structuredClone(saved))
    expect(other.cpu.save()).toEqual(saved)
    expect(other.linear.context).toBe(other.mmu.userContext)
  })

  it('that is damaged is refused with a code', () => {
    const rig = new ProcessorRig()
    const saved = rig.cpu.save()
    for (const damage of [
      { CR4: 0x20000 }, { XCR0: 5 }, { CPL: 4 }, { registers: {} }, { segments: { ...saved.segments, CS: null } },
      { YMM: new Uint8Array(3) },
      { storedMsrs: { ...saved.storedMsrs, '2ff': 0xffffn } }, { activity: 9 }, { PDPTE: [1] },
      { CR0: 0x80000010 }, { CR0: 0x100 }, { EFER: 0x400 }, { registers: { ...saved.registers, LSTAR: 1n << 50n } },
      { registers: { ...saved.registers, CR3: 1n << 40n } }, { registers: { ...saved.registers, RIP: 1n << 32n } },
      { segments: { ...saved.segments, TR: { ...saved.segments.TR, attributes: 0x82 } } }, { retired: 1n << 60n },
    ]) {
      expect(() => rig.cpu.restore({ ...saved, ...damage } as never), JSON.stringify(Object.keys(damage)))
        .toThrow(expect.objectContaining({ code: 'SNAPSHOT_INVALID' }))
    }
  })
})
