import { describe, expect, it } from 'vitest'
import { layoutMachine, MAXIMUM_MEMORY, MINIMUM_MEMORY, pciInterruptGsi } from './layout.ts'

const GIB = 1024 ** 3

describe('layoutMachine', () => {
  it('puts RAM below the PCI hole first and the rest at 4 GiB', () => {
    expect(layoutMachine({ memory: 1 * GIB, vcpus: 1 }).ram).toEqual({ lowSize: GIB, highSize: 0 })
    expect(layoutMachine({ memory: 4 * GIB, vcpus: 1 }).ram).toEqual({ lowSize: 0xb0000000, highSize: 4 * GIB - 0xb0000000 })
  })

  it('keeps the 64-bit window above RAM and inside 40 address bits', () => {
    for (const memory of [GIB, 28 * GIB, 40 * GIB, MAXIMUM_MEMORY]) {
      const { pci, ram } = layoutMachine({ memory, vcpus: 1 })
      expect(pci.memory64.base).toBeGreaterThanOrEqual(4 * GIB + ram.highSize)
      expect(pci.memory64.base + pci.memory64.size).toBeLessThanOrEqual(2 ** 40)
    }
  })

  it('gives no address range to two parts', () => {
    const { firmware, pci, ioApic, localApic, ram } = layoutMachine({ memory: 4 * GIB, vcpus: 1 })
    const ranges = [firmware.ebda, firmware.acpi, firmware.smbios, { base: 0x100000, size: ram.lowSize - 0x100000 },
      pci.ecam, pci.memory32, ioApic, localApic, { base: 4 * GIB, size: ram.highSize }, pci.memory64]
    ranges.reduce((end, { base, size }) => {
      expect(base).toBeGreaterThanOrEqual(end)
      return base + size
    }, 0)
  })

  it.each([MINIMUM_MEMORY - 4096, MAXIMUM_MEMORY + 4096, GIB + 1, NaN, -GIB])('refuses %d bytes of memory', memory => {
    expect(() => layoutMachine({ memory, vcpus: 1 })).toThrow(expect.objectContaining({ code: 'MEMORY_SIZE_INVALID' }))
  })

  it.each([0, 1025, 1.5, NaN])('refuses %d vCPUs', vcpus => {
    expect(() => layoutMachine({ memory: GIB, vcpus })).toThrow(expect.objectContaining({ code: 'VCPU_COUNT_INVALID' }))
  })
})

describe('pciInterruptGsi', () => {
  it('stays on the I/O APIC\'s upper inputs and gives neighbouring slots different ones', () => {
    const { pci, ioApic } = layoutMachine({ memory: GIB, vcpus: 1 })
    for (let slot = 0; slot < 32; slot++) {
      const pins = [0, 1, 2, 3].map(pin => pciInterruptGsi(pci, slot, pin))
      expect(Math.min(...pins)).toBeGreaterThanOrEqual(16)
      expect(Math.max(...pins)).toBeLessThan(ioApic.inputs)
      expect(pciInterruptGsi(pci, slot + 1, 0)).not.toBe(pins[0])
    }
  })
})
