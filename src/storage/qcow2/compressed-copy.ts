/** Conversion to an image with compressed clusters: for images that are handed on, and mostly read. */
import type { BlockNode } from '../block-node.ts'
import type { CopyOptions } from '../copy.ts'
import { storageError } from '../errors.ts'
import { contentExtent } from '../extents.ts'
import type { Compress } from './compressed.ts'
import type { Qcow2Node } from './node.ts'

/** Clusters that are read, compressed and written at the same time. */
const WORKERS = 4

/**
 * Copies what a node reads as to a new image, which reads as zeros and is at least as large. Flushes the image. Rejects with the signal's
 * reason when it is aborted: the image is then unfinished.
 */
export async function copyCompressed(
  source: BlockNode, target: Qcow2Node, compress: Compress, options: Pick<CopyOptions, 'progress' | 'signal'> = {},
): Promise<void> {
  if (target.size < source.size) {
    throw storageError('DISK_OUT_OF_RANGE', `a disk of ${source.size} bytes does not fit into ${target.size} bytes: make the target larger`)
  }
  const copy = new CompressedCopy(source, target, compress, options)
  const results = await Promise.allSettled(Array.from({ length: WORKERS }, () => copy.work()))
  const failed = results.find(result => result.status === 'rejected')
  if (failed !== undefined) throw failed.reason
  await target.flush()
}

class CompressedCopy {
  private readonly source: BlockNode
  private readonly target: Qcow2Node
  private readonly compress: Compress
  private readonly options: Pick<CopyOptions, 'progress' | 'signal'>
  private readonly clusterSize: number
  private next = 0
  private failed = false

  constructor(source: BlockNode, target: Qcow2Node, compress: Compress, options: Pick<CopyOptions, 'progress' | 'signal'>) {
    this.source = source
    this.target = target
    this.compress = compress
    this.options = options
    this.clusterSize = target.info().clusterSize
  }

  /** Takes clusters until there are none, or until it or another worker fails. */
  async work(): Promise<void> {
    const cluster = new Uint8Array(this.clusterSize)
    try {
      while (this.next < this.source.size && !this.failed) {
        if (this.options.signal?.aborted === true) throw this.options.signal.reason
        const offset = this.next
        this.next += this.clusterSize
        await this.copyCluster(offset, cluster)
        this.options.progress?.(Math.min(offset + this.clusterSize, this.target.size), this.target.size)
      }
    } catch (error) {
      this.failed = true
      throw error
    }
  }

  private async copyCluster(offset: number, cluster: Uint8Array): Promise<void> {
    const known = await contentExtent(this.source, offset, this.source.size - offset)
    // Zeros are passed over at once.
    if (known.state === 'zero') this.next = Math.max(this.next, offset + known.length - known.length % this.clusterSize)
    const length = Math.min(this.clusterSize, this.source.size - offset)
    if (known.state === 'zero' && known.length >= length) return
    cluster.fill(0, length)
    await this.source.read(offset, [cluster.subarray(0, length)])
    await this.target.writeCompressed(offset, cluster.subarray(0, Math.min(this.clusterSize, this.target.size - offset)), this.compress)
  }
}
