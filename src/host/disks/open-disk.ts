import type { BlockNode } from '../../storage/block-node.ts'
import type { DiskGraph, DiskInfo, DiskOrder } from './disk-order.ts'
import { FileNode } from './file-node.ts'
import { MemoryNode } from './memory-node.ts'

export interface OpenDisk {
  readonly node: BlockNode
  readonly info: DiskInfo
}

/** Opens disks, all or none. @throws TenonError (StorageErrorCode). */
export async function openDisks(orders: readonly DiskOrder[]): Promise<OpenDisk[]> {
  const opened: OpenDisk[] = []
  try {
    for (const order of orders) opened.push(openDisk(order, opened.length))
    return opened
  } catch (error) {
    for (const { node } of opened) await node.close()
    throw error
  }
}

function openDisk(order: DiskOrder, number: number): OpenDisk {
  const node = openGraph(order.graph)
  const blockSize = order.blockSize ?? 512
  // The guest does not see what is left after the last whole block.
  const size = node.size - node.size % blockSize
  return { node, info: { size, blockSize, readOnly: node.readOnly, serial: order.serial ?? `tenon-disk-${number}` } }
}

function openGraph(graph: DiskGraph): BlockNode {
  switch (graph.kind) {
    case 'file': return new FileNode(graph.path, graph.readOnly)
    case 'memory': return new MemoryNode(graph.size)
  }
}
