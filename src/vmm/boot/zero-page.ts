import { gpa } from '../../base/addresses.ts'
import type { GuestPhysical } from '../../base/addresses.ts'
import type { GuestMemory } from '../../machine/memory.ts'
import type { E820Entry } from '../firmware/e820.ts'
import { BootArea } from './boot-area.ts'
import type { SetupHeader } from './setup-header.ts'
import { SETUP_HEADER_OFFSET } from './setup-header.ts'

/** What the loader tells the guest, by either protocol. Addresses are guest-physical. */
export interface BootInformation {
  readonly rsdp: GuestPhysical
  readonly memoryMap: readonly E820Entry[]
  readonly initrd?: { readonly address: number, readonly size: number }
}

/** Offsets in boot_params (Linux Documentation/arch/x86/zero-page.rst and boot.rst). */
const Field = {
  ACPI_RSDP_ADDR: 0x070, E820_ENTRIES: 0x1e8, VID_MODE: 0x1fa, BOOT_FLAG: 0x1fe, HEADER: 0x202, VERSION: 0x206,
  TYPE_OF_LOADER: 0x210, LOADFLAGS: 0x211, RAMDISK_IMAGE: 0x218, RAMDISK_SIZE: 0x21c, CMD_LINE_PTR: 0x228, E820_TABLE: 0x2d0,
} as const
const E820_ENTRY_SIZE = 20
const UNDEFINED_LOADER = 0xff
const VIDEO_MODE_NORMAL = 0xffff

/** Writes boot_params. Without a setup header (a vmlinux) the fields that the kernel itself reads get the values of a bzImage. */
export function writeZeroPage(memory: GuestMemory, information: BootInformation, header: SetupHeader | undefined): void {
  const page = new Uint8Array(4096)
  const view = new DataView(page.buffer)
  if (header !== undefined) page.set(header.bytes, SETUP_HEADER_OFFSET)
  else writeBareHeader(view)
  view.setUint16(Field.VID_MODE, VIDEO_MODE_NORMAL, true)
  view.setUint8(Field.TYPE_OF_LOADER, UNDEFINED_LOADER)
  view.setUint32(Field.CMD_LINE_PTR, BootArea.COMMAND_LINE, true)
  view.setUint32(Field.RAMDISK_IMAGE, information.initrd?.address ?? 0, true)
  view.setUint32(Field.RAMDISK_SIZE, information.initrd?.size ?? 0, true)
  view.setBigUint64(Field.ACPI_RSDP_ADDR, BigInt(information.rsdp), true)
  writeMemoryMap(view, information.memoryMap)
  memory.write(gpa(BootArea.ZERO_PAGE), page)
}

function writeBareHeader(view: DataView): void {
  const LOADED_HIGH = 1
  view.setUint16(Field.BOOT_FLAG, 0xaa55, true)
  view.setUint32(Field.HEADER, 0x53726448, true) // 'HdrS'
  view.setUint16(Field.VERSION, 0x20f, true)
  view.setUint8(Field.LOADFLAGS, LOADED_HIGH)
}

function writeMemoryMap(view: DataView, entries: readonly E820Entry[]): void {
  view.setUint8(Field.E820_ENTRIES, entries.length)
  entries.forEach(({ base, size, type }, index) => {
    const at = Field.E820_TABLE + index * E820_ENTRY_SIZE
    view.setBigUint64(at, BigInt(base), true)
    view.setBigUint64(at + 8, BigInt(size), true)
    view.setUint32(at + 16, type, true)
  })
}
