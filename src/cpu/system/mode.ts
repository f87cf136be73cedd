import { Flag } from '../state/flags.ts'
import { Block, Segment, Slot } from '../state/layout.ts'
import type { VcpuState } from '../state/vcpu-state.ts'

/** Control register and EFER bits by the SDM's names (Vol. 3A §2.5, §2.2.1). */
export const Cr0 = {
  PE: 1, MP: 2, EM: 4, TS: 8, ET: 0x10, NE: 0x20, WP: 0x10000, AM: 0x40000, NW: 0x20000000, CD: 0x40000000, PG: 0x80000000,
} as const
export const Cr4 = {
  VME: 1, PVI: 2, TSD: 4, DE: 8, PSE: 0x10, PAE: 0x20, MCE: 0x40, PGE: 0x80, PCE: 0x100, OSFXSR: 0x200, OSXMMEXCPT: 0x400,
  UMIP: 0x800, FSGSBASE: 0x10000, OSXSAVE: 0x40000, SMEP: 0x100000, SMAP: 0x200000,
} as const
export const Efer = { SCE: 1, LME: 0x100, LMA: 0x400, NXE: 0x800 } as const

/** Bits of a segment's attributes (see VcpuState.segmentAttributes). */
export const Attribute = {
  ACCESSED: 1, WRITABLE: 2, READABLE: 2, EXPAND_DOWN: 4, CONFORMING: 4, CODE: 8, NOT_SYSTEM: 0x10, DPL_SHIFT: 5, PRESENT: 0x80,
  LONG: 0x2000, BIG: 0x4000,
} as const

export const isProtected = (state: VcpuState): boolean => (state.cr0 & Cr0.PE) !== 0
export const isVirtual8086 = (state: VcpuState): boolean => (state.slotU32(Slot.SYSTEM_FLAGS) & Flag.VM) !== 0
/** Real mode or virtual-8086 mode: selectors are paragraphs. */
export const isReal = (state: VcpuState): boolean => !isProtected(state) || isVirtual8086(state)
/** IA-32e mode: 64-bit or compatibility mode. */
export const isLong = (state: VcpuState): boolean => (state.efer & Efer.LMA) !== 0

export const is64Bit = (state: VcpuState): boolean =>
  isLong(state) && (state.segmentAttributes(Segment.CS) & Attribute.LONG) !== 0

/** Width of the stack pointer in bits: 64-bit mode, or SS.B. */
export function stackBits(state: VcpuState): 16 | 32 | 64 {
  if (is64Bit(state)) return 64
  return (state.segmentAttributes(Segment.SS) & Attribute.BIG) !== 0 ? 32 : 16
}

/** RFLAGS.IOPL, 0 to 3. */
export const ioPrivilege = (state: VcpuState): number => (state.slotU32(Slot.SYSTEM_FLAGS) >> 12) & 3

/** Writes a 64-bit block register whose high half is zero. */
export const setRegister32 = (state: VcpuState, offset: number, value: number): void => {
  state.setBlockU32(offset, value)
  state.setBlockU32(offset + 4, 0)
}

/** CR0, CR4 and EFER have no bits above 31 here. */
export const setCr0 = (state: VcpuState, value: number): void => setRegister32(state, Block.CR0, value)
export const setCr4 = (state: VcpuState, value: number): void => setRegister32(state, Block.CR4, value)
export const setEfer = (state: VcpuState, value: number): void => setRegister32(state, Block.EFER, value)

export const canonical = (address: bigint): boolean =>
  BigInt.asUintN(64, BigInt.asIntN(48, address)) === BigInt.asUintN(64, address)
export const truncate = (value: bigint, bits: number): bigint => BigInt.asUintN(bits, value)
