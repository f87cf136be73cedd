import { gpa } from '../../base/addresses.ts'
import type { GuestPhysical } from '../../base/addresses.ts'
import { unreachable } from '../../base/errors.ts'
import type { GuestMemory } from '../../machine/memory.ts'
import type { AddressRange, MachineLayout } from '../layout.ts'
import * as tables from './acpi-tables.ts'
import { wdat } from './wdat.ts'

/** A table and where it stands. */
export interface PlacedTable {
  readonly address: number
  readonly bytes: Uint8Array
}

/** What stands in `layout.firmware.acpi`. The RSDP is first, at the range's base, where a guest that is not told finds it. */
export function acpiTables(layout: MachineLayout): PlacedTable[] {
  const placement = new Placement(layout.firmware.acpi)
  const rsdpAddress = placement.reserve(64)
  const facs = placement.add(tables.facs())
  const dsdt = placement.add(tables.dsdt(layout))
  const listed = [tables.fadt(layout, facs, dsdt), tables.madt(layout), tables.mcfg(layout), wdat(layout)].map(bytes => placement.add(bytes))
  const xsdt = placement.add(tables.xsdt(listed))
  return [{ address: rsdpAddress, bytes: tables.rsdp(xsdt) }, ...placement.placed]
}

/** Writes the tables to guest memory. Returns the RSDP's address. */
export function installAcpi(memory: GuestMemory, layout: MachineLayout): GuestPhysical {
  for (const { address, bytes } of acpiTables(layout)) memory.write(gpa(address), bytes)
  return gpa(layout.firmware.acpi.base)
}

/** Puts tables one after the other, each aligned to 64 bytes (what the FACS needs). */
class Placement {
  readonly placed: PlacedTable[] = []
  readonly #end: number
  #next: number

  constructor(range: AddressRange) {
    this.#next = range.base
    this.#end = range.base + range.size
  }

  reserve(size: number): number {
    const address = this.#next
    this.#next = Math.ceil((address + size) / 64) * 64
    if (this.#next > this.#end) unreachable(`ACPI tables need more than ${this.#end.toString(16)} allows`)
    return address
  }

  add(bytes: Uint8Array): number {
    const address = this.reserve(bytes.length)
    this.placed.push({ address, bytes })
    return address
  }
}
