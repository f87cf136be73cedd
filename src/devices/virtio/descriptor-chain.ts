import { gpa } from '../../base/addresses.ts'
import type { GuestPhysical } from '../../base/addresses.ts'
import { isRam } from '../../machine/memory.ts'
import type { GuestMemory } from '../../machine/memory.ts'

/**
 * A chain of buffers that a driver made available. Source: VIRTIO 1.2, §2.7.4 and §2.7.5.
 *
 * The device-readable buffers come first and are one run of bytes, the device-writable ones another: a driver may cut them up as it
 * likes (§2.7.4.1), so that devices name bytes by their offset in the run. Addresses are those of RAM; that is checked when a buffer
 * is added. A chain is used for one request after the other; what a device still needs when it has taken the next, it must copy.
 */

/** Buffers in a chain at most: far more than any driver needs, and a bound for those that a hostile indirect table asks for. */
export const MAXIMUM_CHAIN = 1024

export class DescriptorChain {
  /** Index of the chain's first descriptor: its name when it is given back. */
  head = 0
  /** Bytes that the device may read, and bytes that it may write. */
  readableLength = 0
  writableLength = 0
  private readonly memory: GuestMemory
  private readonly addresses = new Float64Array(MAXIMUM_CHAIN)
  private readonly lengths = new Float64Array(MAXIMUM_CHAIN)
  private count = 0
  private firstWritable = 0
  private readonly word = new Uint8Array(8)
  private readonly wordView = new DataView(this.word.buffer)

  constructor(memory: GuestMemory) { this.memory = memory }

  begin(head: number): void {
    this.head = head
    this.count = this.firstWritable = this.readableLength = this.writableLength = 0
  }

  /** Adds a buffer. False: it is not in RAM, it is readable and comes after a writable one, or the chain is too long. */
  append(address: number, length: number, writable: boolean): boolean {
    const disordered = !writable && this.firstWritable < this.count
    if (disordered || this.count === MAXIMUM_CHAIN || !isRam(this.memory, address, length)) return false
    this.addresses[this.count] = address
    this.lengths[this.count++] = length
    if (writable) this.writableLength += length
    else {
      this.readableLength += length
      this.firstWritable = this.count
    }
    return true
  }

  /** Copies readable bytes from `offset`. Returns how many there were: less than asked for at the end of the run. */
  read(offset: number, into: Uint8Array): number {
    let done = 0
    for (let buffer = 0; buffer < this.firstWritable && done < into.length; buffer++) {
      const length = this.lengths[buffer]
      if (offset < length) {
        const count = Math.min(length - offset, into.length - done)
        this.memory.read(gpa(this.addresses[buffer] + offset), into.subarray(done, done + count))
        done += count
      }
      offset = Math.max(0, offset - length)
    }
    return done
  }

  /** Copies to the writable bytes from `offset`. Returns how many had room. */
  write(offset: number, from: Uint8Array): number {
    let done = 0
    for (let buffer = this.firstWritable; buffer < this.count && done < from.length; buffer++) {
      const length = this.lengths[buffer]
      if (offset < length) {
        const count = Math.min(length - offset, from.length - done)
        this.memory.write(gpa(this.addresses[buffer] + offset), from.subarray(done, done + count))
        done += count
      }
      offset = Math.max(0, offset - length)
    }
    return done
  }

  /** Little-endian numbers among the readable bytes; bytes beyond the end count as zeros. */
  readU16(offset: number): number { return this.readWord(offset, 2).getUint16(0, true) }
  readU32(offset: number): number { return this.readWord(offset, 4).getUint32(0, true) }

  /** A 64-bit number: exact up to 2^53, and still too large above. */
  readU64(offset: number): number {
    const view = this.readWord(offset, 8)
    return view.getUint32(4, true) * 2 ** 32 + view.getUint32(0, true)
  }

  /**
   * Views of bytes of a run, for a transfer that a back end carries out: appended to `views`, and their places to `places`, if these
   * are wanted, as pairs of address and length. The range lies in the run.
   * @returns false if a buffer turned out to be memory that cannot be transferred to or from.
   */
  collect(writable: boolean, offset: number, length: number, views: Uint8Array[], places?: number[]): boolean {
    const end = writable ? this.count : this.firstWritable
    for (let buffer = writable ? this.firstWritable : 0; buffer < end && length > 0; buffer++) {
      const count = Math.min(this.lengths[buffer] - offset, length)
      if (count > 0) {
        if (!this.collectBuffer(this.addresses[buffer] + offset, count, writable, views, places)) return false
        length -= count
      }
      offset = Math.max(0, offset - this.lengths[buffer])
    }
    return true
  }

  /** Guest-physical address of one writable byte of the run. */
  writableAddress(offset: number): GuestPhysical {
    let buffer = this.firstWritable
    while (offset >= this.lengths[buffer]) offset -= this.lengths[buffer++]
    return gpa(this.addresses[buffer] + offset)
  }

  /** The whole pages of `size` bytes in the writable buffers: pairs of page number and count, `most` pages at most. */
  writablePages(size: number, most: number): number[] {
    const pages: number[] = []
    for (let buffer = this.firstWritable; buffer < this.count && most > 0; buffer++) {
      const first = Math.ceil(this.addresses[buffer] / size)
      const count = Math.min(Math.floor((this.addresses[buffer] + this.lengths[buffer]) / size) - first, most)
      if (count <= 0) continue
      pages.push(first, count)
      most -= count
    }
    return pages
  }

  private collectBuffer(address: number, length: number, writable: boolean, views: Uint8Array[], places?: number[]): boolean {
    const found = this.memory.ranges(gpa(address), length, writable)
    if (found === null) return false
    for (const view of found) views.push(view)
    places?.push(address, length)
    return true
  }

  private readWord(offset: number, size: number): DataView {
    this.wordView.setBigUint64(0, 0n)
    this.read(offset, this.word.subarray(0, size))
    return this.wordView
  }
}
