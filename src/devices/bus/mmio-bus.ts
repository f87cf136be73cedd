import { TenonError } from '../../base/errors.ts'
import type { MmioDevice, PortSize } from '../../machine/io.ts'
import type { AddressWindow } from '../../machine/pci.ts'

interface Range {
  readonly device: MmioDevice
  readonly length: number
  readonly fixed: boolean
  base: number
}

/** A part of a range that no other range hides. */
interface Span {
  readonly base: number
  readonly end: number
  readonly range: Range
}

/** Guest-physical addresses end at 2^52 (base/addresses.ts). */
const ADDRESS_END = 2 ** 52
const ALL_ONES = [0, 0xff, 0xffff, 0, 0xffffffff] as const

/**
 * Memory-mapped devices: what answers guest-physical addresses outside RAM. (RAM is not on this bus and always wins.)
 *
 * Devices see naturally aligned accesses of 1, 2 and 4 bytes. Wider ones are split low half first, unaligned ones into bytes.
 * Addresses without a device read as all ones and ignore writes.
 */
export class MmioBus {
  private readonly ranges: Range[] = []
  /** Sorted, not overlapping. */
  private spans: Span[] = []
  private lastSpan: Span | undefined

  /** @throws TenonError MMIO_TAKEN if another fixed device stands there. */
  attach(base: number, length: number, device: MmioDevice): void {
    const taken = this.ranges.some((range) => range.fixed && base < range.base + range.length && range.base < base + length)
    if (taken) throw new TenonError('MMIO_TAKEN', `address 0x${base.toString(16)} already has a device; choose another`)
    this.ranges.push({ device, length, fixed: true, base })
    this.rebuild()
  }

  /** A movable range for a base address register. Fixed devices win over it; among windows the older one wins. */
  window(length: number, device: MmioDevice): AddressWindow {
    const range: Range = { device, length, fixed: false, base: -1 }
    this.ranges.push(range)
    return {
      moveTo: (address: number | null): void => {
        range.base = address !== null && address >= 0 && address + length <= ADDRESS_END ? address : -1
        this.rebuild()
      },
    }
  }

  read(address: number, size: PortSize): number {
    const span = this.find(address)
    if (span === undefined || address + size > span.end || address % size !== 0) return this.readPieces(address, size, span)
    return span.range.device.readMmio(address - span.range.base, size) >>> 0
  }

  write(address: number, size: PortSize, value: number): void {
    const span = this.find(address)
    if (size > 1 && (span === undefined || address + size > span.end || address % size !== 0)) {
      for (let i = 0; i < size; i++) this.write(address + i, 1, value >>> 8 * i & 0xff)
    } else if (span !== undefined) {
      span.range.device.writeMmio(address - span.range.base, size, (value & ALL_ONES[size]) >>> 0)
    }
  }

  read64(address: number): bigint {
    const low = this.read(address, 4)
    return BigInt(low) | BigInt(this.read(address + 4, 4)) << 32n
  }

  write64(address: number, value: bigint): void {
    this.write(address, 4, Number(value & 0xffffffffn))
    this.write(address + 4, 4, Number(value >> 32n & 0xffffffffn))
  }

  private readPieces(address: number, size: PortSize, span: Span | undefined): number {
    if (size === 1) return span === undefined ? 0xff : span.range.device.readMmio(address - span.range.base, 1) >>> 0
    let value = 0
    for (let i = 0; i < size; i++) value |= this.read(address + i, 1) << 8 * i
    return value >>> 0
  }

  private find(address: number): Span | undefined {
    const last = this.lastSpan
    if (last !== undefined && address >= last.base && address < last.end) return last
    let low = 0
    let high = this.spans.length - 1
    while (low <= high) {
      const middle = low + high >> 1
      const span = this.spans[middle]
      if (address < span.base) high = middle - 1
      else if (address >= span.end) low = middle + 1
      else return this.lastSpan = span
    }
    return undefined
  }

  /** Places ranges by rank, each in the gaps that those before it leave. */
  private rebuild(): void {
    this.lastSpan = undefined
    this.spans = []
    const placed = this.ranges.filter((range) => range.base >= 0)
    for (const range of [...placed.filter((r) => r.fixed), ...placed.filter((r) => !r.fixed)]) {
      this.spans = [...this.spans, ...this.gaps(range)].sort((a, b) => a.base - b.base)
    }
  }

  private gaps(range: Range): Span[] {
    const gaps: Span[] = []
    const rangeEnd = range.base + range.length
    let at = range.base
    for (const span of this.spans) {
      if (span.end <= at || span.base >= rangeEnd) continue
      if (span.base > at) gaps.push({ base: at, end: span.base, range })
      at = span.end
    }
    if (at < rangeEnd) gaps.push({ base: at, end: rangeEnd, range })
    return gaps
  }
}
