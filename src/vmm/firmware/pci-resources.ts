import type { PciBus } from '../../devices/pci/pci-bus.ts'
import type { PciLayout } from '../layout.ts'

/**
 * Gives the base addresses of PCI functions their places, as firmware does before it hands over: PCI Local Bus Specification 3.0,
 * §6.2.5.1 (writing all ones tells a register's size). Functions are left with decoding on and bus mastering off.
 *
 * Left out on purpose: I/O space and prefetchable windows of their own; ports are the guest's to place.
 */
const Register = { VENDOR: 0x00, COMMAND: 0x04, HEADER_TYPE: 0x0e, BAR0: 0x10 } as const
const BARS = 6
const MEMORY_SPACE = 2
const IO = 1
const MEMORY_64 = 4
const MULTI_FUNCTION = 0x80

export function placePciResources(bus: PciBus, layout: PciLayout): void {
  let next = layout.memory32.base
  for (const slot of presentSlots(bus)) {
    for (let bar = 0; bar < BARS; bar++) {
      const { size, wide, memory } = sizeOf(bus, slot, bar)
      if (size > 0 && memory) {
        const base = Math.ceil(next / size) * size
        if (base + size <= layout.memory32.base + layout.memory32.size) {
          write(bus, slot, Register.BAR0 + 4 * bar, base)
          next = base + size
        }
      }
      if (wide) bar++
    }
    write(bus, slot, Register.COMMAND, read(bus, slot, Register.COMMAND) & 0xffff | MEMORY_SPACE)
  }
}

/** Device and function numbers, as bits 7:3 and 2:0. */
function presentSlots(bus: PciBus): number[] {
  const slots: number[] = []
  for (let slot = 0; slot < 256; slot++) {
    const several = (slot & 7) === 0 || (read(bus, slot & ~7, Register.HEADER_TYPE & ~3) >>> 16 & MULTI_FUNCTION) !== 0
    if (several && (read(bus, slot, Register.VENDOR) & 0xffff) !== 0xffff) slots.push(slot)
  }
  return slots
}

function sizeOf(bus: PciBus, slot: number, bar: number): { size: number, wide: boolean, memory: boolean } {
  const offset = Register.BAR0 + 4 * bar
  const before = read(bus, slot, offset)
  write(bus, slot, offset, 0xffffffff)
  const mask = read(bus, slot, offset)
  write(bus, slot, offset, before)
  const memory = (mask & IO) === 0
  const size = memory ? -(mask & ~15) >>> 0 : 0
  return { size: mask === 0 ? 0 : size, wide: memory && (mask & MEMORY_64) !== 0, memory }
}

function read(bus: PciBus, slot: number, offset: number): number { return bus.ecam.readMmio(slot << 12 | offset, 4) }
function write(bus: PciBus, slot: number, offset: number, value: number): void { bus.ecam.writeMmio(slot << 12 | offset, 4, value) }
