import { Vector } from '../mmu/faults.ts'
import { Block, Gpr, Segment, Slot } from '../state/layout.ts'
import { writeEfer } from './control-registers.ts'
import { privileged } from './descriptor-tables.ts'
import { refreshSystemTime, writeSystemTime, writeWallClock } from './kvm-clock.ts'
import { canonical } from './mode.ts'
import { HelperOutcome } from './outcome.ts'
import type { Processor } from './processor.ts'

/**
 * Model-specific registers (SDM Vol. 4), one row each. An index without a row raises #GP(0), as does a write that `write` refuses.
 */
interface MsrRow {
  readonly index: number
  readonly name: string
  /** Number of registers in a row of consecutive ones. */
  readonly count?: number
  readonly read: (cpu: Processor, index: number) => bigint | null
  /** Only holds a value: what it accepts. */
  readonly accepts?: (value: bigint, index: number) => boolean
  /** Missing: read-only. False: #GP(0). */
  readonly write?: (cpu: Processor, value: bigint, index: number) => boolean
}

const anything = (): boolean => true
const low32 = (value: bigint): boolean => value >> 32n === 0n

/** A register kept in the vCPU's block, with what may be written to it. */
function inBlock(index: number, name: string, offset: number, accepts: (value: bigint) => boolean = anything): MsrRow {
  return {
    index, name,
    read: (cpu) => cpu.state.blockU64(offset),
    write: (cpu, value) => accepts(value) && (cpu.state.setBlockU64(offset, value), true),
  }
}

/** A register that only keeps its value. */
function stored(index: number, name: string, count = 1, accepts: (value: bigint, index: number) => boolean = anything): MsrRow {
  return {
    index, name, count, accepts,
    read: (cpu, at) => cpu.msrs.get(at),
    write: (cpu, value, at) => accepts(value, at) && (cpu.msrs.set(at, value), true),
  }
}

const constant = (index: number, name: string, value: bigint): MsrRow => ({ index, name, read: () => value })

const segmentBase = (index: number, name: string, segment: typeof Segment.FS | typeof Segment.GS): MsrRow => ({
  index, name,
  read: (cpu) => cpu.state.segmentBase(segment),
  write: (cpu, value) => canonical(value) && (cpu.state.setSegmentBase(segment, value), true),
})

const apic = (index: number, name: string, count = 1): MsrRow => ({
  index, name, count,
  read: (cpu, at) => cpu.environment.apic.readMsr(at),
  write: (cpu, value, at) => cpu.environment.apic.writeMsr(at, value),
})

/** Memory types of the PAT and the MTRRs: UC, WC, WT, WP, WB, and UC- in the PAT alone. */
const isPatType = (type: number): boolean => type <= 7 && type !== 2 && type !== 3
const isMtrrType = (type: number): boolean => type <= 6 && type !== 2 && type !== 3
const bytesOf = (value: bigint): number[] => Array.from({ length: 8 }, (_, n) => Number((value >> BigInt(8 * n)) & 0xffn))

const ADDRESS_BITS = 0xff_ffff_ffffn
const isPhysical = (value: bigint): boolean => (value & ~ADDRESS_BITS) === 0n
const acceptsVariableMtrr = (value: bigint, index: number): boolean =>
  (value & ~ADDRESS_BITS) === 0n && ((index & 1) === 1 || isMtrrType(Number(value & 0xffn)))
const acceptsFixedMtrr = (value: bigint): boolean => bytesOf(value).every(isMtrrType)

/**
 * IA32_ARCH_CAPABILITIES (SDM Vol. 4 table 2-2): an interpreter does not speculate, so none of the known attacks applies. RDCL_NO
 * 0, SKIP_L1DFL_VMENTRY 3, SSB_NO 4, MDS_NO 5, IF_PSCHANGE_MC_NO 6, TAA_NO 8, SBDR_SSDP_NO 13, FBSDP_NO 14, PSDP_NO 15, BHI_NO 20,
 * PBRSB_NO 24, GDS_NO 26, RFDS_NO 27.
 */
export const ARCH_CAPABILITIES = [0, 3, 4, 5, 6, 8, 13, 14, 15, 20, 24, 26, 27].reduce((value, n) => value | (1n << BigInt(n)), 0n)

/** MTRRs: eight variable ranges, fixed ranges, write combining. */
const MTRR_CAPABILITY = 0x508n
/** Fast strings are on, and everything else of IA32_MISC_ENABLE off. */
export const MISC_ENABLE_RESET = 1n
/** Lock bit alone: no VMX. */
const FEATURE_CONTROL = 1n

export const MSR_ROWS: readonly MsrRow[] = [
  {
    index: 0x10, name: 'IA32_TIME_STAMP_COUNTER', read: (cpu) => cpu.timeStamp(),
    write: (cpu, value) => setAdjustment(cpu, cpu.state.blockU64(Block.TSC_ADJUST) + value - cpu.timeStamp()),
  },
  { index: 0x11, name: 'KVM_WALL_CLOCK', read: (cpu) => cpu.msrs.get(0x4b564d00), write: writeWallClock },
  { index: 0x12, name: 'KVM_SYSTEM_TIME', read: (cpu) => cpu.msrs.get(0x4b564d01), write: writeSystemTime },
  constant(0x17, 'IA32_PLATFORM_ID', 0n),
  apic(0x1b, 'IA32_APIC_BASE'),
  constant(0x3a, 'IA32_FEATURE_CONTROL', FEATURE_CONTROL),
  { index: 0x3b, name: 'IA32_TSC_ADJUST', read: (cpu) => cpu.state.blockU64(Block.TSC_ADJUST), write: setAdjustment },
  { index: 0x8b, name: 'IA32_BIOS_SIGN_ID', read: () => MICROCODE_REVISION << 32n, write: anything },
  constant(0xfe, 'IA32_MTRRCAP', MTRR_CAPABILITY),
  constant(0x10a, 'IA32_ARCH_CAPABILITIES', ARCH_CAPABILITIES),
  inBlock(0x174, 'IA32_SYSENTER_CS', Block.SYSENTER_CS, low32),
  inBlock(0x175, 'IA32_SYSENTER_ESP', Block.SYSENTER_ESP, canonical),
  inBlock(0x176, 'IA32_SYSENTER_EIP', Block.SYSENTER_EIP, canonical),
  inBlock(0x1a0, 'IA32_MISC_ENABLE', Block.MISC_ENABLE, (value) => (value & ~1n) === 0n),
  { index: 0x1d9, name: 'IA32_DEBUGCTL', read: () => 0n, write: (_, value) => value === 0n },
  stored(0x200, 'IA32_MTRR_PHYSBASE0 to PHYSMASK7', 16, acceptsVariableMtrr),
  stored(0x250, 'IA32_MTRR_FIX64K_00000', 1, acceptsFixedMtrr),
  stored(0x258, 'IA32_MTRR_FIX16K_80000 and A0000', 2, acceptsFixedMtrr),
  stored(0x268, 'IA32_MTRR_FIX4K_C0000 to F8000', 8, acceptsFixedMtrr),
  inBlock(0x277, 'IA32_PAT', Block.PAT, (value) => bytesOf(value).every(isPatType)),
  stored(0x2ff, 'IA32_MTRR_DEF_TYPE', 1, (value) => (value & ~0xcffn) === 0n && isMtrrType(Number(value & 0xffn))),
  apic(0x6e0, 'IA32_TSC_DEADLINE'),
  apic(0x800, 'x2APIC registers', 0x100),
  {
    index: 0x4b564d00, name: 'KVM_WALL_CLOCK_NEW', accepts: isPhysical,
    read: (cpu) => cpu.msrs.get(0x4b564d00), write: writeWallClock,
  },
  {
    index: 0x4b564d01, name: 'KVM_SYSTEM_TIME_NEW', accepts: isPhysical,
    read: (cpu) => cpu.msrs.get(0x4b564d01), write: writeSystemTime,
  },
  {
    index: 0xc0000080, name: 'IA32_EFER', read: (cpu) => cpu.state.blockU64(Block.EFER),
    write: (cpu, value) => low32(value) && writeEfer(cpu, Number(value)),
  },
  inBlock(0xc0000081, 'IA32_STAR', Block.STAR),
  inBlock(0xc0000082, 'IA32_LSTAR', Block.LSTAR, canonical),
  inBlock(0xc0000083, 'IA32_CSTAR', Block.CSTAR, canonical),
  inBlock(0xc0000084, 'IA32_FMASK', Block.FMASK, low32),
  segmentBase(0xc0000100, 'IA32_FS_BASE', Segment.FS),
  segmentBase(0xc0000101, 'IA32_GS_BASE', Segment.GS),
  inBlock(0xc0000102, 'IA32_KERNEL_GS_BASE', Block.KERNEL_GS_BASE, canonical),
  inBlock(0xc0000103, 'IA32_TSC_AUX', Block.TSC_AUX, low32),
]

/** A revision that no update is newer than. */
const MICROCODE_REVISION = 0x1_0000n

const byIndex = new Map<number, MsrRow>()
for (const row of MSR_ROWS) for (let n = 0; n < (row.count ?? 1); n++) byIndex.set(row.index + n, row)

/** Indices of the MSRs that live in MsrStore. */
export const STORED_MSRS: readonly number[] = [...byIndex].filter(([, row]) => row.accepts !== undefined).map(([index]) => index)
export const acceptsStored = (index: number, value: bigint): boolean => byIndex.get(index)?.accepts?.(value, index) ?? false

/** Everything that is derived from the counter follows it. */
function setAdjustment(cpu: Processor, value: bigint): true {
  cpu.state.setBlockU64(Block.TSC_ADJUST, BigInt.asUintN(64, value))
  refreshSystemTime(cpu)
  cpu.environment.apic.tscChanged()
  return true
}

/** The value of an MSR, or null where RDMSR raises #GP(0). */
export function readMsr(cpu: Processor, index: number): bigint | null {
  return byIndex.get(index)?.read(cpu, index) ?? null
}

/** False where WRMSR raises #GP(0). */
export function writeMsr(cpu: Processor, index: number, value: bigint): boolean {
  return byIndex.get(index)?.write?.(cpu, value, index) ?? false
}

/** RDMSR. */
export function readModelSpecific(cpu: Processor): HelperOutcome {
  if (!privileged(cpu)) return HelperOutcome.FAULT
  const value = readMsr(cpu, cpu.state.gpr32(Gpr.RCX))
  if (value === null) return cpu.fail(Vector.GP)
  cpu.state.setGpr32(Gpr.RAX, Number(value & 0xffffffffn))
  cpu.state.setGpr32(Gpr.RDX, Number(value >> 32n))
  return HelperOutcome.OK
}

/** WRMSR; argument 0 is the next instruction's pointer. */
export function writeModelSpecific(cpu: Processor): HelperOutcome {
  if (!privileged(cpu)) return HelperOutcome.FAULT
  const { state } = cpu
  const value = (BigInt(state.gpr32(Gpr.RDX)) << 32n) | BigInt(state.gpr32(Gpr.RAX))
  if (!writeMsr(cpu, state.gpr32(Gpr.RCX), value)) return cpu.fail(Vector.GP)
  state.rip = cpu.argument64(0)
  return HelperOutcome.RESYNC
}

/** SWAPGS. */
export function swapGs(cpu: Processor): HelperOutcome {
  if (!privileged(cpu)) return HelperOutcome.FAULT
  const { state } = cpu
  const gs = state.slotU64(Slot.SEGMENT_BASE + Segment.GS * 8)
  state.setSlotU64(Slot.SEGMENT_BASE + Segment.GS * 8, state.blockU64(Block.KERNEL_GS_BASE))
  state.setBlockU64(Block.KERNEL_GS_BASE, gs)
  return HelperOutcome.OK
}
