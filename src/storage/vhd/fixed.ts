import type { BlockNode, Extent } from '../block-node.ts'
import { byteLength, zeroBuffers, type Buffers } from '../buffers.ts'
import { storageError } from '../errors.ts'
import { Gate } from '../gate.ts'
import type { StorageFile } from '../storage-file.ts'

const ZEROES_AT_ONCE = 16 << 20

/** A fixed disk: its bytes, then the footer. Made by `openVhd`. */
export class VhdFixedNode implements BlockNode {
  readonly kind = 'vhd'
  readonly children = {}
  readonly size: number
  readonly readOnly: boolean
  /** 16 bytes, by which a differencing disk knows its parent. */
  readonly uniqueId: Uint8Array
  private readonly file: StorageFile
  private readonly gate: Gate

  constructor(file: StorageFile, size: number, uniqueId: Uint8Array, readOnly: boolean) {
    this.file = file
    this.size = size
    this.uniqueId = uniqueId
    this.readOnly = readOnly
    this.gate = new Gate(file.path)
  }

  read(offset: number, into: Buffers): Promise<void> {
    return this.gate.access(this, offset, byteLength(into), false, () => this.file.read(offset, into))
  }

  write(offset: number, from: Buffers): Promise<void> {
    const length = byteLength(from)
    return this.gate.access(this, offset, length, true, async () => length === 0 ? undefined : this.file.write(offset, from))
  }

  flush(): Promise<void> { return this.gate.run(() => this.file.flush()) }

  discard(offset: number, length: number): Promise<void> {
    return this.gate.access(this, offset, length, true, async () => {
      if (length > 0) await this.file.punchHole(offset, length)
    })
  }

  writeZeroes(offset: number, length: number, mayUnmap: boolean): Promise<void> {
    return this.gate.access(this, offset, length, true, async () => {
      if (length === 0 || mayUnmap && await this.file.punchHole(offset, length)) return
      for (let at = 0; at < length; at += ZEROES_AT_ONCE) await this.file.write(offset + at, zeroBuffers(Math.min(ZEROES_AT_ONCE, length - at)))
    })
  }

  extent(offset: number, length: number): Promise<Extent> {
    return this.gate.access(this, offset, length, false, async () => {
      const { data, length: known } = await this.file.extent(offset, length)
      return { state: data ? 'data' : 'hole', length: Math.min(known, this.size - offset) }
    })
  }

  resize(): Promise<void> {
    return this.gate.run(async () => {
      throw storageError('DISK_UNSUPPORTED', `${this.file.path}: the size of a VHD cannot be changed; convert it to another format`)
    })
  }

  close(): Promise<void> {
    return this.gate.close(async () => {
      try {
        if (!this.readOnly) await this.file.flush()
      } finally {
        await this.file.close()
      }
    })
  }
}
