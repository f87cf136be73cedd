import type { AddressRange, MachineLayout } from '../layout.ts'
import { ByteWriter, checksum } from './byte-writer.ts'
import { dsdtBody } from './dsdt.ts'

/**
 * The ACPI tables (ACPI 6.0 §5.2), each as the bytes that stand in guest memory. acpi.ts places them.
 *
 * The machine is always in ACPI mode: the FADT gives no SMI command port, so PM1a's SCI_EN must read as one (§4.8.2.5).
 */

const HEADER_SIZE = 36
const CHECKSUM_OFFSET = 9

/** Root System Description Pointer, revision 2 (§5.2.5.3). `xsdt` is a guest-physical address. */
export function rsdp(xsdt: number): Uint8Array {
  const FIRST_VERSION_SIZE = 20
  const EXTENDED_CHECKSUM_OFFSET = 32
  const bytes = new ByteWriter().ascii('RSD PTR ').u8(0).ascii(OEM_ID, 6, 0x20).u8(2).u32(0)
    .u32(36).u64(xsdt).u8(0).zeros(3).toBytes()
  bytes[8] = checksum(bytes.subarray(0, FIRST_VERSION_SIZE))
  bytes[EXTENDED_CHECKSUM_OFFSET] = checksum(bytes)
  return bytes
}

/** Extended System Description Table (§5.2.8): the addresses of all other tables. */
export function xsdt(tables: readonly number[]): Uint8Array {
  const body = new ByteWriter()
  for (const address of tables) body.u64(address)
  return table('XSDT', 1, body.toBytes())
}

/** Firmware ACPI Control Structure (§5.2.10): 64 bytes, aligned to 64. Required, though only sleep states use it. */
export function facs(): Uint8Array {
  return new ByteWriter().ascii('FACS').u32(64).zeros(24).u8(2).zeros(31).toBytes()
}

export function dsdt(layout: MachineLayout): Uint8Array {
  const REVISION_WITH_64_BIT_INTEGERS = 2
  return table('DSDT', REVISION_WITH_64_BIT_INTEGERS, dsdtBody(layout))
}

/** PCI Express memory-mapped configuration space (PCI Firmware Specification 3.2 §4.1.2). */
export function mcfg({ pci }: MachineLayout): Uint8Array {
  const SEGMENT = 0
  return table('MCFG', 1, new ByteWriter().zeros(8)
    .u64(pci.ecam.base).u16(SEGMENT).u8(0).u8(pci.busCount - 1).zeros(4).toBytes())
}

/** IAPC_BOOT_ARCH (§5.2.9.3): ISA devices and an 8042 are there; VGA and ASPM control are not. */
const BOOT_ARCHITECTURE = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 4
/** FADT flags (§5.2.9): WBINVD, PROC_C1, SLP_BUTTON (none), FIX_RTC (no fixed event), RESET_REG_SUP. The power button is fixed. */
const FIXED_FEATURES = 1 << 0 | 1 << 2 | 1 << 5 | 1 << 6 | 1 << 10
/** A latency above these limits says that the C2 and C3 states are not there. */
const NO_C2_LATENCY = 101
const NO_C3_LATENCY = 1001
const CENTURY_CMOS_INDEX = 0x32

/** Fixed ACPI Description Table, revision 6 (§5.2.9). */
export function fadt(layout: MachineLayout, facsAddress: number, dsdtAddress: number): Uint8Array {
  const { acpi } = layout
  const body = new ByteWriter()
  body.u32(facsAddress).u32(dsdtAddress).u8(0).u8(PROFILE_ENTERPRISE_SERVER).u16(acpi.sciIrq)
  body.u32(0).zeros(4) // SMI_CMD and what would be written to it: ACPI is always on
  body.u32(acpi.pm1aEvent.base).u32(0).u32(acpi.pm1aControl.base).u32(0).u32(0).u32(acpi.pmTimer.base).u32(acpi.gpe0.base).u32(0)
  body.u8(acpi.pm1aEvent.size).u8(acpi.pm1aControl.size).u8(0).u8(acpi.pmTimer.size).u8(acpi.gpe0.size).zeros(3)
  body.u16(NO_C2_LATENCY).u16(NO_C3_LATENCY).zeros(8) // cache flush strides, duty cycle and alarms: none
  body.u8(CENTURY_CMOS_INDEX).u16(BOOT_ARCHITECTURE).u8(0).u32(FIXED_FEATURES)
  portRegister(body, { base: acpi.resetPort, size: 1 }, Access.BYTE)
  body.u8(acpi.resetValue).zeros(3) // no ARM flags, minor version 0
  body.u64(0).u64(dsdtAddress) // X_FIRMWARE_CTRL stays 0: the FACS is below 4 GiB
  extendedRegisters(body, layout)
  return table('FACP', 6, body.u64(0).toBytes())
}

const PROFILE_ENTERPRISE_SERVER = 4

/** Access sizes of a generic address, in its own coding (§5.2.3.2). */
export const Access = { BYTE: 1, WORD: 2, DWORD: 3 } as const
export type AccessSize = typeof Access[keyof typeof Access]

/** The X_ fields: the same register blocks as generic addresses, then the sleep registers of hardware-reduced machines. */
function extendedRegisters(body: ByteWriter, { acpi }: MachineLayout): void {
  const GENERIC_ADDRESS_SIZE = 12
  portRegister(body, acpi.pm1aEvent, Access.WORD).zeros(GENERIC_ADDRESS_SIZE)
  portRegister(body, acpi.pm1aControl, Access.WORD).zeros(2 * GENERIC_ADDRESS_SIZE)
  portRegister(body, acpi.pmTimer, Access.DWORD)
  portRegister(body, acpi.gpe0, Access.BYTE).zeros(3 * GENERIC_ADDRESS_SIZE)
}

/** Generic Address Structure (§5.2.3.2) of an I/O register block. */
export function portRegister(body: ByteWriter, { base, size }: AddressRange, access: AccessSize): ByteWriter {
  const SYSTEM_IO = 1
  return body.u8(SYSTEM_IO).u8(size * 8).u8(0).u8(access).u64(base)
}

const MadtType = {
  LOCAL_APIC: 0, IO_APIC: 1, SOURCE_OVERRIDE: 2, LOCAL_APIC_NMI: 4, LOCAL_X2APIC: 9, LOCAL_X2APIC_NMI: 10,
} as const
/** MPS INTI flags (§5.2.12.5): as the bus has it, or level-triggered and active high. */
const INTI_BUS_DEFAULT = 0x0
const INTI_LEVEL_HIGH = 0xd
/** The first APIC ID that only an x2APIC entry can hold. */
const FIRST_X2APIC_ONLY_ID = 255

/** Multiple APIC Description Table, revision 3 (§5.2.12). */
export function madt(layout: MachineLayout): Uint8Array {
  const PCAT_COMPAT = 1
  const body = new ByteWriter().u32(layout.localApic.base).u32(PCAT_COMPAT)
  for (let id = 0; id < layout.vcpus; id++) localApicEntry(body, id)
  const { ioApic, pit, acpi } = layout
  body.u8(MadtType.IO_APIC).u8(12).u8(ioApic.id).u8(0).u32(ioApic.base).u32(0)
  sourceOverride(body, pit.irq, pit.gsi, INTI_BUS_DEFAULT)
  sourceOverride(body, acpi.sciIrq, acpi.sciIrq, INTI_LEVEL_HIGH)
  localApicNmi(body, layout.vcpus)
  return table('APIC', 3, body.toBytes())
}

function localApicEntry(body: ByteWriter, id: number): void {
  const ENABLED = 1
  if (id < FIRST_X2APIC_ONLY_ID) body.u8(MadtType.LOCAL_APIC).u8(8).u8(id).u8(id).u32(ENABLED)
  else body.u8(MadtType.LOCAL_X2APIC).u8(16).u16(0).u32(id).u32(ENABLED).u32(id)
}

function sourceOverride(body: ByteWriter, irq: number, gsi: number, flags: number): void {
  const ISA_BUS = 0
  body.u8(MadtType.SOURCE_OVERRIDE).u8(10).u8(ISA_BUS).u8(irq).u32(gsi).u16(flags)
}

/** NMI arrives at LINT1 of every processor. */
function localApicNmi(body: ByteWriter, vcpus: number): void {
  const LINT1 = 1
  body.u8(MadtType.LOCAL_APIC_NMI).u8(6).u8(0xff).u16(INTI_BUS_DEFAULT).u8(LINT1)
  if (vcpus <= FIRST_X2APIC_ONLY_ID) return
  body.u8(MadtType.LOCAL_X2APIC_NMI).u8(12).u16(INTI_BUS_DEFAULT).u32(0xffffffff).u8(LINT1).zeros(3)
}

const OEM_ID = 'TENON'
const OEM_TABLE_ID = 'TENONPC'
const CREATOR_ID = 'TENN'

/** A System Description Table: the header of §5.2.6, then the body; its bytes sum to zero. */
export function table(signature: string, revision: number, body: Uint8Array): Uint8Array {
  const bytes = new ByteWriter().ascii(signature, 4).u32(HEADER_SIZE + body.length).u8(revision).u8(0)
    .ascii(OEM_ID, 6, 0x20).ascii(OEM_TABLE_ID, 8, 0x20).u32(1).ascii(CREATOR_ID, 4).u32(1).bytes(body).toBytes()
  bytes[CHECKSUM_OFFSET] = checksum(bytes)
  return bytes
}
