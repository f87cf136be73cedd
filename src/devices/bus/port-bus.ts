import { TenonError } from '../../base/errors.ts'
import type { PortDevice, PortSize } from '../../machine/io.ts'
import type { AddressWindow } from '../../machine/pci.ts'

interface Range {
  readonly device: PortDevice
  /** Offset of the range's first port inside the device. */
  readonly offset: number
  readonly length: number
  base: number
}

const PORTS = 0x10000
const ALL_ONES = [0, 0xff, 0xffff, 0, 0xffffffff] as const

/**
 * The I/O port address space: 65,536 ports, each answered by at most one device; one table look-up finds it.
 *
 * An access goes whole to the device that owns its first port if that device's range covers all of it; otherwise it is split into
 * bytes, as a PC's chipset does. Ports without a device read as all ones and ignore writes.
 */
export class PortBus {
  private readonly table = new Uint16Array(PORTS)
  /** Ranges by number; 0 is no device. */
  private readonly ranges: (Range | undefined)[] = [undefined]
  private readonly windows: Range[] = []
  private readonly fixed: Range[] = []

  /**
   * Gives `length` ports from `base` to a device, for ever. `offset` is what the device sees for the first of them. A range inside
   * an earlier one (0xcf9 in 0xcf8 to 0xcff) needs `inside`, and then takes the accesses that begin in it.
   *
   * @throws TenonError PORT_TAKEN if another device has one of the ports.
   */
  attach(base: number, length: number, device: PortDevice, options: { offset?: number, inside?: boolean } = {}): void {
    const end = base + length
    if (base < 0 || length < 1 || end > PORTS) throw new TenonError('PORT_INVALID', `no ports 0x${base.toString(16)} + ${length}`)
    const taken = this.fixed.find((range) => base < range.base + range.length && range.base < end)
    if (taken && !options.inside) {
      throw new TenonError('PORT_TAKEN', `ports 0x${base.toString(16)} + ${length} already have a device; choose others`)
    }
    const range = { device, offset: options.offset ?? 0, length, base }
    this.fixed.push(range)
    this.ranges.push(range)
    this.rebuild()
  }

  /** A movable range for a base address register. Ports of fixed devices stay theirs; among windows the older one wins. */
  window(length: number, device: PortDevice): AddressWindow {
    const range: Range = { device, offset: 0, length, base: -1 }
    this.ranges.push(range)
    this.windows.push(range)
    return {
      moveTo: (address: number | null): void => {
        range.base = address !== null && address >= 0 && address + length <= PORTS ? address : -1
        this.rebuild()
      },
    }
  }

  read(port: number, size: PortSize): number {
    const range = this.ranges[this.table[port]]
    if (range === undefined && size === 1) return 0xff
    if (range !== undefined && port + size <= range.base + range.length) {
      return range.device.readPort(port - range.base + range.offset, size) >>> 0
    }
    return size === 1 ? 0xff : this.readBytes(port, size)
  }

  write(port: number, size: PortSize, value: number): void {
    const range = this.ranges[this.table[port]]
    if (range !== undefined && port + size <= range.base + range.length) {
      range.device.writePort(port - range.base + range.offset, size, (value & ALL_ONES[size]) >>> 0)
    } else if (size > 1) {
      for (let i = 0; i < size; i++) this.write(port + i & 0xffff, 1, value >>> 8 * i & 0xff)
    }
  }

  private readBytes(port: number, size: PortSize): number {
    let value = 0
    for (let i = 0; i < size; i++) value |= this.read(port + i & 0xffff, 1) << 8 * i
    return value >>> 0
  }

  private rebuild(): void {
    this.table.fill(0)
    for (const range of this.windows.toReversed()) this.place(range)
    for (const range of this.fixed) this.place(range)
  }

  private place(range: Range): void {
    if (range.base >= 0) this.table.fill(this.ranges.indexOf(range), range.base, range.base + range.length)
  }
}
