import { gpa } from '../../base/addresses.ts'
import type { GuestPhysical } from '../../base/addresses.ts'
import type { GuestMemory } from '../../machine/memory.ts'
import type { MachineLayout } from '../layout.ts'
import { installAcpi } from './acpi.ts'
import { DEFAULT_IDENTITY, installSmbios } from './smbios.ts'
import type { MachineIdentity } from './smbios.ts'

export type { MachineIdentity } from './smbios.ts'

/**
 * Writes what a PC's firmware leaves in memory for the operating system: ACPI tables, SMBIOS, and the two words of the BIOS data
 * area that guests look at. Returns the address of the RSDP.
 */
export function installFirmware(
  memory: GuestMemory, layout: MachineLayout, identity: Partial<MachineIdentity> = {},
): GuestPhysical {
  installSmbios(memory, layout, { ...DEFAULT_IDENTITY, ...identity })
  writeBiosDataArea(memory, layout)
  return installAcpi(memory, layout)
}

/** The EBDA's segment and the size of conventional memory in KiB, at their places since the PC AT. */
function writeBiosDataArea(memory: GuestMemory, { firmware }: MachineLayout): void {
  memory.writeU16(gpa(0x40e), firmware.ebda.base / 16)
  memory.writeU16(gpa(0x413), firmware.ebda.base / 1024)
}
