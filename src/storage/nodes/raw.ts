/**
 * A raw disk: the bytes of a file, one for one. What the file has not is zeros: its holes, and what lies behind its end.
 *
 * The size is a multiple of 512 when the disk is for a guest, but any is taken: a file of odd length reads as it is.
 */
import type { BlockNode, Extent } from '../block-node.ts'
import { byteLength, zeroBuffers, type Buffers } from '../buffers.ts'
import { checkSize, checkWritable, Gate } from '../gate.ts'
import type { StorageFile } from '../storage-file.ts'

/** Zeros are written in pieces, so that a list of them stays short. */
const ZEROES_AT_ONCE = 16 << 20

export class RawNode implements BlockNode {
  readonly kind = 'raw'
  readonly readOnly: boolean
  readonly children = {}
  private readonly file: StorageFile
  private readonly gate: Gate

  /** The node owns the file from now on. */
  constructor(file: StorageFile, readOnly: boolean = file.readOnly) {
    this.file = file
    this.readOnly = readOnly || file.readOnly
    this.gate = new Gate(file.path)
  }

  /** Makes an empty disk of `size` bytes of a file; all it had is lost. */
  static async create(file: StorageFile, size: number): Promise<RawNode> {
    checkWritable(file.path, file)
    checkSize(file.path, size)
    await file.truncate(0)
    await file.truncate(size)
    return new RawNode(file)
  }

  get size(): number { return this.file.size }

  read(offset: number, into: Buffers): Promise<void> {
    const length = byteLength(into)
    return this.gate.access(this, offset, length, false, async () => length === 0 ? undefined : this.file.read(offset, into))
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
      if (length === 0 || (mayUnmap && await this.file.punchHole(offset, length))) return
      for (let done = 0; done < length; done += ZEROES_AT_ONCE) {
        await this.file.write(offset + done, zeroBuffers(Math.min(ZEROES_AT_ONCE, length - done)))
      }
    })
  }

  extent(offset: number, length: number): Promise<Extent> {
    return this.gate.access(this, offset, length, false, async () => {
      const { data, length: known } = await this.file.extent(offset, length)
      return { state: data ? 'data' : 'hole', length: Math.min(known, this.size - offset) }
    })
  }

  resize(size: number): Promise<void> {
    return this.gate.run(async () => {
      checkWritable(this.file.path, this)
      checkSize(this.file.path, size)
      await this.file.truncate(size)
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
