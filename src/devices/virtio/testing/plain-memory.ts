import type { GuestPhysical } from '../../../base/addresses.ts'
import type { GuestMemory } from '../../../machine/memory.ts'
import { TransferLedger } from '../../../machine/transfers.ts'

/** Guest memory of one piece, from address 0, for tests of devices. */
export class PlainMemory implements GuestMemory {
  readonly lowSize: number
  readonly highSize = 0
  readonly transfers = new TransferLedger()
  readonly bytes: Uint8Array
  /** What `written` was told: pairs of address and length. */
  readonly writtenRanges: number[] = []
  private readonly view: DataView

  constructor(size: number) {
    this.lowSize = size
    this.bytes = new Uint8Array(size)
    this.view = new DataView(this.bytes.buffer)
  }

  read(address: GuestPhysical, into: Uint8Array): void {
    into.fill(0xff)
    into.set(this.bytes.subarray(address, address + into.length))
  }

  write(address: GuestPhysical, from: Uint8Array): void {
    if (address < this.lowSize) this.bytes.set(from.subarray(0, this.lowSize - address), address)
  }

  readU8(address: GuestPhysical): number { return this.bytes[address] ?? 0xff }
  readU16(address: GuestPhysical): number { return this.has(address, 2) ? this.view.getUint16(address, true) : 0xffff }
  readU32(address: GuestPhysical): number { return this.has(address, 4) ? this.view.getUint32(address, true) : 0xffffffff }
  readU64(address: GuestPhysical): bigint { return this.has(address, 8) ? this.view.getBigUint64(address, true) : 2n ** 64n - 1n }
  writeU8(address: GuestPhysical, value: number): void { if (this.has(address, 1)) this.bytes[address] = value }
  writeU16(address: GuestPhysical, value: number): void { if (this.has(address, 2)) this.view.setUint16(address, value, true) }
  writeU32(address: GuestPhysical, value: number): void { if (this.has(address, 4)) this.view.setUint32(address, value, true) }
  writeU64(address: GuestPhysical, value: bigint): void { if (this.has(address, 8)) this.view.setBigUint64(address, value, true) }

  /** In pieces of a page, as a machine has them. */
  ranges(address: GuestPhysical, length: number): Uint8Array[] | null {
    if (!this.has(address, length)) return null
    const pieces: Uint8Array[] = []
    for (let at = address as number; at < address + length;) {
      const end = Math.min(address + length, (Math.floor(at / 4096) + 1) * 4096)
      pieces.push(this.bytes.subarray(at, end))
      at = end
    }
    return pieces
  }

  written(address: GuestPhysical, length: number): void { this.writtenRanges.push(address, length) }

  private has(address: number, length: number): boolean { return address + length <= this.lowSize }
}
