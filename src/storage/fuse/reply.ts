import { byteLength, scatter, sliceBuffers, type Buffers } from '../buffers.ts'
import type { FileAttributes, FileEntry } from './file-system.ts'
import { OUT_HEADER_SIZE } from './protocol.ts'

/**
 * A reply under construction: header and fields here, copied to the guest's memory at the end; the data of a READ goes there directly.
 *
 *   fuse_attr (88)        0 ino, 8 size, 16 blocks, 24 atime, 32 mtime, 40 ctime (8 each), 48 atimensec, 52 mtimensec, 56 ctimensec,
 *                         60 mode, 64 nlink, 68 uid, 72 gid, 76 rdev, 80 blksize, 84 flags
 *   fuse_entry_out (128)  0 nodeid, 8 generation, 16 entry_valid, 24 attr_valid (8 each), 32 and 36 their nanoseconds, 40 fuse_attr
 *   fuse_attr_out (104)   0 attr_valid (8), 8 attr_valid_nsec, 16 fuse_attr
 */
const CAPACITY = 65536

/** How long the guest may believe what it was told of names and attributes, in seconds: what the host changes is seen after that. */
const VALID_SECONDS = 1

const ATTRIBUTES_SIZE = 88
export const ENTRY_SIZE = 128
const BILLION = 1_000_000_000n

export class FuseReply {
  /** Bytes behind the header so far. */
  length = 0
  /** Bytes behind the header that the guest has room for, and that fit here. */
  room = 0
  private readonly bytes = new Uint8Array(OUT_HEADER_SIZE + CAPACITY)
  private readonly view = new DataView(this.bytes.buffer)
  private segments: Buffers = []

  begin(segments: Buffers): void {
    this.segments = segments
    this.length = 0
    this.room = Math.max(0, Math.min(byteLength(segments) - OUT_HEADER_SIZE, CAPACITY))
  }

  /** Appends `length` zeros, and returns where they are, for `u32` and `u64`. What does not fit is dropped by `finish`. */
  append(length: number): number {
    const at = OUT_HEADER_SIZE + this.length
    this.bytes.fill(0, at, at + length)
    this.length += length
    return at
  }

  u16(at: number, value: number): void { this.view.setUint16(at, value, true) }
  u32(at: number, value: number): void { this.view.setUint32(at, value, true) }
  u64(at: number, value: number | bigint): void { this.view.setBigUint64(at, BigInt(value), true) }

  put(bytes: Uint8Array): void {
    const at = this.append(bytes.length)
    this.bytes.set(bytes, at)
  }

  /** A string of bytes. */
  text(text: string): void {
    const at = this.append(text.length)
    for (let index = 0; index < text.length; index++) this.bytes[at + index] = text.charCodeAt(index)
  }

  attributeReply(attributes: FileAttributes): void {
    this.u64(this.append(16), VALID_SECONDS)
    this.attributes(attributes)
  }

  entry({ node, attributes }: FileEntry): void {
    const at = this.append(ENTRY_SIZE - ATTRIBUTES_SIZE)
    this.u64(at, node)
    this.u64(at + 16, VALID_SECONDS)
    this.u64(at + 24, VALID_SECONDS)
    this.attributes(attributes)
  }

  /** Bytes behind the header that `data` can have. */
  get dataRoom(): number { return Math.max(0, byteLength(this.segments) - OUT_HEADER_SIZE) }

  /** Room for data that is read into the guest's memory directly; `dataLength` says how much there came. */
  data(length: number): Buffers { return sliceBuffers(this.segments, OUT_HEADER_SIZE, length) }

  /** Writes header and fields to the guest's memory. Returns the reply's length; 0 if there is no room for it. */
  finish(unique: bigint, errno: number, dataLength = 0): number {
    const total = OUT_HEADER_SIZE + (errno === 0 ? this.length + dataLength : 0)
    if (total > byteLength(this.segments)) return 0
    this.u32(0, total)
    this.view.setInt32(4, -errno, true)
    this.view.setBigUint64(8, unique, true)
    const fields = total - (errno === 0 ? dataLength : 0)
    scatter(sliceBuffers(this.segments, 0, fields), this.bytes.subarray(0, fields))
    return total
  }

  private attributes(file: FileAttributes): void {
    const at = this.append(ATTRIBUTES_SIZE)
    this.u64(at, file.inode)
    this.u64(at + 8, file.size)
    this.u64(at + 16, file.blocks);
    [file.accessed, file.modified, file.changed].forEach((time, index) => this.time(at + 24 + 8 * index, at + 48 + 4 * index, time));
    [file.mode, file.links, file.user, file.group, 0, file.blockSize].forEach((value, index) => this.u32(at + 60 + 4 * index, value))
  }

  /** Seconds (signed) and nanoseconds of a time, which may be before 1970. */
  private time(at: number, nanosecondsAt: number, time: bigint): void {
    const nanoseconds = (time % BILLION + BILLION) % BILLION
    this.view.setBigInt64(at, (time - nanoseconds) / BILLION, true)
    this.u32(nanosecondsAt, Number(nanoseconds))
  }
}
