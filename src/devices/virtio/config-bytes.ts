import type { PortSize } from '../../machine/io.ts'

/** A device's configuration space: bytes that the driver reads and the device sets. Little-endian. VIRTIO 1.2 §2.5. */
export class ConfigBytes {
  private readonly bytes: Uint8Array
  private readonly view: DataView

  constructor(length: number) {
    this.bytes = new Uint8Array(length)
    this.view = new DataView(this.bytes.buffer)
  }

  /** What is beyond the end reads as 0. */
  read(offset: number, size: PortSize): number {
    let value = 0
    for (let index = 0; index < size; index++) value |= (this.bytes[offset + index] ?? 0) << 8 * index
    return value >>> 0
  }

  u8(offset: number, value: number): void { this.view.setUint8(offset, value) }
  u16(offset: number, value: number): void { this.view.setUint16(offset, value, true) }
  u32(offset: number, value: number): void { this.view.setUint32(offset, value, true) }

  /** Up to 2^53. */
  u64(offset: number, value: number): void {
    this.u32(offset, value % 2 ** 32)
    this.u32(offset + 4, Math.floor(value / 2 ** 32))
  }
}
