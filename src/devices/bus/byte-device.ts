import type { PortDevice, PortSize } from '../../machine/io.ts'

/** An 8-bit device on the port bus. Wider accesses reach it as bytes at consecutive offsets, low byte first. */
export abstract class ByteDevice implements PortDevice {
  abstract readByte(offset: number): number
  abstract writeByte(offset: number, value: number): void

  readPort(offset: number, size: PortSize): number {
    if (size === 1) return this.readByte(offset)
    let value = 0
    for (let i = 0; i < size; i++) value |= this.readByte(offset + i) << 8 * i
    return value >>> 0
  }

  writePort(offset: number, size: PortSize, value: number): void {
    for (let i = 0; i < size; i++) this.writeByte(offset + i, value >>> 8 * i & 0xff)
  }
}
