import { PHYSICAL_ADDRESS_BITS } from '../../machine/frame-map.ts'
import { Block, Segment, Slot } from '../state/layout.ts'
import type { SegmentIndex } from '../state/layout.ts'
import type { VcpuState } from '../state/vcpu-state.ts'
import { isValidXcr0 } from './cpuid.ts'
import { Cr0, Cr4, Efer, canonical, is64Bit, isLong, isProtected, isVirtual8086 } from './mode.ts'

/**
 * Whether a state can be that of a processor at all: what instructions take care of one by one, seen as a whole. The rules are
 * those for guest state at VM entry (SDM Vol. 3C §26.3.1), as far as there is state for them.
 */

export interface Contradiction { readonly name: string, readonly what: string }

interface Rule extends Contradiction { readonly holds: (state: VcpuState) => boolean }

const has = (value: number, bit: number): boolean => (value & bit) !== 0
const isWord = (value: bigint): boolean => value >> 32n === 0n
const tss = (state: VcpuState): number => state.segmentAttributes(Segment.TR) & 0x9f
const BUSY_TSS = [0x83, 0x8b]

const inBlock = (name: string, offset: number, what: string, holds: (value: bigint) => boolean): Rule =>
  ({ name, what, holds: (state) => holds(state.blockU64(offset)) })
const canonicalBase = (name: string, index: SegmentIndex): Rule =>
  ({ name, what: 'has a base that is not canonical', holds: (state) => canonical(state.segmentBase(index)) })
const lowBase = (name: string, index: SegmentIndex): Rule =>
  ({ name, what: 'has a base above 4 GiB', holds: (state) => isWord(state.segmentBase(index)) })
const canonicalRegister = (name: string, offset: number): Rule => inBlock(name, offset, 'is not canonical', canonical)
const wordRegister = (name: string, offset: number): Rule => inBlock(name, offset, 'has bits above 31', isWord)

const RULES: readonly Rule[] = [
  { name: 'CR0', what: 'has paging without protected mode', holds: (s) => !has(s.cr0, Cr0.PG) || isProtected(s) },
  { name: 'CR0', what: 'has NW without CD', holds: (s) => !has(s.cr0, Cr0.NW) || has(s.cr0, Cr0.CD) },
  {
    name: 'EFER', what: 'has an LMA that does not follow from LME and CR0.PG',
    holds: (s) => isLong(s) === (has(s.efer, Efer.LME) && has(s.cr0, Cr0.PG)),
  },
  { name: 'CR4', what: 'lacks PAE in long mode', holds: (s) => !isLong(s) || has(s.cr4, Cr4.PAE) },
  inBlock('XCR0', Block.XCR0, 'is no set of state components', (value) => isValidXcr0(Number(value))),
  inBlock('CR3', Block.CR3, 'is beyond the physical addresses', (value) => value >> BigInt(PHYSICAL_ADDRESS_BITS) === 0n),
  { name: 'RIP', what: 'is above 4 GiB outside 64-bit mode', holds: (s) => is64Bit(s) || isWord(s.rip) },
  { name: 'RFLAGS', what: 'has VM in real or long mode', holds: (s) => !isVirtual8086(s) || (isProtected(s) && !isLong(s)) },
  { name: 'CPL', what: 'is not 3 in virtual-8086 mode', holds: (s) => !isVirtual8086(s) || s.cpl === 3 },
  { name: 'CPL', what: 'is not 0 in real mode', holds: (s) => isProtected(s) || s.cpl === 0 },
  { name: 'TR', what: 'holds no busy TSS', holds: (s) => BUSY_TSS.includes(tss(s)) },
  lowBase('ES', Segment.ES), lowBase('CS', Segment.CS), lowBase('SS', Segment.SS), lowBase('DS', Segment.DS),
  canonicalBase('FS', Segment.FS), canonicalBase('GS', Segment.GS), canonicalBase('LDTR', Segment.LDTR),
  canonicalBase('TR', Segment.TR),
  canonicalRegister('GDTR', Block.GDTR), canonicalRegister('IDTR', Block.IDTR),
  canonicalRegister('LSTAR', Block.LSTAR), canonicalRegister('CSTAR', Block.CSTAR),
  canonicalRegister('KERNEL_GS_BASE', Block.KERNEL_GS_BASE),
  canonicalRegister('SYSENTER_ESP', Block.SYSENTER_ESP), canonicalRegister('SYSENTER_EIP', Block.SYSENTER_EIP),
  wordRegister('SYSENTER_CS', Block.SYSENTER_CS), wordRegister('FMASK', Block.FMASK), wordRegister('TSC_AUX', Block.TSC_AUX),
  wordRegister('DR6', Block.DR + 48), wordRegister('DR7', Block.DR + 56),
  { name: 'retired', what: 'is too much to count', holds: (s) => s.slotU64(Slot.RETIRED) <= BigInt(Number.MAX_SAFE_INTEGER) },
]

/** The first thing about a state that cannot be, if there is one. */
export function contradiction(state: VcpuState): Contradiction | undefined {
  return RULES.find((rule) => !rule.holds(state))
}
