import { buffer } from './aml.ts'
import type { Aml } from './aml.ts'
import type { AddressRange } from '../layout.ts'
import { ByteWriter } from './byte-writer.ts'

/**
 * Resource descriptors (ACPI 6.0 §6.4) and the buffer that holds them, as in ASL's ResourceTemplate.
 */

/** A `_CRS` value: the descriptors, then an end tag whose checksum of 0 means "not computed" (§6.4.2.9). */
export function resourceTemplate(...descriptors: Aml[]): Aml { return buffer([...descriptors.flat(), 0x79, 0x00]) }

/** Fixed I/O ports, decoded with all 16 bits (§6.4.2.5). At most 255 ports. */
export function ioPorts({ base, size }: AddressRange): Aml {
  return descriptor(writer => writer.u8(0x47).u8(0x01).u16(base).u16(base).u8(1).u8(size))
}

/** One ISA IRQ, edge-triggered, active high (§6.4.2.1: the two-byte form implies both). */
export function irq(number: number): Aml { return descriptor(writer => writer.u8(0x22).u16(1 << number)) }

/** A fixed, writable range of 32-bit memory (§6.4.3.4). */
export function memory32Fixed({ base, size }: AddressRange): Aml {
  return descriptor(writer => writer.u8(0x86).u16(9).u8(1).u32(base).u32(size))
}

/** The bus numbers behind a host bridge (§6.4.3.5.3). */
export function busNumbers(count: number): Aml {
  return addressSpace(2, 0x02, 0, { base: 0, size: count })
}

/** I/O ports that a host bridge forwards (§6.4.3.5.3); both ISA and non-ISA ranges. */
export function ioWindow(range: AddressRange): Aml { return addressSpace(2, 0x01, 0x03, range) }

/** Memory that a host bridge forwards (§6.4.3.5.2), writable, not cacheable. */
export function memoryWindow32(range: AddressRange): Aml { return addressSpace(4, 0x00, 0x01, range) }

/** The same above 4 GiB (§6.4.3.5.1), cacheable as prefetchable memory is. */
export function memoryWindow64(range: AddressRange): Aml { return addressSpace(8, 0x00, 0x07, range) }

const ADDRESS_SPACE_TAG = { 2: 0x88, 4: 0x87, 8: 0x8a } as const

/** An address space descriptor of a producer: minimum and maximum are both fixed and decoding is positive. */
function addressSpace(width: 2 | 4 | 8, type: number, typeFlags: number, { base, size }: AddressRange): Aml {
  const GENERAL_FLAGS = 0x0c
  const GRANULARITY = 0
  const TRANSLATION = 0
  return descriptor(writer => {
    writer.u8(ADDRESS_SPACE_TAG[width]).u16(3 + 5 * width).u8(type).u8(GENERAL_FLAGS).u8(typeFlags)
    for (const value of [GRANULARITY, base, base + size - 1, TRANSLATION, size]) field(writer, width, value)
  })
}

function field(writer: ByteWriter, width: 2 | 4 | 8, value: number): void {
  if (width === 2) writer.u16(value)
  else if (width === 4) writer.u32(value)
  else writer.u64(value)
}

function descriptor(build: (writer: ByteWriter) => void): Aml {
  const writer = new ByteWriter()
  build(writer)
  return [...writer.toBytes()]
}
