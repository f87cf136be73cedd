import { PciConfigSpace } from './config-space.ts'

/**
 * The host bridge at device 0, function 0: the root of the bus as drivers expect it. Source: Intel 3 Series Express Chipset
 * Family data sheet (316966), §5.1 (82G33 memory controller hub: 8086:29c0); class 06 00 00 from the PCI Code and ID Assignment
 * Specification.
 *
 *   only the header, see config-space.ts
 *
 * Left out on purpose: the chip's own registers (memory map, PCIEXBAR, PAM, SMRAM). The machine's memory map is fixed; ACPI's
 * MCFG tells where ECAM is.
 */
export function hostBridge(): PciConfigSpace {
  return new PciConfigSpace({ vendorId: 0x8086, deviceId: 0x29c0, revision: 2, classCode: 0x060000 })
}
