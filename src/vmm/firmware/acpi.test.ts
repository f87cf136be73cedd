import { describe, expect, it } from 'vitest'
import { emptyMachine, MIB, readBytes } from '../boot/testing/machine.ts'
import { layoutMachine, MAXIMUM_VCPUS } from '../layout.ts'
import { acpiTables, installAcpi } from './acpi.ts'
import type { PlacedTable } from './acpi.ts'

const signature = ({ bytes }: PlacedTable) => String.fromCharCode(...bytes.subarray(0, 4))
const sum = (bytes: Uint8Array) => bytes.reduce((total, byte) => total + byte, 0) & 0xff
const viewOf = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)

function tablesOf(vcpus: number): { tables: PlacedTable[], view: (name: string) => DataView, address: (name: string) => number } {
  const tables = acpiTables(layoutMachine({ memory: 256 * MIB, vcpus }))
  const find = (name: string) => tables.find(table => signature(table) === name)!
  return { tables, view: name => viewOf(find(name).bytes), address: name => find(name).address }
}

describe.each([1, 2, 255, 256, MAXIMUM_VCPUS])('ACPI tables for %d vCPUs', vcpus => {
  const { tables, view, address } = tablesOf(vcpus)

  it('sum to zero and say their length', () => {
    const described = tables.filter(table => !['FACS', 'RSD '].includes(signature(table)))
    expect(described).toHaveLength(6)
    for (const { bytes } of described) {
      expect(sum(bytes)).toBe(0)
      expect(viewOf(bytes).getUint32(4, true)).toBe(bytes.length)
    }
  })

  it('stand in their range, aligned and without overlap', () => {
    const { acpi } = layoutMachine({ memory: 256 * MIB, vcpus }).firmware
    const end = tables.toSorted((left, right) => left.address - right.address).reduce((previous, table) => {
      expect(table.address % 16).toBe(0)
      expect(table.address).toBeGreaterThanOrEqual(previous)
      return table.address + table.bytes.length
    }, acpi.base)
    expect(end).toBeLessThanOrEqual(acpi.base + acpi.size)
  })

  it('are found from the RSDP', () => {
    const rsdp = tables[0].bytes
    expect(sum(rsdp.subarray(0, 20))).toBe(0)
    expect(sum(rsdp)).toBe(0)
    expect(Number(viewOf(rsdp).getBigUint64(24, true))).toBe(address('XSDT'))
    const listed = [36, 44, 52, 60].map(at => Number(view('XSDT').getBigUint64(at, true)))
    expect(listed).toEqual(['FACP', 'APIC', 'MCFG', 'WDAT'].map(address))
    expect(view('FACP').getUint32(40, true)).toBe(address('DSDT'))
    expect(Number(view('FACP').getBigUint64(140, true))).toBe(address('DSDT'))
    expect(view('FACP').getUint32(36, true)).toBe(address('FACS'))
  })

  it('list every vCPU once, in the kind of entry that holds its APIC ID', () => {
    const ids = madtEntries(view('APIC')).flatMap(({ type, entry }) =>
      type === 0 ? [entry.getUint8(3)] : type === 9 ? [entry.getUint32(4, true)] : [])
    expect(ids).toEqual(Array.from({ length: vcpus }, (_, id) => id))
  })
})

describe('MADT', () => {
  it('describes the I/O APIC and the two ISA interrupts that are not where their number says', () => {
    const entries = madtEntries(tablesOf(1).view('APIC'))
    const ioApic = entries.find(({ type }) => type === 1)!.entry
    expect([ioApic.getUint32(4, true), ioApic.getUint32(8, true)]).toEqual([0xfec00000, 0])
    const overrides = entries.filter(({ type }) => type === 2)
      .map(({ entry }) => [entry.getUint8(3), entry.getUint32(4, true), entry.getUint16(8, true)])
    expect(overrides).toEqual([[0, 2, 0], [9, 9, 0xd]])
  })
})

describe('FADT', () => {
  const view = tablesOf(1).view('FACP')

  it('has the fixed register blocks', () => {
    expect(view.byteLength).toBe(276)
    expect([56, 64, 76, 80].map(at => view.getUint32(at, true))).toEqual([0x600, 0x604, 0x608, 0x620])
    expect([88, 89, 91, 92].map(at => view.getUint8(at))).toEqual([4, 2, 4, 16])
    expect([152, 176, 212, 224].map(at => Number(view.getBigUint64(at, true)))).toEqual([0x600, 0x604, 0x608, 0x620])
    expect(view.getUint16(46, true)).toBe(9)
    expect(view.getUint32(48, true)).toBe(0)
  })

  it('offers reset, a fixed power button, an 8042 and no VGA', () => {
    const flags = view.getUint32(112, true)
    expect([flags >> 10 & 1, flags >> 4 & 1, flags >> 8 & 1, flags >> 20 & 1]).toEqual([1, 0, 0, 0])
    expect([view.getUint8(116), Number(view.getBigUint64(120, true)), view.getUint8(128)]).toEqual([1, 0xcf9, 6])
    expect(view.getUint16(109, true) & 0b111).toBe(0b111)
  })
})

describe('MCFG', () => {
  it('maps 256 buses of segment 0', () => {
    const view = tablesOf(1).view('MCFG')
    expect([Number(view.getBigUint64(44, true)), view.getUint16(52, true), view.getUint8(54), view.getUint8(55)])
      .toEqual([0xb0000000, 0, 0, 255])
  })
})

describe('installAcpi', () => {
  it('writes the RSDP where a guest scans for it', () => {
    const { memory, layout } = emptyMachine(16 * MIB)
    const rsdp = installAcpi(memory, layout)
    expect(rsdp).toBe(0xe0000)
    expect(String.fromCharCode(...readBytes(memory, rsdp, 8))).toBe('RSD PTR ')
  })
})

function madtEntries(view: DataView): { type: number, entry: DataView }[] {
  const entries: { type: number, entry: DataView }[] = []
  for (let at = 44; at < view.byteLength;) {
    const length = view.getUint8(at + 1)
    entries.push({ type: view.getUint8(at), entry: new DataView(view.buffer, view.byteOffset + at, length) })
    at += length
  }
  return entries
}
