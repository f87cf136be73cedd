/** A partition as a disk by itself: a range of another node. The other node stays its owner's, who closes it after this. */
import type { BlockNode, Extent } from '../block-node.ts'
import { byteLength, type Buffers } from '../buffers.ts'
import { storageError } from '../errors.ts'
import { contentExtent } from '../extents.ts'
import { checkRange, Gate } from '../gate.ts'
import type { Partition } from './partition.ts'

export class PartitionNode implements BlockNode {
  readonly kind = 'partition'
  readonly size: number
  readonly children: Readonly<Record<string, BlockNode>>
  private readonly disk: BlockNode
  private readonly start: number
  private readonly gate = new Gate('the partition')

  /** @throws TenonError DISK_OUT_OF_RANGE: it is not inside the disk */
  constructor(disk: BlockNode, { offset, size }: Pick<Partition, 'offset' | 'size'>) {
    checkRange('the disk', disk.size, offset, size)
    this.disk = disk
    this.start = offset
    this.size = size
    this.children = { disk }
  }

  get readOnly(): boolean { return this.disk.readOnly }

  read(offset: number, into: Buffers): Promise<void> {
    return this.gate.access(this, offset, byteLength(into), false, () => this.disk.read(this.start + offset, into))
  }

  write(offset: number, from: Buffers): Promise<void> {
    return this.gate.access(this, offset, byteLength(from), true, () => this.disk.write(this.start + offset, from))
  }

  flush(): Promise<void> { return this.gate.run(() => this.disk.flush()) }

  discard(offset: number, length: number): Promise<void> {
    return this.gate.access(this, offset, length, true, () => this.disk.discard(this.start + offset, length))
  }

  writeZeroes(offset: number, length: number, mayUnmap: boolean): Promise<void> {
    return this.gate.access(this, offset, length, true, () => this.disk.writeZeroes(this.start + offset, length, mayUnmap))
  }

  extent(offset: number, length: number): Promise<Extent> {
    return this.gate.access(this, offset, length, false, async () => {
      const found = await contentExtent(this.disk, this.start + offset, length)
      return { ...found, length: Math.min(found.length, this.size - offset) }
    })
  }

  /** A partition's size is in its disk's table. */
  resize(): Promise<void> {
    return this.gate.run(() => {
      throw storageError('DISK_UNSUPPORTED', 'a partition cannot be given another size by itself: change the disk\'s partition table')
    })
  }

  close(): Promise<void> { return this.gate.close(async () => this.disk.readOnly ? undefined : this.disk.flush()) }
}
