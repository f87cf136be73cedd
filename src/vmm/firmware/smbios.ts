import { gpa } from '../../base/addresses.ts'
import type { GuestMemory } from '../../machine/memory.ts'
import type { MachineLayout } from '../layout.ts'
import { HIGH_MEMORY_BASE } from '../layout.ts'
import { ByteWriter, checksum } from './byte-writer.ts'

/**
 * SMBIOS 3.0 (DMTF DSP0134 3.0.0): how the guest learns the machine's make, serial number and memory modules.
 *
 * The 64-bit entry point stands at the start of `layout.firmware.smbios`, its structures right behind it: types 0 (BIOS),
 * 1 (system), 3 (chassis), 4 (one processor with a core per vCPU), 16, 17 and 19 (memory), 32 (boot) and 127 (end).
 */

/** What the machine says of itself. Strings are ASCII; control characters become question marks and 64 characters are kept. */
export interface MachineIdentity {
  readonly manufacturer: string
  readonly product: string
  readonly version: string
  readonly serial: string
  /** 16 bytes, in the order that the UUID is written. */
  readonly uuid: Uint8Array
  readonly chassisAssetTag: string
}

export const DEFAULT_IDENTITY: MachineIdentity = {
  manufacturer: 'Tenon',
  product: 'Machine',
  version: '1',
  serial: '',
  uuid: new Uint8Array(16),
  chassisAssetTag: '',
}

const ENTRY_POINT_SIZE = 24
const STRUCTURES_OFFSET = 32
/** Handles, one a structure; 0xfffe says "no error information" and 0xffff "not there". */
const Handle = {
  BIOS: 0x000, SYSTEM: 0x100, CHASSIS: 0x300, PROCESSOR: 0x400, ARRAY: 0x1000, MODULE: 0x1100, MAP: 0x1300, BOOT: 0x2000,
  END: 0x7f00, NO_ERROR_INFORMATION: 0xfffe, NONE: 0xffff,
} as const

/** Writes the entry point and its structures to guest memory. */
export function installSmbios(memory: GuestMemory, layout: MachineLayout, identity: MachineIdentity): void {
  const base = layout.firmware.smbios.base
  const structures = smbiosStructures(layout, identity)
  memory.write(gpa(base), smbiosEntryPoint(base + STRUCTURES_OFFSET, structures.length))
  memory.write(gpa(base + STRUCTURES_OFFSET), structures)
}

/** 64-bit entry point (§5.2.2). */
export function smbiosEntryPoint(address: number, size: number): Uint8Array {
  const bytes = new ByteWriter().ascii('_SM3_').u8(0).u8(ENTRY_POINT_SIZE).u8(3).u8(0).u8(0).u8(1).u8(0)
    .u32(size).u64(address).toBytes()
  bytes[5] = checksum(bytes)
  return bytes
}

export function smbiosStructures(layout: MachineLayout, identity: MachineIdentity): Uint8Array {
  const writer = new ByteWriter()
  const parts = [bios(), system(identity), chassis(identity), processor(layout, identity), memoryArray(layout),
    memoryModule(layout, identity), ...mappedRanges(layout), boot(), end()]
  for (const part of parts) writer.bytes(part)
  return writer.toBytes()
}

/** Builds a structure's fields; `text` adds a string and writes its number, 0 for an empty one (§6.1.3). */
class Structure {
  readonly body = new ByteWriter()
  readonly #type: number
  readonly #handle: number
  readonly #strings: string[] = []

  constructor(type: number, handle: number) {
    this.#type = type
    this.#handle = handle
  }

  text(value: string): this {
    if (value !== '') this.#strings.push(value)
    this.body.u8(value === '' ? 0 : this.#strings.length)
    return this
  }

  toBytes(): Uint8Array {
    const bytes = new ByteWriter().u8(this.#type).u8(4 + this.body.length).u16(this.#handle).bytes(this.body.toBytes())
    for (const value of this.#strings) bytes.ascii(value.slice(0, 64)).u8(0)
    return (this.#strings.length === 0 ? bytes.u16(0) : bytes.u8(0)).toBytes()
  }
}

/** Type 0 (§7.1). Characteristics: "not supported" but for the extension's "virtual machine". */
function bios(): Uint8Array {
  const structure = new Structure(0, Handle.BIOS)
  const START_SEGMENT = 0xe000
  const NOT_SUPPORTED = 1 << 3
  const VIRTUAL_MACHINE = 1 << 4
  const NO_EMBEDDED_CONTROLLER = 0xff
  structure.text('Tenon').text('1.0').body.u16(START_SEGMENT)
  structure.text('01/01/2025').body.u8(1).u64(NOT_SUPPORTED).u8(0).u8(VIRTUAL_MACHINE).u8(1).u8(0)
    .u8(NO_EMBEDDED_CONTROLLER).u8(NO_EMBEDDED_CONTROLLER)
  return structure.toBytes()
}

/** Type 1 (§7.2). */
function system(identity: MachineIdentity): Uint8Array {
  const POWER_SWITCH = 6
  const structure = new Structure(1, Handle.SYSTEM)
  structure.text(identity.manufacturer).text(identity.product).text(identity.version).text(identity.serial)
  structure.body.bytes(uuidField(identity.uuid)).u8(POWER_SWITCH)
  return structure.text('').text('').toBytes()
}

/** The first three fields of a UUID are little-endian (§7.2.1). */
function uuidField(uuid: Uint8Array): number[] {
  return [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15].map(index => uuid[index])
}

/** Type 3 (§7.4). */
function chassis(identity: MachineIdentity): Uint8Array {
  const OTHER = 1
  const SAFE = 3
  const SECURITY_NONE = 3
  const structure = new Structure(3, Handle.CHASSIS)
  structure.text(identity.manufacturer).body.u8(OTHER)
  structure.text(identity.version).text(identity.serial).text(identity.chassisAssetTag)
  structure.body.u8(SAFE).u8(SAFE).u8(SAFE).u8(SECURITY_NONE).u32(0).u8(0).u8(0).u8(0).u8(0)
  return structure.text('').toBytes()
}

/** Type 4 (§7.5). Speeds and voltage are 0: unknown. */
function processor({ vcpus }: MachineLayout, identity: MachineIdentity): Uint8Array {
  const CENTRAL_PROCESSOR = 3
  const OTHER = 1
  const POPULATED_AND_ENABLED = 0x41
  const CHARACTERISTICS = 1 << 2 | (vcpus > 1 ? 1 << 3 : 0) // 64-bit capable, multi-core
  const count8 = Math.min(vcpus, 0xff)
  const structure = new Structure(4, Handle.PROCESSOR)
  structure.text('CPU 0').body.u8(CENTRAL_PROCESSOR).u8(OTHER)
  structure.text(identity.manufacturer).body.u64(0)
  structure.text('').body.u8(0).u16(0).u16(0).u16(0).u8(POPULATED_AND_ENABLED).u8(OTHER)
    .u16(Handle.NONE).u16(Handle.NONE).u16(Handle.NONE)
  structure.text('').text('').text('').body.u8(count8).u8(count8).u8(count8).u16(CHARACTERISTICS).u16(OTHER)
    .u16(vcpus).u16(vcpus).u16(vcpus)
  return structure.toBytes()
}

const memorySize = ({ ram }: MachineLayout): number => ram.lowSize + ram.highSize

/** Type 16 (§7.17): an array of one module. */
function memoryArray(layout: MachineLayout): Uint8Array {
  const SYSTEM_BOARD = 3
  const SYSTEM_MEMORY = 3
  const NO_ERROR_CORRECTION = 3
  const SEE_EXTENDED = 0x80000000
  const kibibytes = memorySize(layout) / 1024
  const fits = kibibytes < SEE_EXTENDED
  const structure = new Structure(16, Handle.ARRAY)
  structure.body.u8(SYSTEM_BOARD).u8(SYSTEM_MEMORY).u8(NO_ERROR_CORRECTION).u32(fits ? kibibytes : SEE_EXTENDED)
    .u16(Handle.NO_ERROR_INFORMATION).u16(1).u64(fits ? 0 : memorySize(layout))
  return structure.toBytes()
}

/** Type 17 (§7.18). */
function memoryModule(layout: MachineLayout, identity: MachineIdentity): Uint8Array {
  const UNKNOWN_WIDTH = 0xffff
  const DIMM = 9
  const RAM = 7
  const DETAIL_OTHER = 1 << 1
  const size = moduleSize(memorySize(layout))
  const structure = new Structure(17, Handle.MODULE)
  structure.body.u16(Handle.ARRAY).u16(Handle.NO_ERROR_INFORMATION).u16(UNKNOWN_WIDTH).u16(UNKNOWN_WIDTH)
    .u16(size.size).u8(DIMM).u8(0)
  structure.text('DIMM 0').text('').body.u8(RAM).u16(DETAIL_OTHER).u16(0)
  structure.text(identity.manufacturer).text('').text('').text('').body.u8(0).u32(size.extended).u16(0).u16(0).u16(0).u16(0)
  return structure.toBytes()
}

/** Size in MiB, or in KiB with bit 15 set, or 0x7fff and an extended size in MiB. */
function moduleSize(bytes: number): { size: number, extended: number } {
  const kibibytes = bytes / 1024
  if (kibibytes % 1024 !== 0 && kibibytes < 0x8000) return { size: 0x8000 | kibibytes, extended: 0 }
  const mebibytes = Math.floor(kibibytes / 1024)
  return mebibytes < 0x7fff ? { size: mebibytes, extended: 0 } : { size: 0x7fff, extended: mebibytes }
}

/** Type 19 (§7.20): where the array stands in guest-physical memory, one range below the hole and one above it. */
function mappedRanges({ ram }: MachineLayout): Uint8Array[] {
  const ranges = [{ base: 0, size: ram.lowSize }, { base: HIGH_MEMORY_BASE as number, size: ram.highSize }]
  return ranges.filter(range => range.size > 0).map(({ base, size }, index) => {
    const structure = new Structure(19, Handle.MAP + index)
    const last = (base + size) / 1024 - 1
    const fits = last < 0xffffffff
    structure.body.u32(fits ? base / 1024 : 0xffffffff).u32(fits ? last : 0xffffffff).u16(Handle.ARRAY).u8(1)
      .u64(fits ? 0 : base).u64(fits ? 0 : base + size - 1)
    return structure.toBytes()
  })
}

/** Type 32 (§7.33): no errors in the last boot. */
function boot(): Uint8Array {
  const structure = new Structure(32, Handle.BOOT)
  structure.body.zeros(7)
  return structure.toBytes()
}

function end(): Uint8Array { return new Structure(127, Handle.END).toBytes() }
