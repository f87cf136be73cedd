import type { BlockNode } from '../../storage/block-node.ts'
import { MemoryNode } from '../../storage/nodes/memory.ts'
import { RawNode } from '../../storage/nodes/raw.ts'
import { openDiskFile } from './disk-file.ts'
import type { DiskGraph, DiskInfo, DiskOrder } from './disk-order.ts'

export interface OpenDisk {
  readonly node: BlockNode
  readonly info: DiskInfo
}

/** Opens disks, all or none. @throws TenonError (StorageErrorCode). */
export async function openDisks(orders: readonly DiskOrder[]): Promise<OpenDisk[]> {
  const opened: OpenDisk[] = []
  try {
    for (const order of orders) opened.push(await openDisk(order, opened.length))
    return opened
  } catch (error) {
    for (const { node } of opened) await node.close()
    throw error
  }
}

async function openDisk(order: DiskOrder, number: number): Promise<OpenDisk> {
  const node = await openGraph(order.graph)
  const blockSize = order.blockSize ?? 512
  // The guest does not see what is left after the last whole block.
  const size = node.size - node.size % blockSize
  return { node, info: { size, blockSize, readOnly: node.readOnly, serial: order.serial ?? `tenon-disk-${number}` } }
}

async function openGraph(graph: DiskGraph): Promise<BlockNode> {
  switch (graph.kind) {
    case 'file': return new RawNode(await openDiskFile(graph.path, { readOnly: graph.readOnly }))
    case 'memory': return new MemoryNode({ size: graph.size })
  }
}
