import type { Extent } from '../block-node.ts'
import { byteLength, fillZeroes, zeroBuffers, type Buffers } from '../buffers.ts'
import { storageError } from '../errors.ts'
import type { StorageFile } from '../storage-file.ts'

/** A part of a VMDK's disk, in a file of its own. Offsets are bytes from the extent's start; ranges lie inside it. */
export interface VmdkExtent {
  /** Bytes. */
  readonly size: number
  readonly readOnly: boolean
  read(offset: number, into: Buffers): Promise<void>
  write(offset: number, from: Buffers): Promise<void>
  discard(offset: number, length: number): Promise<void>
  writeZeroes(offset: number, length: number, mayUnmap: boolean): Promise<void>
  extent(offset: number, length: number): Promise<Extent>
  /** The files are the node's to close. */
  flush(): Promise<void>
}

const ZEROES_AT_ONCE = 16 << 20

/** FLAT: the bytes as they are, from some place in a file on. */
export class FlatExtent implements VmdkExtent {
  readonly size: number
  readonly readOnly: boolean
  private readonly file: StorageFile
  private readonly start: number

  constructor(file: StorageFile, start: number, size: number, readOnly: boolean) {
    this.file = file
    this.start = start
    this.size = size
    this.readOnly = readOnly
  }

  read(offset: number, into: Buffers): Promise<void> { return this.file.read(this.start + offset, into) }

  write(offset: number, from: Buffers): Promise<void> { return this.file.write(this.start + offset, from) }

  async discard(offset: number, length: number): Promise<void> { await this.file.punchHole(this.start + offset, length) }

  async writeZeroes(offset: number, length: number, mayUnmap: boolean): Promise<void> {
    if (mayUnmap && await this.file.punchHole(this.start + offset, length)) return
    for (let at = 0; at < length; at += ZEROES_AT_ONCE) await this.write(offset + at, zeroBuffers(Math.min(ZEROES_AT_ONCE, length - at)))
  }

  async extent(offset: number, length: number): Promise<Extent> {
    const { data, length: known } = await this.file.extent(this.start + offset, length)
    return { state: data ? 'data' : 'zero', length: Math.max(1, Math.min(known, length)) }
  }

  flush(): Promise<void> { return this.file.flush() }
}

/** ZERO: zeros for ever. */
export class ZeroExtent implements VmdkExtent {
  readonly size: number
  readonly readOnly = true

  constructor(size: number) { this.size = size }

  async read(_: number, into: Buffers): Promise<void> { fillZeroes(into) }

  async write(offset: number, from: Buffers): Promise<void> {
    throw storageError('DISK_READ_ONLY', `${byteLength(from)} bytes at ${offset} of an extent of zeros cannot be written`)
  }

  async discard(): Promise<void> {}
  async writeZeroes(): Promise<void> {}
  async extent(_: number, length: number): Promise<Extent> { return { state: 'zero', length } }
  async flush(): Promise<void> {}
}
