import { Block, Gpr } from '../state/layout.ts'
import { Cr4 } from './mode.ts'
import { HelperOutcome } from './outcome.ts'
import type { Processor } from './processor.ts'

/**
 * CPUID (SDM Vol. 2A) from one table of features, which also tells the decoder what exists.
 *
 * The processor says that it is an Intel Atom of the Cedarview kind (family 6, model 0x36): an in-order processor that does not
 * speculate. Kernels know that kind to be immune to Meltdown, Spectre and their successors and switch no mitigation on (Linux:
 * NO_SPECULATION in its table of vulnerabilities), which is the truth here: an interpreter has no speculation to attack. Features
 * beyond the model's own are announced by their bits, as everywhere. IA32_ARCH_CAPABILITIES says the same for systems that ask
 * there.
 */

const EAX = 0, EBX = 1, ECX = 2, EDX = 3
type Register = typeof EAX | typeof EBX | typeof ECX | typeof EDX

interface Feature {
  readonly name: string
  readonly leaf: number
  readonly register: Register
  readonly bit: number
}

function featureBits(leaf: number, register: Register, bits: Readonly<Record<string, number>>): Feature[] {
  return Object.entries(bits).map(([name, bit]) => ({ name, leaf, register, bit }))
}

/** Every feature that CPUID announces, named as the opcode table names it. */
export const FEATURES: readonly Feature[] = [
  ...featureBits(1, ECX, {
    SSE3: 0, PCLMULQDQ: 1, SSSE3: 9, FMA: 12, CX16: 13, SSE4_1: 19, SSE4_2: 20, X2APIC: 21, MOVBE: 22, POPCNT: 23, TSC_DEADLINE: 24,
    AES: 25, XSAVE: 26, AVX: 28, F16C: 29, RDRAND: 30, HYPERVISOR: 31,
  }),
  ...featureBits(1, EDX, {
    FPU: 0, VME: 1, DE: 2, PSE: 3, TSC: 4, MSR: 5, PAE: 6, CX8: 8, APIC: 9, SEP: 11, MTRR: 12, PGE: 13, CMOV: 15, PAT: 16,
    PSE36: 17, CLFSH: 19, MMX: 23, FXSR: 24, SSE: 25, SSE2: 26,
  }),
  ...featureBits(7, EBX, {
    FSGSBASE: 0, TSC_ADJUST: 1, BMI1: 3, AVX2: 5, SMEP: 7, BMI2: 8, ERMS: 9, FPU_SELECTORS_DEPRECATED: 13, RDSEED: 18, ADX: 19, SMAP: 20,
    SHA: 29,
  }),
  ...featureBits(7, ECX, { UMIP: 2 }),
  ...featureBits(7, EDX, { FSRM: 4, ARCH_CAPABILITIES: 29 }),
  ...featureBits(0x80000001, ECX, { LAHF64: 0, LZCNT: 5, PREFETCHW: 8 }),
  ...featureBits(0x80000001, EDX, { SYSCALL: 11, NX: 20, PAGE1GB: 26, RDTSCP: 27, LM: 29 }),
  ...featureBits(0x80000007, EDX, { INVARIANT_TSC: 8 }),
]

/** Names of all features, for the decoder. */
export const FEATURE_NAMES: ReadonlySet<string> = new Set(FEATURES.map(({ name }) => name))

/** EAX, EBX, ECX, EDX. */
export type CpuidAnswer = readonly [number, number, number, number]
/** Answers by leaf and subleaf. */
export type CpuidTable = ReadonlyMap<number, readonly CpuidAnswer[]>

const MAXIMUM_BASIC = 0x16
const MAXIMUM_EXTENDED = 0x80000008
const MAXIMUM_HYPERVISOR = 0x40000010
const NOTHING: CpuidAnswer = [0, 0, 0, 0]

/** Family 6, model 0x36, stepping 9; EDX holds it after a reset. */
export const SIGNATURE = 0x30669
const VENDOR = 'GenuineIntel'
const BRAND = 'Tenon virtual processor'
const TSC_HZ = 1_000_000_000
/** State components, as bits of XCR0. */
export const StateComponent = { X87: 1, SSE: 2, AVX: 4 } as const
export const XCR0_SUPPORTED = StateComponent.X87 | StateComponent.SSE | StateComponent.AVX

/** x87 is always there, and AVX only with SSE (SDM Vol. 1 §13.3). */
export function isValidXcr0(value: number): boolean {
  const has = (component: number): boolean => (value & component) !== 0
  return (value & ~XCR0_SUPPORTED) === 0 && has(StateComponent.X87) && (!has(StateComponent.AVX) || has(StateComponent.SSE))
}

/** The AVX component in an XSAVE area of the standard form: behind legacy region and header. */
export const AVX_COMPONENT = { offset: 576, size: 256 } as const
/** Bytes of an XSAVE area for the components of an XCR0, and for all. */
export const xsaveArea = (xcr0: number): number => AVX_COMPONENT.offset + ((xcr0 & StateComponent.AVX) !== 0 ? AVX_COMPONENT.size : 0)
export const XSAVE_AREA = xsaveArea(XCR0_SUPPORTED)

/** KVM's features (Linux Documentation/virt/kvm/x86/cpuid.rst): clock source, no I/O delays, new clock MSRs, stable clock. */
const KVM_FEATURES = (1 << 0) | (1 << 1) | (1 << 3) | (1 << 24)

/** Cache parameters of leaf 4: type (1 data, 2 instruction, 3 unified), level, ways, sets; lines have 64 bytes. */
function cacheLeaf(type: number, level: number, ways: number, sets: number, sharing: number): CpuidAnswer {
  return [type | (level << 5) | 0x100 | ((sharing - 1) << 14), (63 | ((ways - 1) << 22)) >>> 0, sets - 1, 0]
}

/** The table of one processor. */
export function buildCpuid(apicId: number, processorCount: number): CpuidTable {
  const bits = (leaf: number): CpuidAnswer =>
    [EAX, EBX, ECX, EDX].map((register) => featureWord(leaf, register as Register)) as never
  const [, , ecx1, edx1] = bits(1)
  const several = processorCount > 1
  const shift = Math.ceil(Math.log2(processorCount))
  const ebx1 = (8 << 8) | (Math.min(processorCount, 255) << 16) | ((apicId & 0xff) << 24)
  const table = new Map<number, readonly CpuidAnswer[]>([
    [0, [[MAXIMUM_BASIC, text(VENDOR, 0), text(VENDOR, 8), text(VENDOR, 4)]]],
    [1, [[SIGNATURE, ebx1 >>> 0, ecx1, (edx1 | (several ? 1 << 28 : 0)) >>> 0]]],
    // Descriptor 0xff: see leaf 4.
    [2, [[0x00ff01, 0, 0, 0]]],
    [4, [cacheLeaf(1, 1, 8, 64, 1), cacheLeaf(2, 1, 8, 64, 1), cacheLeaf(3, 2, 8, 1024, 1)]],
    // ARAT: the APIC timer never stops.
    [6, [[4, 0, 0, 0]]],
    [7, [bits(7)]],
    [0xb, [[0, 1, 0x100, apicId], [shift, processorCount, 0x201, apicId]]],
    // EBX of the first is what XCR0 asks for: see `identify`.
    [0xd, [[XCR0_SUPPORTED, XSAVE_AREA, XSAVE_AREA, 0], NOTHING, [AVX_COMPONENT.size, AVX_COMPONENT.offset, 0, 0]]],
    // The crystal is the TSC's own clock, and the APIC timer's.
    [0x15, [[1, 1, TSC_HZ, 0]]],
    [0x16, [[TSC_HZ / 1e6, TSC_HZ / 1e6, 100, 0]]],
    [0x40000000, [[MAXIMUM_HYPERVISOR, text('KVMKVMKVM', 0), text('KVMKVMKVM', 4), text('KVMKVMKVM', 8)]]],
    [0x40000001, [[KVM_FEATURES, 0, 0, 0]]],
    // Timing: TSC and APIC timer in kHz.
    [0x40000010, [[TSC_HZ / 1000, TSC_HZ / 1000, 0, 0]]],
    [0x80000000, [[MAXIMUM_EXTENDED, 0, 0, 0]]],
    [0x80000001, [bits(0x80000001)]],
    // L2: 512 KiB, 8 ways, 64-byte lines.
    [0x80000006, [[0, 0, (512 << 16) | (6 << 12) | 64, 0]]],
    [0x80000007, [bits(0x80000007)]],
    // 40 bits of physical address, 48 of linear.
    [0x80000008, [[40 | (48 << 8), 0, 0, 0]]],
  ])
  for (let n = 0; n < 3; n++) table.set(0x80000002 + n, [[0, 4, 8, 12].map((at) => text(BRAND, n * 16 + at)) as never])
  return table
}

function featureWord(leaf: number, register: Register): number {
  let word = 0
  for (const feature of FEATURES) if (feature.leaf === leaf && feature.register === register) word |= 1 << feature.bit
  return word >>> 0
}

/** Four characters as a little-endian word, zeros after the end. */
function text(characters: string, from: number): number {
  let word = 0
  for (let n = 3; n >= 0; n--) word = (word << 8) | (characters.charCodeAt(from + n) || 0)
  return word >>> 0
}

/**
 * What CPUID answers, but for what depends on the processor's state. Leaves beyond the last basic one read as that one (SDM Vol.
 * 2A).
 */
export function lookupCpuid(table: CpuidTable, leaf: number, subleaf: number): CpuidAnswer {
  const beyondBasic = isRange(leaf, 0x40000000, MAXIMUM_HYPERVISOR) || isRange(leaf, 0x80000000, MAXIMUM_EXTENDED)
  const answers = table.get(leaf <= MAXIMUM_BASIC || beyondBasic ? leaf : MAXIMUM_BASIC)
  if (answers === undefined) return NOTHING
  if (!HAS_SUBLEAVES.has(leaf)) return answers[0]
  return answers[subleaf] ?? (leaf === 0xb ? [0, 0, (subleaf & 0xff), answers[0][EDX]] : NOTHING)
}

/** Leaves whose answer depends on ECX. */
const HAS_SUBLEAVES: ReadonlySet<number> = new Set([4, 7, 0xb, 0xd])

const isRange = (leaf: number, from: number, to: number): boolean => leaf >= from && leaf <= to

/** CPUID. */
export function identify(cpu: Processor): HelperOutcome {
  const { state } = cpu
  const leaf = state.gpr32(Gpr.RAX)
  const subleaf = state.gpr32(Gpr.RCX)
  const [eax, ebx, ecx, edx] = lookupCpuid(cpu.cpuid, leaf, subleaf)
  const osxsave = leaf === 1 && (state.cr4 & Cr4.OSXSAVE) !== 0 ? 1 << 27 : 0
  state.setGpr32(Gpr.RAX, eax)
  state.setGpr32(Gpr.RBX, leaf === 0xd && subleaf === 0 ? xsaveArea(state.blockU32(Block.XCR0)) : ebx)
  state.setGpr32(Gpr.RCX, ecx | osxsave)
  state.setGpr32(Gpr.RDX, edx)
  return HelperOutcome.OK
}
