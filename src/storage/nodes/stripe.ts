/**
 * Several nodes as one, their stripes in turn (RAID 0): larger and faster than each, and lost with any of them.
 *
 *     disk   | 0 | 1 | 2 | 3 | 4 | ...        stripes of `stripeSize` bytes
 *     node 0 | 0 | 2 | 4 |
 *     node 1 | 1 | 3 |
 *
 * The size is what all nodes have in whole stripes; what one has more is not used.
 */
import type { BlockNode, Extent } from '../block-node.ts'
import { byteLength, sliceBuffers, type Buffers } from '../buffers.ts'
import { storageError } from '../errors.ts'
import { contentExtent } from '../extents.ts'
import { Gate } from '../gate.ts'
import { settleAll } from '../settle.ts'

/** A range of one child, and where its stripes are in the request. */
interface Share {
  offset: number
  length: number
  readonly parts: { readonly from: number, readonly length: number }[]
}

export interface StripeOptions {
  readonly nodes: readonly BlockNode[]
  /** Bytes, a power of two from 512 on; default 64 KiB. */
  readonly stripeSize?: number
}

export class StripeNode implements BlockNode {
  readonly kind = 'stripe'
  readonly readOnly: boolean
  readonly size: number
  readonly children: Readonly<Record<string, BlockNode>>
  private readonly nodes: readonly BlockNode[]
  private readonly stripeSize: number
  private readonly gate = new Gate('the striped disk')

  constructor({ nodes, stripeSize = 65536 }: StripeOptions) {
    this.nodes = nodes
    this.stripeSize = stripeSize
    this.children = Object.fromEntries(nodes.map((node, at) => [`stripe.${at}`, node]))
    this.readOnly = nodes.some(node => node.readOnly)
    this.size = Math.floor(Math.min(...nodes.map(node => node.size)) / stripeSize) * stripeSize * nodes.length
    if (!Number.isSafeInteger(this.size)) throw storageError('DISK_OUT_OF_RANGE', 'the striped disk would be larger than 8 PiB')
  }

  read(offset: number, into: Buffers): Promise<void> {
    return this.each(offset, byteLength(into), false, (node, share) => node.read(share.offset, pick(into, share)))
  }

  write(offset: number, from: Buffers): Promise<void> {
    return this.each(offset, byteLength(from), true, (node, share) => node.write(share.offset, pick(from, share)))
  }

  flush(): Promise<void> {
    return this.gate.run(() => settleAll(this.nodes.map(node => node.flush())))
  }

  discard(offset: number, length: number): Promise<void> {
    return this.each(offset, length, true, (node, share) => node.discard(share.offset, share.length))
  }

  writeZeroes(offset: number, length: number, mayUnmap: boolean): Promise<void> {
    return this.each(offset, length, true, (node, share) => node.writeZeroes(share.offset, share.length, mayUnmap))
  }

  extent(offset: number, length: number): Promise<Extent> {
    return this.gate.access(this, offset, length, false, async () => {
      const stripe = Math.floor(offset / this.stripeSize)
      const within = offset % this.stripeSize
      const row = Math.floor(stripe / this.nodes.length)
      const node = this.nodes[stripe % this.nodes.length]
      return contentExtent(node, row * this.stripeSize + within, Math.min(length, this.stripeSize - within))
    })
  }

  resize(): Promise<void> {
    return this.gate.run(async () => {
      throw storageError('DISK_UNSUPPORTED', 'the size of a striped disk cannot change: its stripes would move')
    })
  }

  close(): Promise<void> { return this.gate.close(() => settleAll(this.nodes.map(node => node.close()))) }

  private each(offset: number, length: number, writing: boolean, visit: (node: BlockNode, share: Share) => Promise<void>): Promise<void> {
    return this.gate.access(this, offset, length, writing, () => {
      return settleAll(this.divide(offset, length).map((share, at) => share === null ? Promise.resolve() : visit(this.nodes[at], share)))
    })
  }

  /** For each child its share. Whatever the range: a child's stripes follow each other there. */
  private divide(offset: number, length: number): (Share | null)[] {
    const shares: (Share | null)[] = this.nodes.map(() => null)
    for (let done = 0; done < length;) {
      const stripe = Math.floor((offset + done) / this.stripeSize)
      const within = (offset + done) % this.stripeSize
      const part = { from: done, length: Math.min(this.stripeSize - within, length - done) }
      const at = stripe % this.nodes.length
      const share = shares[at] ??= { offset: Math.floor(stripe / this.nodes.length) * this.stripeSize + within, length: 0, parts: [] }
      share.length += part.length
      share.parts.push(part)
      done += part.length
    }
    return shares
  }
}

function pick(buffers: Buffers, { parts }: Share): Buffers {
  return parts.flatMap(({ from, length }) => sliceBuffers(buffers, from, length))
}
