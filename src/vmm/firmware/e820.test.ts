import { describe, expect, it } from 'vitest'
import { layoutMachine } from '../layout.ts'
import { E820Type, e820Map } from './e820.ts'

const MIB = 1024 ** 2

describe.each([2, 64, 512, 2815, 2816, 2817, 4096, 131072])('the E820 map of %d MiB', mebibytes => {
  const layout = layoutMachine({ memory: mebibytes * MIB, vcpus: 1 })
  const entries = e820Map(layout)

  it('ascends, without overlap and without empty entries', () => {
    entries.reduce((end, { base, size }) => {
      expect(size).toBeGreaterThan(0)
      expect(base).toBeGreaterThanOrEqual(end)
      return base + size
    }, 0)
  })

  it('has all RAM but the holes of the first MiB', () => {
    const ram = entries.filter(({ type }) => type === E820Type.RAM).reduce((sum, { size }) => sum + size, 0)
    expect(ram).toBe(mebibytes * MIB - (0x100000 - 0x9fc00))
  })

  it('reserves the firmware tables and the ECAM', () => {
    const reserved = entries.filter(({ type }) => type === E820Type.RESERVED)
    for (const part of [layout.firmware.acpi, layout.firmware.smbios, layout.firmware.ebda, layout.pci.ecam]) {
      expect(reserved.some(({ base, size }) => base <= part.base && base + size >= part.base + part.size)).toBe(true)
    }
  })
})
