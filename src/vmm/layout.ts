import { gpa } from '../base/addresses.ts'
import type { GuestPhysical } from '../base/addresses.ts'
import { TenonError } from '../base/errors.ts'

/**
 * Where everything stands in a Tenon machine: the one place that knows platform addresses, ports and interrupt numbers. Devices are
 * given offsets; ACPI tables, the memory map and the vmm's wiring are all made from this description.
 *
 * Guest-physical memory, from the bottom:
 *
 *     00000000  RAM: boot structures, kernel, initrd (up to `ram.lowSize`)
 *     000a0000  hole of the legacy video adapter
 *     000e0000  firmware tables: ACPI, then SMBIOS at 000f0000 (reserved RAM)
 *     00100000  RAM
 *     b0000000  PCI configuration space (ECAM), 256 buses
 *     c0000000  PCI memory window, 32 bits
 *     fec00000  I/O APIC
 *     fee00000  local APICs
 *   1 00000000  RAM that does not fit below the hole (`ram.highSize`)
 *   8 00000000  PCI memory window, 64 bits (higher if RAM reaches it)
 */

const MIB = 1024 ** 2
const GIB = 1024 ** 3

/** A range of guest-physical addresses or of I/O ports. */
export interface AddressRange { readonly base: number, readonly size: number }

export interface SerialPortLayout { readonly port: number, readonly irq: number }

/** Fixed-hardware register blocks (ACPI 6.0 §4.8) and the values that firmware tables promise for them. */
export interface AcpiLayout {
  /** PM1a status and enable, 2 bytes each. */
  readonly pm1aEvent: AddressRange
  readonly pm1aControl: AddressRange
  /** 24-bit counter at 3.579545 MHz. */
  readonly pmTimer: AddressRange
  /** General-purpose events: the first half is status, the second enable. */
  readonly gpe0: AddressRange
  /** Writing `resetValue` to `resetPort` resets the machine. */
  readonly resetPort: number
  readonly resetValue: number
  /** SLP_TYP that, written with SLP_EN to PM1a control, powers the machine off (S5). */
  readonly sleepTypeS5: number
  /** ISA IRQ and GSI of the system control interrupt, level-triggered. */
  readonly sciIrq: number
}

export interface PciLayout {
  readonly ecam: AddressRange
  readonly busCount: number
  /** Ports of configuration mechanism 1: CONFIG_ADDRESS, then CONFIG_DATA. */
  readonly configPorts: AddressRange
  readonly memory32: AddressRange
  readonly memory64: AddressRange
  readonly ioWindow: AddressRange
  /** INTx pins of all slots share the GSIs from here: see pciInterruptGsi. */
  readonly firstGsi: number
  readonly gsiCount: number
}

export interface MachineLayout {
  /** Number of vCPUs; a vCPU's APIC ID is its index. */
  readonly vcpus: number
  readonly ram: {
    /** Bytes of RAM from 0 and from 4 GiB, multiples of 4 KiB. */
    readonly lowSize: number
    readonly highSize: number
  }
  readonly firmware: {
    /** RSDP first, then the ACPI tables. */
    readonly acpi: AddressRange
    /** SMBIOS 3 entry point first, then its structures. */
    readonly smbios: AddressRange
    /** Extended BIOS data area: reserved, at the top of conventional memory. */
    readonly ebda: AddressRange
  }
  readonly localApic: AddressRange
  readonly ioApic: AddressRange & { readonly id: number, readonly inputs: number }
  readonly acpi: AcpiLayout
  readonly pci: PciLayout
  readonly pic: { readonly master: number, readonly slave: number, readonly edgeLevelControl: number }
  /** PIT counters and their control word at `port`; counter 2's gate and speaker at `gatePort`. Its IRQ 0 arrives at GSI `gsi`. */
  readonly pit: { readonly port: number, readonly gatePort: number, readonly irq: number, readonly gsi: number }
  readonly rtc: { readonly port: number, readonly irq: number }
  readonly coprocessor: { readonly port: number, readonly irq: number }
  readonly i8042: {
    readonly dataPort: number, readonly commandPort: number, readonly keyboardIrq: number, readonly mouseIrq: number
  }
  /** COM1 to COM4. */
  readonly serial: readonly SerialPortLayout[]
  /** Where a guest's kernel says that it has panicked. */
  readonly panic: { readonly port: number }
  /** Registers of the watchdog, which the WDAT describes. */
  readonly watchdog: AddressRange
}

export interface MachineSize {
  /** Bytes of RAM: a multiple of 4 KiB, at least MINIMUM_MEMORY. */
  readonly memory: number
  /** 1 to MAXIMUM_VCPUS. */
  readonly vcpus: number
}

export type LayoutErrorCode = 'MEMORY_SIZE_INVALID' | 'VCPU_COUNT_INVALID'

export const MINIMUM_MEMORY = 2 * MIB
/** Keeps RAM and the 64-bit PCI window well inside 40 physical address bits. */
export const MAXIMUM_MEMORY = 512 * GIB
export const MAXIMUM_VCPUS = 1024

const PCI_HOLE_START = 0xb0000000
const HIGH_MEMORY_START = 4 * GIB
/** The 64-bit window ends at 64 GiB in a machine of less than 28 GiB: 36 physical address bits reach all of it. */
const MEMORY64_WINDOW_SIZE = 32 * GIB

/** First address of RAM above the hole. */
export const HIGH_MEMORY_BASE: GuestPhysical = gpa(HIGH_MEMORY_START)

/** Lays out a machine of the given size. Throws TenonError (LayoutErrorCode) for a size that no machine can have. */
export function layoutMachine(size: MachineSize): MachineLayout {
  checkSize(size)
  const lowSize = Math.min(size.memory, PCI_HOLE_START)
  const highSize = size.memory - lowSize
  return { ...FIXED, vcpus: size.vcpus, ram: { lowSize, highSize }, pci: { ...FIXED_PCI, memory64: memory64Window(highSize) } }
}

/** GSI of an INTx pin (0 = INTA#) of a slot (device number 0 to 31) on bus 0: neighbours use different inputs. */
export function pciInterruptGsi(pci: PciLayout, slot: number, pin: number): number {
  return pci.firstGsi + (slot + pin) % pci.gsiCount
}

function checkSize({ memory, vcpus }: MachineSize): void {
  if (!Number.isInteger(memory / 4096) || memory < MINIMUM_MEMORY || memory > MAXIMUM_MEMORY) {
    throw new TenonError<LayoutErrorCode>('MEMORY_SIZE_INVALID',
      `a machine cannot have ${memory} bytes of memory: give a multiple of 4 KiB from ${MINIMUM_MEMORY / MIB} MiB to `
      + `${MAXIMUM_MEMORY / GIB} GiB`)
  }
  if (!Number.isInteger(vcpus) || vcpus < 1 || vcpus > MAXIMUM_VCPUS) {
    throw new TenonError<LayoutErrorCode>('VCPU_COUNT_INVALID',
      `a machine cannot have ${vcpus} vCPUs: give a whole number from 1 to ${MAXIMUM_VCPUS}`)
  }
}

function memory64Window(highSize: number): AddressRange {
  const ramEnd = HIGH_MEMORY_START + highSize
  return { base: Math.ceil(ramEnd / MEMORY64_WINDOW_SIZE) * MEMORY64_WINDOW_SIZE, size: MEMORY64_WINDOW_SIZE }
}

const FIXED_PCI = {
  ecam: { base: PCI_HOLE_START, size: 256 * MIB },
  busCount: 256,
  configPorts: { base: 0xcf8, size: 8 },
  memory32: { base: 0xc0000000, size: 0xfec00000 - 0xc0000000 },
  ioWindow: { base: 0xd00, size: 0x10000 - 0xd00 },
  firstGsi: 16,
  gsiCount: 8,
} as const

const FIXED = {
  firmware: {
    acpi: { base: 0xe0000, size: 0x10000 },
    smbios: { base: 0xf0000, size: 0x10000 },
    ebda: { base: 0x9fc00, size: 0x400 },
  },
  localApic: { base: 0xfee00000, size: 0x1000 },
  ioApic: { base: 0xfec00000, size: 0x1000, id: 0, inputs: 24 },
  acpi: {
    pm1aEvent: { base: 0x600, size: 4 },
    pm1aControl: { base: 0x604, size: 2 },
    pmTimer: { base: 0x608, size: 4 },
    gpe0: { base: 0x620, size: 16 },
    resetPort: 0xcf9,
    resetValue: 0x06,
    sleepTypeS5: 5,
    sciIrq: 9,
  },
  pic: { master: 0x20, slave: 0xa0, edgeLevelControl: 0x4d0 },
  pit: { port: 0x40, gatePort: 0x61, irq: 0, gsi: 2 },
  rtc: { port: 0x70, irq: 8 },
  coprocessor: { port: 0xf0, irq: 13 },
  i8042: { dataPort: 0x60, commandPort: 0x64, keyboardIrq: 1, mouseIrq: 12 },
  serial: [
    { port: 0x3f8, irq: 4 },
    { port: 0x2f8, irq: 3 },
    { port: 0x3e8, irq: 4 },
    { port: 0x2e8, irq: 3 },
  ],
  panic: { port: 0x505 },
  watchdog: { base: 0x640, size: 8 },
} as const
