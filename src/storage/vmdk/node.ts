import type { BlockNode, Extent } from '../block-node.ts'
import { byteLength, sliceBuffers, type Buffers } from '../buffers.ts'
import { storageError } from '../errors.ts'
import { Gate } from '../gate.ts'
import type { StorageFile } from '../storage-file.ts'
import type { VmdkExtent } from './extent.ts'

export interface VmdkNodeOptions {
  /** For messages: the file that was opened. */
  readonly path: string
  readonly extents: readonly VmdkExtent[]
  readonly readOnly: boolean
  readonly backing: BlockNode | null
  readonly contentId: number
  /** Gives the disk another content ID. Called once, before the first write. */
  changeContentId(contentId: number): Promise<void>
  /** Every file of the disk, once. */
  readonly files: readonly StorageFile[]
}

/** Part of an access, in one extent. */
interface Part {
  readonly extent: VmdkExtent
  readonly start: number
  readonly at: number
  readonly length: number
}

/** A disk of one or several extents. Made by `openVmdk`. */
export class VmdkNode implements BlockNode {
  readonly kind = 'vmdk'
  readonly size: number
  readonly readOnly: boolean
  readonly children: Readonly<Record<string, BlockNode>>
  private readonly options: VmdkNodeOptions
  private readonly starts: readonly number[]
  private readonly gate: Gate
  private id: number
  private changing: Promise<void> | null = null

  constructor(options: VmdkNodeOptions) {
    this.options = options
    this.readOnly = options.readOnly
    this.id = options.contentId
    this.children = options.backing === null ? {} : { backing: options.backing }
    this.gate = new Gate(options.path)
    const starts: number[] = []
    let size = 0
    for (const extent of options.extents) {
      starts.push(size)
      size += extent.size
    }
    this.starts = starts
    this.size = size
  }

  /** By which a child knows its parent: it changes with the first write after each opening. */
  get contentId(): number { return this.id }

  read(offset: number, into: Buffers): Promise<void> {
    const length = byteLength(into)
    return this.gate.access(this, offset, length, false, async () => {
      for (const { extent, start, at, length: part } of this.parts(offset, length)) await extent.read(start, sliceBuffers(into, at, part))
    })
  }

  write(offset: number, from: Buffers): Promise<void> {
    return this.change(offset, byteLength(from), ({ extent, start, at, length }) => extent.write(start, sliceBuffers(from, at, length)))
  }

  discard(offset: number, length: number): Promise<void> {
    return this.change(offset, length, ({ extent, start, length: part }) => extent.discard(start, part))
  }

  writeZeroes(offset: number, length: number, mayUnmap: boolean): Promise<void> {
    return this.change(offset, length, ({ extent, start, length: part }) => extent.writeZeroes(start, part, mayUnmap))
  }

  flush(): Promise<void> { return this.gate.run(() => this.flushExtents()) }

  extent(offset: number, length: number): Promise<Extent> {
    return this.gate.access(this, offset, length, false, async () => {
      for (const { extent, start, length: part } of this.parts(offset, length)) return extent.extent(start, part)
      throw storageError('DISK_OUT_OF_RANGE', `${this.options.path}: an extent of no bytes at ${offset} has no state`)
    })
  }

  resize(): Promise<void> {
    return this.gate.run(async () => {
      throw storageError('DISK_UNSUPPORTED', `${this.options.path}: the size of a VMDK cannot be changed; convert it to another format`)
    })
  }

  close(): Promise<void> {
    return this.gate.close(async () => {
      const { files, backing } = this.options
      const steps = [() => this.flushExtents(), ...files.map(file => () => file.close()), async () => { await backing?.close() }]
      const failures: unknown[] = []
      for (const step of steps) await step().catch((error: unknown) => failures.push(error))
      if (failures.length > 0) throw failures[0]
    })
  }

  private async flushExtents(): Promise<void> {
    for (const extent of this.options.extents) if (!extent.readOnly) await extent.flush()
  }

  private change(offset: number, length: number, work: (part: Part) => Promise<void>): Promise<void> {
    return this.gate.access(this, offset, length, true, async () => {
      if (length === 0) return
      await this.noteChange()
      for (const part of this.parts(offset, length)) await work(part)
    })
  }

  /** From the first write on, children of this disk must see that it is another. */
  private noteChange(): Promise<void> {
    this.changing ??= this.newContentId()
    return this.changing
  }

  private async newContentId(): Promise<void> {
    // 0xffffffff says that there is no parent, and the number before it is used for new disks by some programs.
    const next = this.id >= 0xfffffffd ? 1 : this.id + 1
    try {
      await this.options.changeContentId(next)
      this.id = next
    } catch (error) {
      this.changing = null
      throw error
    }
  }

  private* parts(offset: number, length: number): Generator<Part> {
    let index = this.extentAt(offset)
    for (let at = 0; at < length; index++) {
      const extent = this.options.extents[index]
      const start = offset + at - this.starts[index]
      const part = Math.min(extent.size - start, length - at)
      if (part > 0) yield { extent, start, at, length: part }
      at += part
    }
  }

  /** The last extent that starts at or before an offset. */
  private extentAt(offset: number): number {
    let [low, high] = [0, this.starts.length - 1]
    while (low < high) {
      const middle = Math.ceil((low + high) / 2)
      if (this.starts[middle] <= offset) low = middle
      else high = middle - 1
    }
    return Math.max(0, low)
  }
}
