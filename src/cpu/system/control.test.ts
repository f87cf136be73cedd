import { describe, expect, it } from 'vitest'
import { gpa } from '../../base/addresses.ts'
import { Flag } from '../state/flags.ts'
import { Block, Gpr, Segment, Slot } from '../state/layout.ts'
import { ProcessorRig } from '../testing/processor-rig.ts'
import { FEATURES, FEATURE_NAMES, lookupCpuid } from './cpuid.ts'
import { ARCH_CAPABILITIES, MSR_ROWS, readMsr, writeMsr } from './msr.ts'
import { HelperOutcome } from './outcome.ts'
import { features } from '../isa/rows.ts'

const { OK, FAULT, RESYNC } = HelperOutcome
const GP0 = { vector: 13, code: 0 }
const PE = 1, PG = 0x80000000, PAE = 0x20, LME = 0x100

describe('control registers', () => {
  const writes: [string, number, bigint, Partial<Record<'cr0' | 'cr4' | 'efer', number>>, boolean][] = [
    ['PG without PE', 0, BigInt(PG), {}, false],
    ['NW without CD', 0, 0x20000011n, {}, false],
    ['CR0 bit 32', 0, 1n << 32n, {}, false],
    ['reserved bits of CR0 are ignored', 0, 0x1ffc0n, {}, true],
    ['paging in long mode without PAE', 0, BigInt(PG | PE) & 0xffffffffn, { efer: LME }, false],
    ['reserved bits of CR4', 4, 1n << 13n, {}, false],
    ['PCIDE, which is not there', 4, 1n << 17n, {}, false],
    ['PAE', 4, 0x20n, {}, true],
    ['CR8 above 15', 8, 16n, {}, false],
  ]
  it.each(writes)('%s', (_, register, value, setup, allowed) => {
    const rig = new ProcessorRig().enterLong()
    if (setup.efer !== undefined || (register === 0 && value < 1n << 32n)) {
      rig.protect()
      rig.state.setBlockU64(Block.EFER, BigInt(setup.efer ?? 0))
      rig.state.setBlockU64(Block.CR4, BigInt(setup.cr4 ?? 0))
    }
    expect(rig.call('writeControl', register, value, 0x77)).toBe(allowed ? RESYNC : FAULT)
    if (!allowed) expect(rig.fault).toEqual(GP0)
    else expect(rig.state.rip).toBe(0x77n)
  })

  it('activate long mode when paging starts, and leave it when paging stops', () => {
    const rig = new ProcessorRig().enterLong()
    rig.load(Segment.CS, 8, { attributes: 0xc09b })
    rig.state.setBlockU64(Block.CR0, 0x11n)
    rig.state.setBlockU64(Block.EFER, BigInt(LME))
    rig.cpu.mmu.configure()
    expect(rig.call('writeControl', 0, 0x80000011n, 0)).toBe(RESYNC)
    expect(rig.state.efer).toBe(LME | 0x400)
    expect(rig.linear.read32(0x3ffffcn)).toBe(0)
    expect(rig.linear.read32(0x400000n)).toBe(-1)
    expect(rig.call('writeControl', 4, 0, 0)).toBe(FAULT)
    expect(rig.call('writeControl', 0, 0x11n, 0)).toBe(RESYNC)
    expect(rig.state.efer).toBe(LME)
    expect(rig.linear.read32(0x400000n)).toBeGreaterThan(0)
  })

  it('load PDPTEs with PAE paging, and refuse bad ones', () => {
    const rig = new ProcessorRig().protect()
    rig.state.setBlockU64(Block.CR4, BigInt(PAE))
    rig.state.setBlockU64(Block.CR3, 0x10000n)
    rig.memory.writeU64(gpa(0x10000), 0x11003n)
    expect(rig.call('writeControl', 0, 0x80000011n, 0)).toBe(FAULT)
    expect([rig.fault, rig.state.cr0]).toEqual([GP0, 0x11])
    rig.memory.writeU64(gpa(0x10000), 0x11001n)
    rig.memory.writeU64(gpa(0x11000), 0x83n)
    expect(rig.call('writeControl', 0, 0x80000011n, 0)).toBe(RESYNC)
    rig.memory.writeU64(gpa(0x10000), 0n)
    rig.cpu.mmu.tlb.flushAll()
    expect(rig.linear.read32(0x1000n)).toBeGreaterThanOrEqual(0)
    rig.call('writeControl', 3, 0x10000n, 0)
    expect(rig.linear.read32(0x1000n)).toBe(-1)
  })

  it('are for level 0', () => {
    const rig = new ProcessorRig().protect(3)
    for (const name of [
      'readControl', 'writeControl', 'clearTaskSwitched', 'loadMachineStatus', 'halt', 'flushCaches', 'readModelSpecific',
    ] as const) {
      expect(rig.call(name, 0, 0, 0)).toBe(FAULT)
      expect(rig.fault).toEqual(GP0)
    }
  })

  it('LMSW sets PE but cannot clear it; CLTS clears TS', () => {
    const rig = new ProcessorRig()
    rig.call('loadMachineStatus', 0xffff, 0x10)
    expect(rig.state.cr0 & 0xffff).toBe(0x1f)
    rig.call('loadMachineStatus', 0, 0x10)
    expect(rig.state.cr0 & 0xffff).toBe(0x11)
    rig.call('loadMachineStatus', 8, 0x10)
    expect(rig.call('clearTaskSwitched', 0x20)).toBe(RESYNC)
    expect([rig.state.cr0 & 8, rig.state.rip]).toEqual([0, 0x20n])
  })

  it('CR8 is the task priority', () => {
    const rig = new ProcessorRig().enterLong()
    rig.call('writeControl', 8, 9, 0)
    expect(rig.apic.cr8).toBe(9)
    rig.call('readControl', 8)
    expect(rig.state.blockU64(Block.RESULT)).toBe(9n)
    expect(rig.call('readControl', 5)).toBe(FAULT)
    expect(rig.fault.vector).toBe(6)
  })
})

describe('debug registers', () => {
  it('keep their fixed bits, and DR4 and DR5 are aliases unless CR4.DE is set', () => {
    const rig = new ProcessorRig().protect()
    rig.call('writeDebug', 5, 0xffffffffn, 0)
    expect(rig.state.blockU64(Block.DR + 56)).toBe(0xffff2fffn)
    rig.call('writeDebug', 7, 0, 0)
    rig.call('writeDebug', 6, 0, 0)
    rig.call('readDebug', 4)
    expect(rig.state.blockU64(Block.RESULT)).toBe(0xffff0ff0n)
    rig.state.setBlockU64(Block.CR4, 8n)
    expect(rig.call('readDebug', 4)).toBe(FAULT)
    expect(rig.fault.vector).toBe(6)
  })

  it('are guarded by DR7.GD', () => {
    const rig = new ProcessorRig().protect()
    rig.call('writeDebug', 7, 0x2000, 0)
    expect(rig.call('readDebug', 0)).toBe(FAULT)
    expect(rig.fault.vector).toBe(1)
    expect(rig.state.blockU32(Block.DR + 48) & 0x2000).toBe(0x2000)
    expect(rig.call('readDebug', 0)).toBe(OK)
  })
})

describe('model-specific registers', () => {
  const rig = (): ProcessorRig => new ProcessorRig().enterLong()

  it('have one row an index', () => {
    const all = MSR_ROWS.flatMap((row) => Array.from({ length: row.count ?? 1 }, (_, n) => row.index + n))
    expect(new Set(all).size).toBe(all.length)
  })

  it.each([
    [0xc0000082, 0xffffffff81000000n, true], [0xc0000082, 0x8000_0000_0000n, false],
    [0xc0000100, 0x7fff_0000_0000n, true], [0x277, 0x0007040600070406n, true], [0x277, 2n, false],
    [0x200, 0x6n, true], [0x201, 0xfff0000800n, true], [0x200, 0x2n, false], [0x250, 0x0606060606060606n, true], [0x250, 3n, false],
    [0x2ff, 0xc06n, true], [0x2ff, 0x1000n, false], [0xfe, 0n, false], [0x10a, 0n, false], [0x174, 0x10n, true],
    [0xc0000080, 0xc01n, false], [0xc0000080, 0xd01n, true], [0xc0000080, 0x2000n, false],
    [0xdead, 0n, false], [0x1b, 0xfee00800n, true], [0x800, 0n, false],
  ])('%i: writing %i is allowed: %s', (index, value, allowed) => {
    const { cpu } = rig()
    expect(writeMsr(cpu, index, value)).toBe(allowed)
    if (allowed) expect(readMsr(cpu, index)).toBe(value)
  })

  it('RDMSR and WRMSR use ECX and EDX:EAX', () => {
    const r = rig()
    r.state.setGpr(Gpr.RCX, 0xffff_ffff_c000_0102n)
    r.state.setGpr(Gpr.RDX, 0xaaaa_aaaa_ffff_8000n)
    r.state.setGpr(Gpr.RAX, 0xbbbb_bbbb_1234_5678n)
    expect(r.call('writeModelSpecific', 0x99)).toBe(RESYNC)
    expect(r.state.blockU64(Block.KERNEL_GS_BASE)).toBe(0xffff800012345678n)
    expect(r.call('readModelSpecific')).toBe(OK)
    expect([r.state.gpr(Gpr.RDX), r.state.gpr(Gpr.RAX)]).toEqual([0xffff8000n, 0x12345678n])
    r.call('swapGs')
    expect(r.state.segmentBase(Segment.GS)).toBe(0xffff800012345678n)
    r.state.setGpr(Gpr.RCX, 0x1234n)
    expect(r.call('readModelSpecific')).toBe(FAULT)
    expect(r.fault).toEqual(GP0)
  })

  it('the time stamp counter follows the clock, and writing it adjusts', () => {
    const r = rig()
    r.clock.time = 1000.7
    expect(readMsr(r.cpu, 0x10)).toBe(1000n)
    writeMsr(r.cpu, 0x10, 5000n)
    expect([readMsr(r.cpu, 0x10), readMsr(r.cpu, 0x3b), r.tscChanges]).toEqual([5000n, 4000n, 1])
    r.clock.time = 2000
    r.call('readTimeStamp')
    expect(r.state.gpr(Gpr.RAX)).toBe(6000n)
    expect(r.cpu.timeOfTsc(6000n)).toBe(2000)
    r.state.setBlockU32(Block.CPL, 3)
    r.state.setBlockU64(Block.CR4, 0x24n)
    expect(r.call('readTimeStamp')).toBe(FAULT)
  })

  it('KVM\'s clock structures tell the time', () => {
    const r = rig()
    r.clock.time = 3_000_000
    writeMsr(r.cpu, 0x3b, 500n)
    expect(writeMsr(r.cpu, 0x4b564d01, 0x20001n)).toBe(true)
    expect(r.memory.readU32(gpa(0x20000)) & 1).toBe(0)
    const at = (offset: number): bigint => r.memory.readU64(gpa(0x20000 + offset))
    const multiplier = BigInt(r.memory.readU32(gpa(0x20018)))
    const nanoseconds = (stamp: bigint): bigint =>
      at(16) + ((((stamp - at(8)) << BigInt(r.memory.readU8(gpa(0x2001c)))) * multiplier) >> 32n)
    r.clock.time = 9_123_456
    expect(nanoseconds(r.cpu.timeStamp())).toBe(9_123_456n)
    expect(r.memory.readU8(gpa(0x2001d))).toBe(1)
    writeMsr(r.cpu, 0x4b564d00, 0x21000n)
    expect([r.memory.readU32(gpa(0x21004)), r.memory.readU32(gpa(0x21008))]).toEqual([1_700_000_000, 123_000_000])
  })
})

describe('CPUID', () => {
  const rig = new ProcessorRig()
  const ask = (leaf: number, subleaf = 0): readonly number[] => lookupCpuid(rig.cpu.cpuid, leaf, subleaf)
  const word = (...values: number[]): string =>
    String.fromCharCode(...values.flatMap((value) => [0, 8, 16, 24].map((shift) => (value >>> shift) & 255)))

  it('announces every feature at its place', () => {
    for (const { name, leaf, register, bit } of FEATURES) expect((ask(leaf)[register] >>> bit) & 1, name).toBe(1)
  })

  it('announces only features of the opcode table, or of the system', () => {
    const absent = [...features()].filter((name) => !FEATURE_NAMES.has(name))
    expect(absent.sort()).toEqual(['CLFLUSHOPT', 'CLWB', 'INVPCID', 'MONITOR', 'RDPID', 'XSAVEOPT'])
  })

  it('tells vendor, hypervisor and brand', () => {
    const [, ebx, ecx, edx] = ask(0)
    expect(word(ebx, edx, ecx)).toBe('GenuineIntel')
    expect(word(...ask(0x40000000).slice(1))).toBe('KVMKVMKVM\0\0\0')
    expect(word(...ask(0x80000002), ...ask(0x80000003), ...ask(0x80000004))).toMatch(/^Tenon virtual processor\0+$/)
  })

  it('tells the clock: 1 GHz', () => {
    const [denominator, numerator, crystal] = ask(0x15)
    expect(crystal * numerator / denominator).toBe(1e9)
    expect(ask(0x40000010).slice(0, 2)).toEqual([1e6, 1e6])
  })

  it('is empty for unknown subleaves and hypervisor leaves, and repeats its last leaf beyond the end', () => {
    expect(ask(7, 1)).toEqual([0, 0, 0, 0])
    expect(ask(0x40000002)).toEqual([0, 0, 0, 0])
    expect(ask(0x17)).toEqual(ask(0x16))
    expect(ask(4, 3)).toEqual([0, 0, 0, 0])
  })

  it('shows CR4.OSXSAVE', () => {
    rig.state.setGpr(Gpr.RAX, 1n)
    rig.call('identify')
    expect(rig.state.gpr32(Gpr.RCX) & (1 << 27)).toBe(0)
    rig.state.setGpr(Gpr.RAX, 1n)
    rig.state.setBlockU64(Block.CR4, 0x40000n)
    rig.call('identify')
    expect(rig.state.gpr32(Gpr.RCX) & (1 << 27)).not.toBe(0)
  })

  it('has the immunities that the model promises', () => {
    // RDCL_NO, SKIP_L1DFL, SSB_NO, MDS_NO, IF_PSCHANGE_MC_NO, TAA_NO; not IBRS_ALL, which would be used.
    expect(ARCH_CAPABILITIES & 0x1fbn).toBe(0x179n)
    expect(ask(1)[0]).toBe(0x30669)
  })
})

describe('flags', () => {
  it('CLI and STI obey IOPL, then PVI, then fail', () => {
    const rig = new ProcessorRig().protect(3)
    rig.setFlags(Flag.IF)
    expect(rig.call('clearInterruptFlag')).toBe(FAULT)
    rig.state.setBlockU64(Block.CR4, 2n)
    expect(rig.call('setInterruptFlag')).toBe(OK)
    expect(rig.cpu.flags).toBe(Flag.IF | Flag.VIF | 2)
    rig.setFlags(Flag.VIP)
    expect(rig.call('setInterruptFlag')).toBe(FAULT)
    rig.setFlags(Flag.IF | Flag.IOPL)
    expect(rig.call('clearInterruptFlag')).toBe(OK)
    expect(rig.cpu.flags).toBe(Flag.IOPL | 2)
    expect(rig.call('setInterruptFlag')).toBe(OK)
    expect(rig.state.slotU32(Slot.INTERRUPT_SHADOW)).toBe(1)
  })

  it('POPF leaves what the level may not change', () => {
    const rig = new ProcessorRig().protect(3)
    rig.call('popFlags', 32, 0xffffffffn, 0)
    expect(rig.cpu.flags & ~Flag.TF).toBe(0x8d5 | Flag.DF | Flag.NT | Flag.AC | Flag.ID | 2)
    rig.enter(0)
    rig.setFlags(0)
    rig.call('popFlags', 16, 0xffffffffn, 0)
    expect(rig.cpu.flags).toBe(0x7fd7)
  })

  it('PUSHF hides VM and RF, and shows VIF as IF to virtual-8086 programs', () => {
    const rig = new ProcessorRig()
    rig.enterVirtual(0)
    expect(rig.call('pushFlags', 16)).toBe(FAULT)
    rig.state.setBlockU64(Block.CR4, 1n)
    rig.setFlags(Flag.VM | Flag.IF)
    rig.call('pushFlags', 16)
    expect(rig.state.blockU32(Block.RESULT)).toBe(Flag.IOPL | 2)
    expect(rig.call('popFlags', 16, Flag.IF | Flag.CF, 0)).toBe(OK)
    expect(rig.cpu.flags).toBe(Flag.VM | Flag.IF | Flag.VIF | Flag.CF | 2)
    expect(rig.call('popFlags', 16, Flag.TF, 0)).toBe(FAULT)
    rig.setFlags(Flag.VM | Flag.IOPL | Flag.RF)
    rig.call('pushFlags', 32)
    expect(rig.state.blockU32(Block.RESULT)).toBe(Flag.IOPL | 2)
  })

  it('a change of AC with SMAP changes the translation context', () => {
    const rig = new ProcessorRig().enterLong()
    rig.call('writeControl', 4, 0x200020n, 0)
    expect(rig.linear.read8(0x5000n)).toBe(-1)
    expect(rig.call('setAlignmentCheck', 1, 0x33)).toBe(RESYNC)
    expect([rig.linear.read8(0x5000n), rig.state.rip]).toEqual([0, 0x33n])
    expect(rig.call('setAlignmentCheck', 1, 0x33)).toBe(OK)
    expect(rig.call('popFlags', 64, 2, 0x44)).toBe(RESYNC)
    expect(rig.linear.read8(0x5000n)).toBe(-1)
  })
})

describe('ports', () => {
  it('obey IOPL and the permission bit map', () => {
    const rig = new ProcessorRig().protect(3)
    expect(rig.call('readPort', 0x3f8, 8)).toBe(OK)
    rig.memory.writeU8(gpa(0x3000 + 0x68 + 0x7f), 2)
    expect(rig.call('readPort', 0x3f8, 16)).toBe(FAULT)
    expect(rig.fault).toEqual(GP0)
    expect(rig.call('writePort', 0xffff, 16, 0)).toBe(OK)
    rig.load(Segment.TR, 0x28, { base: 0x3000, limit: 0x68 + 0x7e, attributes: 0x8b })
    expect(rig.call('readPort', 0x3f0, 8)).toBe(FAULT)
    rig.setFlags(Flag.IOPL)
    expect(rig.call('writePort', 0x3f9, 8, 0x123)).toBe(OK)
    expect(rig.ports).toEqual(['in 3f8 1', 'out ffff 2 0', 'out 3f9 1 23'])
    rig.setFlags(Flag.VM | Flag.IOPL)
    expect(rig.call('checkPort', 0x3f9, 8)).toBe(FAULT)
  })
})
