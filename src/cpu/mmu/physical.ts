import { PAGE_SIZE } from '../../base/addresses.ts'
import { FrameState, frameAddress } from '../../machine/frame-map.ts'
import type { FrameMap } from '../../machine/frame-map.ts'
import type { PortSize } from '../../machine/io.ts'

/** Where guest-physical accesses go that are not to memory. Reads of nothing return all ones. */
export interface MemoryBus {
  read(address: number, size: PortSize): number
  write(address: number, size: PortSize, value: number): void
}

/**
 * Copies between the pool and guest-physical pages, devices included. Accesses to devices are split into aligned pieces of 4 or
 * less.
 */
export class PhysicalAccess {
  private readonly frames: FrameMap
  private readonly bus: MemoryBus
  private readonly bytes: Uint8Array

  constructor(frames: FrameMap, bus: MemoryBus) {
    this.frames = frames
    this.bus = bus
    this.bytes = frames.pool.u8
  }

  /** Copies `length` bytes of one page to the pool address `to`. `devices` false leaves the bytes of device registers undefined. */
  load(page: number, offset: number, length: number, to: number, devices: boolean): void {
    const entry = this.frames.entry(page)
    if ((entry & FrameState.PRESENT) !== 0) {
      const from = frameAddress(entry) + offset
      this.bytes.copyWithin(to, from, from + length)
    } else if (devices) this.loadDevice(page * PAGE_SIZE + offset, length, to)
  }

  /** Stores `length` bytes at the pool address `from` into one page. */
  store(page: number, offset: number, length: number, from: number): void {
    const entry = this.frames.entry(page)
    if ((entry & FrameState.PRESENT) === 0) return this.storeDevice(page * PAGE_SIZE + offset, length, from)
    if ((entry & FrameState.READ_ONLY) !== 0) return
    this.bytes.copyWithin(this.frames.writableFrame(page) + offset, from, from + length)
    if ((entry & FrameState.WATCHED) !== 0) this.frames.codeWritten(page, offset, length)
  }

  private loadDevice(address: number, length: number, to: number): void {
    for (let done = 0; done < length;) {
      const size = alignedPiece(address + done, length - done)
      const value = this.bus.read(address + done, size)
      for (let n = 0; n < size; n++) this.bytes[to + done + n] = value >>> (8 * n)
      done += size
    }
  }

  private storeDevice(address: number, length: number, from: number): void {
    for (let done = 0; done < length;) {
      const size = alignedPiece(address + done, length - done)
      let value = 0
      for (let n = 0; n < size; n++) value |= this.bytes[from + done + n] << (8 * n)
      this.bus.write(address + done, size, value >>> 0)
      done += size
    }
  }
}

function alignedPiece(address: number, left: number): PortSize {
  if (address % 4 === 0 && left >= 4) return 4
  return address % 2 === 0 && left >= 2 ? 2 : 1
}
