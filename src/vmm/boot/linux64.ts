import { gpa } from '../../base/addresses.ts'
import type { GuestMemory } from '../../machine/memory.ts'
import { BootArea } from './boot-area.ts'
import type { InitialState, SegmentState } from './initial-state.ts'
import { FIRMWARE_MSRS, RFLAGS_AT_ENTRY } from './initial-state.ts'

/**
 * The processor as Linux's 64-bit boot protocol wants it (Documentation/arch/x86/boot.rst, "64-bit Boot Protocol"): long mode, the
 * first 4 GiB mapped to themselves, flat segments at selectors 0x10 and 0x18, RSI at the zero page, interrupts off.
 */
export function enterLinux64(memory: GuestMemory, entry: number): InitialState {
  const gdtSize = writeGdt(memory)
  writeIdentityMap(memory)
  const [code, data] = [segment(0x10, CODE64_ATTRIBUTES), segment(0x18, DATA_ATTRIBUTES)]
  return {
    mode: 'long',
    rip: BigInt(entry),
    rflags: RFLAGS_AT_ENTRY,
    registers: { rsi: BigInt(BootArea.ZERO_PAGE), rsp: BigInt(BootArea.STACK_TOP) },
    cr0: CR0_PG_NE_ET_PE,
    cr3: BootArea.PAGE_TABLES,
    cr4: CR4_PAE,
    efer: EFER_LME | EFER_LMA,
    segments: { cs: code, ds: data, es: data, ss: data, fs: data, gs: data, tr: TASK, ldtr: NO_SEGMENT },
    gdtr: { base: BigInt(BootArea.GDT), limit: gdtSize - 1 },
    idtr: { base: 0n, limit: 0 },
    msrs: FIRMWARE_MSRS,
  }
}

/** Paging, native x87 errors, the fixed ET bit, protection. */
const CR0_PG_NE_ET_PE = 0x80000031
const CR4_PAE = 1 << 5
const EFER_LME = 1 << 8
const EFER_LMA = 1 << 10

const CODE64_ATTRIBUTES = 0xa09b
const DATA_ATTRIBUTES = 0xc093

function segment(selector: number, attributes: number): SegmentState {
  return { selector, base: 0n, limit: 0xffffffff, attributes }
}

/** A busy 64-bit TSS, which long mode needs to have in TR, and no LDT. */
const TASK: SegmentState = { selector: 0, base: 0n, limit: 0x67, attributes: 0x8b }
const NO_SEGMENT: SegmentState = { selector: 0, base: 0n, limit: 0, attributes: 0 }

/** Two unused descriptors, then code and data: 4 GiB from 0. Returns the table's size. */
function writeGdt(memory: GuestMemory): number {
  const descriptors = [0n, 0n, flatDescriptor(CODE64_ATTRIBUTES), flatDescriptor(DATA_ATTRIBUTES)]
  descriptors.forEach((value, index) => memory.writeU64(gpa(BootArea.GDT + 8 * index), value))
  return 8 * descriptors.length
}

/** Base 0, limit 0xfffff pages (SDM Vol. 3A §3.4.5). */
function flatDescriptor(attributes: number): bigint {
  return BigInt(attributes & 0xf0ff) << 40n | 0xfn << 48n | 0xffffn
}

/** Four levels down to 2 MiB pages (SDM Vol. 3A §4.5.4): every processor has those. */
function writeIdentityMap(memory: GuestMemory): void {
  const PRESENT_WRITABLE = 0x3n
  const LARGE_PAGE = 0x80n
  const pointers = BootArea.PAGE_TABLES + 0x1000
  const directories = BootArea.PAGE_TABLES + 0x2000
  memory.writeU64(gpa(BootArea.PAGE_TABLES), BigInt(pointers) | PRESENT_WRITABLE)
  for (let gibibyte = 0; gibibyte < 4; gibibyte++) {
    memory.writeU64(gpa(pointers + 8 * gibibyte), BigInt(directories + 0x1000 * gibibyte) | PRESENT_WRITABLE)
  }
  for (let index = 0; index < 4 * 512; index++) {
    memory.writeU64(gpa(directories + 8 * index), BigInt(index * 0x200000) | LARGE_PAGE | PRESENT_WRITABLE)
  }
}
