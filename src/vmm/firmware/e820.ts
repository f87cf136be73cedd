import type { MachineLayout } from '../layout.ts'
import { HIGH_MEMORY_BASE } from '../layout.ts'

/** Address range types (ACPI 6.0 §15, table 15-312), the same in E820 maps and in PVH's memory map. */
export const E820Type = { RAM: 1, RESERVED: 2 } as const

export interface E820Entry {
  readonly base: number
  readonly size: number
  readonly type: typeof E820Type[keyof typeof E820Type]
}

const CONVENTIONAL_END = 0xa0000
const EXTENDED_MEMORY = 0x100000

/** The map that firmware would report, in ascending order and without overlap. */
export function e820Map(layout: MachineLayout): E820Entry[] {
  const { ram, firmware, pci, ioApic, localApic } = layout
  const entries: E820Entry[] = [
    { base: 0, size: firmware.ebda.base, type: E820Type.RAM },
    { base: firmware.ebda.base, size: CONVENTIONAL_END - firmware.ebda.base, type: E820Type.RESERVED },
    { base: firmware.acpi.base, size: EXTENDED_MEMORY - firmware.acpi.base, type: E820Type.RESERVED },
    { base: EXTENDED_MEMORY, size: ram.lowSize - EXTENDED_MEMORY, type: E820Type.RAM },
    { ...pci.ecam, type: E820Type.RESERVED },
    { base: ioApic.base, size: ioApic.size, type: E820Type.RESERVED },
    { base: localApic.base, size: localApic.size, type: E820Type.RESERVED },
  ]
  if (ram.highSize > 0) entries.push({ base: HIGH_MEMORY_BASE, size: ram.highSize, type: E820Type.RAM })
  return entries
}
