import type { GuestPhysical } from '../base/addresses.ts'
import { PAGE_MASK, PAGE_SHIFT, PAGE_SIZE } from '../base/addresses.ts'
import { FRAME_STATE_MASK, FrameState, frameAddress } from './frame-map.ts'
import type { FrameMap } from './frame-map.ts'
import type { GuestMemory } from './memory.ts'
import type { TransferLedger } from './transfers.ts'

/**
 * Guest-physical memory over a frame map, for devices and loaders. Writes allocate frames, leave ROM alone and report changed code.
 */
export class MappedMemory implements GuestMemory {
  readonly lowSize: number
  readonly highSize: number
  readonly transfers: TransferLedger
  private readonly frames: FrameMap
  private readonly bytes: Uint8Array
  private readonly view: DataView
  private readonly word = new Uint8Array(8)
  private readonly wordView = new DataView(this.word.buffer)

  constructor(frames: FrameMap) {
    this.frames = frames
    this.transfers = frames.transfers
    this.bytes = frames.pool.u8
    this.view = new DataView(frames.pool.buffer)
    this.lowSize = frames.lowPages * PAGE_SIZE
    this.highSize = frames.highPages * PAGE_SIZE
  }

  read(address: GuestPhysical, into: Uint8Array): void {
    for (let done = 0; done < into.length;) {
      const { page, offset, count } = piece(address, done, into.length)
      const entry = this.frames.entry(page)
      if ((entry & FrameState.PRESENT) === 0) into.fill(0xff, done, done + count)
      else {
        const from = frameAddress(entry) + offset
        into.set(this.bytes.subarray(from, from + count), done)
      }
      done += count
    }
  }

  write(address: GuestPhysical, from: Uint8Array): void {
    for (let done = 0; done < from.length;) {
      const { page, offset, count } = piece(address, done, from.length)
      this.writePage(page, offset, from.subarray(done, done + count))
      done += count
    }
  }

  readU8(address: GuestPhysical): number { return this.readWord(address, 1).getUint8(0) }

  readU16(address: GuestPhysical): number {
    const at = this.place(address, 2, false)
    return at !== 0 ? this.view.getUint16(at, true) : this.readWord(address, 2).getUint16(0, true)
  }

  readU32(address: GuestPhysical): number {
    const at = this.place(address, 4, false)
    return at !== 0 ? this.view.getUint32(at, true) : this.readWord(address, 4).getUint32(0, true)
  }

  readU64(address: GuestPhysical): bigint { return this.readWord(address, 8).getBigUint64(0, true) }

  writeU8(address: GuestPhysical, value: number): void {
    this.wordView.setUint8(0, value)
    this.writeWord(address, 1)
  }

  writeU16(address: GuestPhysical, value: number): void {
    const at = this.place(address, 2, true)
    if (at !== 0) return this.view.setUint16(at, value, true)
    this.wordView.setUint16(0, value, true)
    this.writeWord(address, 2)
  }

  writeU32(address: GuestPhysical, value: number): void {
    const at = this.place(address, 4, true)
    if (at !== 0) return this.view.setUint32(at, value, true)
    this.wordView.setUint32(0, value, true)
    this.writeWord(address, 4)
  }

  writeU64(address: GuestPhysical, value: bigint): void {
    this.wordView.setBigUint64(0, value, true)
    this.writeWord(address, 8)
  }

  ranges(address: GuestPhysical, length: number, forWriting: boolean): Uint8Array[] | null {
    const found: Uint8Array[] = []
    for (let done = 0; done < length;) {
      const { page, offset, count } = piece(address, done, length)
      const entry = this.frames.entry(page)
      if ((entry & FrameState.PRESENT) === 0 || forWriting && (entry & FrameState.READ_ONLY) !== 0) return null
      const at = (forWriting ? this.frames.writableFrame(page) : frameAddress(entry)) + offset
      found.push(this.bytes.subarray(at, at + count))
      done += count
    }
    return found
  }

  written(address: GuestPhysical, length: number): void {
    for (let done = 0; done < length;) {
      const { page, offset, count } = piece(address, done, length)
      if ((this.frames.entry(page) & FrameState.WATCHED) !== 0) this.frames.codeWritten(page, offset, count)
      done += count
    }
  }

  /** Pool address of a word that can be accessed where it lies; 0 if it crosses pages, or its page wants more care. Allocates nothing. */
  private place(address: number, size: number, forWriting: boolean): number {
    const offset = address % PAGE_SIZE
    if (offset > PAGE_SIZE - size) return 0
    const entry = this.frames.entry(address < 2 ** 32 ? address >>> PAGE_SHIFT : Math.floor(address / PAGE_SIZE))
    const plain = forWriting ? (entry & FRAME_STATE_MASK) === FrameState.PRESENT : (entry & FrameState.PRESENT) !== 0
    return plain ? frameAddress(entry) + offset : 0
  }

  private readWord(address: GuestPhysical, size: number): DataView {
    this.read(address, this.word.subarray(0, size))
    return this.wordView
  }

  private writeWord(address: GuestPhysical, size: number): void {
    this.write(address, this.word.subarray(0, size))
  }

  private writePage(page: number, offset: number, bytes: Uint8Array): void {
    const entry = this.frames.entry(page)
    if ((entry & (FrameState.PRESENT | FrameState.READ_ONLY)) !== FrameState.PRESENT) return
    this.bytes.set(bytes, this.frames.writableFrame(page) + offset)
    if ((entry & FrameState.WATCHED) !== 0) this.frames.codeWritten(page, offset, bytes.length)
  }
}

/** The part of an access of `length` bytes at `address` that follows its first `done` bytes and lies in one page. */
function piece(address: number, done: number, length: number): { page: number, offset: number, count: number } {
  const at = address + done
  const offset = at % PAGE_SIZE
  const page = at < 2 ** 32 ? at >>> PAGE_SHIFT : Math.floor(at / PAGE_SIZE)
  return { page, offset: offset & PAGE_MASK, count: Math.min(PAGE_SIZE - offset, length - done) }
}
