import { gpa } from '../../base/addresses.ts'
import type { GuestPhysical } from '../../base/addresses.ts'
import type { GuestMemory } from '../../machine/memory.ts'
import { e820Map } from '../firmware/e820.ts'
import type { MachineLayout } from '../layout.ts'
import { KERNEL_AREA } from './boot-area.ts'
import { LINUX_COMMAND_LINE_LIMIT, writeCommandLine } from './command-line.ts'
import type { ElfImage, ElfSegment } from './elf.ts'
import { bootError, formatSize } from './errors.ts'
import type { InitialState } from './initial-state.ts'
import type { KernelImage } from './kernel-image.ts'
import { enterLinux64 } from './linux64.ts'
import { enterPvh, pvhEntry, writeStartInfo } from './pvh.ts'
import { writeZeroPage } from './zero-page.ts'
import type { BootInformation } from './zero-page.ts'

/**
 * How the kernel is entered. `linux64`: Linux's 64-bit protocol. `pvh`: the 32-bit entry that an ELF note names. `auto`: the 64-bit
 * protocol where there is a setup header to go with it, else PVH, else the 64-bit protocol if the ELF is Linux.
 */
export type KernelEntry = 'auto' | 'linux64' | 'pvh'

export interface BootRequest {
  readonly kernel: KernelImage
  /** UTF-8 for the guest; Linux reads up to 2,047 bytes. */
  readonly commandLine: string
  readonly initrd?: Uint8Array
  readonly entry?: KernelEntry
  /** From installFirmware. */
  readonly rsdp: GuestPhysical
}

/**
 * Loads a kernel with its command line and initrd and says how the boot processor enters it. `memory` is that of `layout` and holds
 * zeros where nothing was written, as after power-on. Throws TenonError (BootErrorCode); memory is then in no useful state.
 */
export function loadKernel(memory: GuestMemory, layout: MachineLayout, request: BootRequest): InitialState {
  const { kernel } = request
  const plan = planBoot(kernel, request.entry ?? 'auto')
  checkPlacement(plan, layout)
  const initrd = placeInitrd(request.initrd, plan, layout)
  writeCommandLine(memory, request.commandLine, kernel.header?.commandLineSize ?? LINUX_COMMAND_LINE_LIMIT)
  for (const { address, bytes } of plan.pieces) memory.write(gpa(address), bytes)
  if (initrd !== undefined) memory.write(gpa(initrd.address), request.initrd!)
  const information = { rsdp: request.rsdp, memoryMap: e820Map(layout), initrd }
  if (plan.protocol === 'pvh') {
    writeStartInfo(memory, information)
    return enterPvh(plan.entry)
  }
  writeZeroPage(memory, information, kernel.header)
  return enterLinux64(memory, plan.entry)
}

interface BootPlan {
  readonly protocol: 'linux64' | 'pvh'
  readonly entry: number
  readonly pieces: readonly { readonly address: number, readonly bytes: Uint8Array }[]
  /** All memory that the kernel uses before it reads the memory map, end not included. */
  readonly start: number
  readonly end: number
  readonly initrdLimit: number
}

const DEFAULT_INITRD_LIMIT = 0x80000000

function planBoot(kernel: KernelImage, wanted: KernelEntry): BootPlan {
  if (kernel.elf === undefined) return planBzImage(kernel, wanted)
  const pvh = pvhEntry(kernel.elf)
  const protocol = wanted === 'auto' ? automaticProtocol(kernel, pvh) : wanted
  if (protocol === 'pvh') {
    if (pvh === undefined) throw unsupported('this kernel has no PVH entry (no Xen PHYS32_ENTRY note): use entry auto or linux64')
    return planElf(kernel, kernel.elf, 'pvh', pvh)
  }
  if (kernel.elf.class !== 64) throw unsupported('this is a 32-bit ELF kernel without a PVH entry: use one for x86-64')
  return planElf(kernel, kernel.elf, 'linux64', kernel.elf.entry)
}

function automaticProtocol(kernel: KernelImage, pvh: number | undefined): 'linux64' | 'pvh' {
  if (kernel.header !== undefined) return 'linux64'
  if (pvh !== undefined) return 'pvh'
  if (kernel.elf!.class === 64 && isLinux(kernel.elf!)) return 'linux64'
  throw unsupported('this ELF file is neither Linux for x86-64 nor has it a PVH entry: there is no way to start it')
}

/** A bzImage as it is: it decompresses itself, entered 0x200 bytes into its protected-mode code. */
function planBzImage({ header, file }: KernelImage, wanted: KernelEntry): BootPlan {
  if (header === undefined) throw bootError('KERNEL_NOT_RECOGNISED', 'there is no kernel to load')
  if (wanted === 'pvh') {
    throw unsupported('the host cannot decompress this bzImage, so its PVH entry is out of reach: use entry auto or linux64')
  }
  const ENTRY_64 = 0x200
  return {
    protocol: 'linux64',
    entry: header.loadAddress + ENTRY_64,
    pieces: [{ address: header.loadAddress, bytes: file.subarray(header.codeOffset, header.codeOffset + header.codeSize) }],
    start: header.loadAddress,
    end: header.loadAddress + header.initSize,
    initrdLimit: header.initrdAddressMaximum + 1,
  }
}

function planElf({ header }: KernelImage, elf: ElfImage, protocol: 'linux64' | 'pvh', entry: number): BootPlan {
  const { segments } = elf
  const last = segments[segments.length - 1]
  if (!segments.some(({ physical, memorySize }) => entry >= physical && entry < physical + memorySize)) {
    throw bootError('KERNEL_CORRUPT', `the kernel's entry 0x${entry.toString(16)} is outside what it loads: the file is damaged`)
  }
  return {
    protocol,
    entry,
    pieces: segments.map(segment => ({ address: segment.physical, bytes: segmentBytes(elf, segment) })),
    start: segments[0].physical,
    end: last.physical + last.memorySize,
    initrdLimit: header === undefined ? DEFAULT_INITRD_LIMIT : header.initrdAddressMaximum + 1,
  }
}

function segmentBytes({ file }: ElfImage, { offset, fileSize }: ElfSegment): Uint8Array {
  return file.subarray(offset, offset + fileSize)
}

function checkPlacement({ start, end }: BootPlan, { ram, pci }: MachineLayout): void {
  if (start < KERNEL_AREA) {
    throw unsupported(`this kernel wants to be loaded at 0x${start.toString(16)}, below 1 MiB, where firmware is`)
  }
  if (end > pci.ecam.base) {
    throw bootError('KERNEL_TOO_LARGE',
      `this kernel reaches up to 0x${end.toString(16)}, and memory for it ends at 0x${pci.ecam.base.toString(16)}`)
  }
  if (end > ram.lowSize) {
    throw bootError('MEMORY_TOO_SMALL',
      `this kernel needs at least ${formatSize(end)} of memory and the machine has ${formatSize(ram.lowSize)}: give it more`)
  }
}

/** As high as the kernel allows, on a page boundary: far from where the kernel itself allocates first. An empty initrd is none. */
function placeInitrd(initrd: Uint8Array | undefined, plan: BootPlan, { ram }: MachineLayout): BootInformation['initrd'] {
  if (initrd === undefined || initrd.length === 0) return undefined
  const limit = Math.min(ram.lowSize, plan.initrdLimit)
  const address = Math.floor((limit - initrd.length) / 4096) * 4096
  if (address < plan.end) {
    const free = Math.max(limit - plan.end, 0)
    throw bootError('INITRD_TOO_LARGE',
      `the initrd has ${formatSize(initrd.length)} and ${formatSize(free)} are free beside the kernel: `
      + 'give the machine more memory, or a smaller initrd')
  }
  return { address, size: initrd.length }
}

/** Linux names itself in its notes, or (before those) in its banner. */
function isLinux(elf: ElfImage): boolean {
  return elf.notes.some(({ owner }) => owner === 'Linux') || contains(elf.file, 'Linux version ')
}

function contains(bytes: Uint8Array, text: string): boolean {
  const codes = Array.from(text, character => character.charCodeAt(0))
  const last = bytes.length - codes.length
  for (let at = 0; at <= last; at++) {
    if (bytes[at] === codes[0] && codes.every((code, index) => bytes[at + index] === code)) return true
  }
  return false
}

function unsupported(message: string): Error { return bootError('KERNEL_UNSUPPORTED', message) }
