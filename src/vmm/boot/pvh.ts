import { gpa } from '../../base/addresses.ts'
import type { GuestMemory } from '../../machine/memory.ts'
import { ByteWriter } from '../firmware/byte-writer.ts'
import { BootArea } from './boot-area.ts'
import type { ElfImage } from './elf.ts'
import type { InitialState, SegmentState } from './initial-state.ts'
import { FIRMWARE_MSRS, RFLAGS_AT_ENTRY } from './initial-state.ts'
import type { BootInformation } from './zero-page.ts'

/**
 * PVH, Xen's direct boot (Xen docs/misc/pvh.pandoc and public/arch-x86/hvm/start_info.h): an ELF note names a 32-bit entry, and EBX
 * points to a start info structure, version 1.
 */

const XEN_ELFNOTE_PHYS32_ENTRY = 18

/** The entry's physical address, if the kernel has one. The note holds 4 bytes, or 8 as Linux writes it. */
export function pvhEntry(elf: ElfImage): number | undefined {
  const note = elf.notes.find(({ owner, type }) => owner === 'Xen' && type === XEN_ELFNOTE_PHYS32_ENTRY)
  if (note === undefined || note.description.length < 4) return undefined
  return new DataView(note.description.buffer, note.description.byteOffset).getUint32(0, true)
}

const START_INFO_MAGIC = 0x336ec578
const VERSION_WITH_MEMORY_MAP = 1
const MODULE_LIST = BootArea.START_INFO + 0x40
const MEMORY_MAP = BootArea.START_INFO + 0x80

/** Writes the start info, its module list (the initrd is the only module) and its memory map. */
export function writeStartInfo(memory: GuestMemory, { rsdp, memoryMap, initrd }: BootInformation): void {
  const FLAGS = 0
  const modules = initrd === undefined ? 0 : 1
  const info = new ByteWriter().u32(START_INFO_MAGIC).u32(VERSION_WITH_MEMORY_MAP).u32(FLAGS).u32(modules)
    .u64(modules === 0 ? 0 : MODULE_LIST).u64(BootArea.COMMAND_LINE).u64(rsdp).u64(MEMORY_MAP).u32(memoryMap.length).u32(0)
  memory.write(gpa(BootArea.START_INFO), info.toBytes())
  if (initrd !== undefined) {
    memory.write(gpa(MODULE_LIST), new ByteWriter().u64(initrd.address).u64(initrd.size).u64(0).u64(0).toBytes())
  }
  const map = new ByteWriter()
  for (const { base, size, type } of memoryMap) map.u64(base).u64(size).u32(type).u32(0)
  memory.write(gpa(MEMORY_MAP), map.toBytes())
}

/** 32-bit protected mode without paging, flat segments, a TSS, interrupts off. There is no GDT: the kernel loads its own first. */
export function enterPvh(entry: number): InitialState {
  const data = segment(0xc093)
  return {
    mode: 'protected',
    rip: BigInt(entry),
    rflags: RFLAGS_AT_ENTRY,
    registers: { rbx: BigInt(BootArea.START_INFO) },
    cr0: CR0_PE | CR0_ET,
    cr3: 0,
    cr4: 0,
    efer: 0,
    segments: { cs: segment(0xc09b), ds: data, es: data, ss: data, fs: data, gs: data, tr: TASK, ldtr: NO_SEGMENT },
    gdtr: { base: 0n, limit: 0 },
    idtr: { base: 0n, limit: 0 },
    msrs: FIRMWARE_MSRS,
  }
}

const CR0_PE = 1
const CR0_ET = 1 << 4
const TASK: SegmentState = { selector: 0, base: 0n, limit: 0x67, attributes: 0x8b }
const NO_SEGMENT: SegmentState = { selector: 0, base: 0n, limit: 0, attributes: 0 }

function segment(attributes: number): SegmentState { return { selector: 0, base: 0n, limit: 0xffffffff, attributes } }
