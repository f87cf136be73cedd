import type { BlockNode, Extent } from './block-node.ts'
import { storageError } from './errors.ts'

/**
 * What a range reads as, through all backing nodes: `data`, or `zero`. Filters answer with this for their child, because a `hole` of
 * theirs would be a hole of a node that has no backing.
 */
export async function contentExtent(node: BlockNode, offset: number, length: number): Promise<Extent> {
  let known = length
  for (let at: BlockNode | undefined = node; at !== undefined; at = at.children.backing) {
    if (offset >= at.size) break
    const extent = await checkedExtent(at, offset, Math.min(known, at.size - offset))
    known = extent.length
    if (extent.state !== 'hole') return extent
  }
  return { state: 'zero', length: known }
}

/** An answer that leads nowhere would have its caller ask for ever. */
async function checkedExtent(node: BlockNode, offset: number, length: number): Promise<Extent> {
  const extent = await node.extent(offset, length)
  if (!Number.isSafeInteger(extent.length) || extent.length < 1) {
    throw storageError('DISK_CORRUPT', `a ${node.kind} disk cannot say what it has at ${offset}`)
  }
  return { state: extent.state, length: Math.min(extent.length, length) }
}
