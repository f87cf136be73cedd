/**
 * A qcow2 image as a disk ("qcow2 image file format", QEMU docs/interop/qcow2.txt; versions 2 and 3, read and write).
 *
 * Left out on purpose: extended L2 entries, external data files and encryption (an image with one of them is refused); dirty bitmaps
 * (they lose their validity when the image is written, as the format asks for).
 */
import type { BlockNode, Extent } from '../block-node.ts'
import { byteLength, type Buffers } from '../buffers.ts'
import { storageError } from '../errors.ts'
import { checkRange, checkSize, checkWritable } from '../gate.ts'
import type { StorageFile } from '../storage-file.ts'
import { checkImage, repairRefcounts, type CheckReport, type Repair } from './check.ts'
import { compactInto } from './compact.ts'
import type { Compress } from './compressed.ts'
import { CORRUPT, DIRTY, readHeader, type Header } from './header.ts'
import { Image, type ImageOptions } from './image.ts'
import { describeImage, type Qcow2Info } from './info.ts'
import { readRange } from './reader.ts'
import { growImage, shrinkImage } from './resize.ts'
import { applySnapshot, createSnapshot, deleteSnapshot } from './snapshot-operations.ts'
import { readSnapshots, type NewSnapshot, type Snapshot } from './snapshot-table.ts'
import { writeCompressed } from './write-compressed.ts'
import { clearRange, writeRange } from './writer.ts'

export interface OpenOptions extends ImageOptions {
  readonly readOnly?: boolean
}

export class Qcow2Node implements BlockNode {
  readonly kind = 'qcow2'
  readonly readOnly: boolean
  readonly children: Readonly<Record<string, BlockNode>>
  private readonly image: Image
  private closed: Promise<void> | null = null
  /** Why nothing is written any more: it is not known which of two states the file has. */
  private broken: unknown = null

  private constructor(image: Image, readOnly: boolean) {
    this.image = image
    this.readOnly = readOnly
    this.children = image.backing === null ? {} : { backing: image.backing }
  }

  /**
   * Opens an image. The node owns the file and the backing node from now on, unless this rejects. `header` is what `readHeader` gave,
   * for callers that have looked for the backing file's name.
   *
   * For writing, an image that was not closed has its refcounts repaired, which takes a while for a large one. Rejects as `readHeader`
   * does, and with DISK_CORRUPT for an image that is marked corrupt and is to be written.
   */
  static async open(file: StorageFile, options: OpenOptions = {}, header?: Header): Promise<Qcow2Node> {
    const readOnly = options.readOnly === true || file.readOnly
    const image = new Image(file, header ?? await readHeader(file), options)
    if (!readOnly) await prepareForWriting(image)
    return new Qcow2Node(image, readOnly)
  }

  get size(): number { return this.image.header.size }

  async read(offset: number, into: Buffers): Promise<void> {
    const { operations } = this.image
    if (operations.mustWait) await operations.whenFree()
    else operations.checkOpen()
    const epoch = operations.enter()
    try {
      checkRange(this.image.file.path, this.size, offset, byteLength(into))
      await readRange(this.image, offset, into)
    } finally {
      operations.leave(epoch)
    }
  }

  write(offset: number, from: Buffers): Promise<void> {
    return this.change(offset, byteLength(from), () => writeRange(this.image, offset, from))
  }

  discard(offset: number, length: number): Promise<void> {
    return this.change(offset, length, () => clearRange(this.image, offset, length, 'discard', this.size))
  }

  writeZeroes(offset: number, length: number, mayUnmap: boolean): Promise<void> {
    return this.change(offset, length, () => clearRange(this.image, offset, length, mayUnmap ? 'zero' : 'zero-keep', this.size))
  }

  /** Writes one whole cluster compressed, for images that are written once. The offset is a multiple of the cluster size. */
  writeCompressed(offset: number, cluster: Uint8Array, compress: Compress): Promise<void> {
    return this.change(offset, Math.min(cluster.length, this.size - offset), () => writeCompressed(this.image, offset, cluster, compress))
  }

  private async change(offset: number, length: number, work: () => Promise<void>): Promise<void> {
    const { operations, file } = this.image
    if (operations.mustWait) await operations.whenFree()
    else operations.checkOpen()
    const epoch = operations.enter()
    try {
      this.checkWritable()
      checkRange(file.path, this.size, offset, length)
      if (length > 0) await work()
    } finally {
      operations.leave(epoch)
    }
  }

  private checkWritable(): void {
    checkWritable(this.image.file.path, this)
    if (this.broken !== null) {
      throw storageError('DISK_WRITE_FAILED', `${this.image.file.path} cannot be written any more, since a change of its tables failed: open it again`, this.broken)
    }
  }

  async flush(): Promise<void> {
    const { operations, committer } = this.image
    if (operations.mustWait) await operations.whenFree()
    else operations.checkOpen()
    if (this.readOnly) return
    this.checkWritable()
    const epoch = operations.enterApart()
    try {
      await committer.commit()
    } finally {
      operations.leave(epoch)
    }
  }

  async extent(offset: number, length: number): Promise<Extent> {
    const { operations, mapping } = this.image
    if (operations.mustWait) await operations.whenFree()
    else operations.checkOpen()
    const epoch = operations.enter()
    try {
      checkRange(this.image.file.path, this.size, offset, length)
      while (!mapping.find(offset, Math.max(length, 1))) await mapping.load()
      const { kind, length: known } = mapping.run
      const state = kind === 'unallocated' ? 'hole' : kind === 'zero' || kind === 'zero-allocated' ? 'zero' : 'data'
      return { state, length: Math.min(known, Math.max(1, this.size - offset)) }
    } finally {
      operations.leave(epoch)
    }
  }

  /** Grows with zeros or cuts the end off. Internal snapshots keep the size that they were taken with. */
  resize(size: number): Promise<void> {
    return this.alone(async () => {
      checkSize(this.image.file.path, size, size === this.size ? 1 : 512)
      if (size > this.size) await growImage(this.image, size)
      else if (size < this.size) await shrinkImage(this.image, size)
    })
  }

  /** The internal snapshots, in the order in which they were taken. */
  async snapshots(): Promise<readonly Snapshot[]> {
    return this.image.operations.alone(async () => (await readSnapshots(this.image.file, this.image.header)).snapshots)
  }

  /** Keeps the disk as it is now under a name. What was written before is durable afterwards. */
  createSnapshot(snapshot: NewSnapshot): Promise<Snapshot> { return this.rebuild(() => createSnapshot(this.image, snapshot)) }

  /** Has the disk be what it was, size included. What it was now is lost. Rejects with DISK_NOT_FOUND. */
  applySnapshot(id: string): Promise<void> { return this.rebuild(() => applySnapshot(this.image, id)) }

  /** Rejects with DISK_NOT_FOUND. */
  deleteSnapshot(id: string): Promise<void> { return this.rebuild(() => deleteSnapshot(this.image, id)) }

  /** What the image is, for people. */
  info(): Qcow2Info { return describeImage(this.image) }

  /**
   * Writes a copy without unused clusters to another file, snapshots included; all that had is lost. Rejects with DISK_CORRUPT if the
   * image has errors.
   */
  compactInto(target: StorageFile): Promise<void> {
    const { operations, committer, file } = this.image
    return operations.alone(async () => {
      if (!this.readOnly) await committer.settle()
      const { errorCount, errors } = await checkImage(this.image, this.readOnly ? 'none' : 'leaks')
      if (errorCount > 0) throw storageError('DISK_CORRUPT', `${file.path} has errors and is not compacted: ${errors[0]}`)
      if (!this.readOnly) await committer.settle()
      await compactInto(this.image, target)
    })
  }

  /** Looks for contradictions, and repairs some. A node that is read-only is only looked at. */
  check(repair: Repair = 'none'): Promise<CheckReport> {
    const { operations, committer } = this.image
    return operations.alone(async () => {
      if (repair !== 'none') this.checkWritable()
      if (!this.readOnly && this.broken === null) await committer.settle()
      const report = await checkImage(this.image, repair)
      if (repair !== 'none') await committer.settle()
      return report
    })
  }

  /** Runs when nothing else does, on an image with nothing to be written. */
  private alone<Result>(work: () => Promise<Result>): Promise<Result> {
    return this.image.operations.alone(async () => {
      this.checkWritable()
      await this.image.committer.settle()
      return work()
    })
  }

  private rebuild<Result>(work: () => Promise<Result>): Promise<Result> {
    return this.alone(async () => {
      try {
        return await work()
      } catch (error) {
        if (this.image.isUncertain) this.broken = error
        throw error
      }
    })
  }

  /** Closes the file and the backing node, whatever fails. */
  close(): Promise<void> {
    this.closed ??= this.closeNow()
    return this.closed
  }

  private async closeNow(): Promise<void> {
    const { operations, committer, file, backing } = this.image
    await operations.close()
    try {
      if (!this.readOnly && this.broken === null) {
        await committer.settle()
        await file.flush()
        await committer.clearDirtyBit()
      }
    } finally {
      try {
        await file.close()
      } finally {
        await backing?.close()
      }
    }
  }
}

async function prepareForWriting(image: Image): Promise<void> {
  const { header, headerFile, file } = image
  if ((header.incompatible & CORRUPT) !== 0) throw storageError('DISK_CORRUPT', `${file.path} is marked as corrupt and can only be read: copy it to a new image`)
  await headerFile.clearAutoclear()
  if ((header.incompatible & DIRTY) === 0) return
  await repairRefcounts(image)
  await image.committer.settle()
  await image.committer.clearDirtyBit()
}
