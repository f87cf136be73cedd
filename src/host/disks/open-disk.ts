import type { BlockNode } from '../../storage/block-node.ts'
import { openDisk } from '../../storage/open.ts'
import { checkDiskOrders, serialOf } from './check-orders.ts'
import { readDescriptions } from './disk-description.ts'
import type { DiskInfo, DiskOrder } from './disk-order.ts'
import { hostEnvironment } from './environment.ts'
import type { HostEnvironmentOptions } from './environment.ts'

export interface OpenDisk {
  readonly node: BlockNode
  readonly info: DiskInfo
}

/** Opens disks, all or none. `notice` is told of what a user should know, then and later. @throws TenonError (StorageErrorCode). */
export async function openDisks(
  orders: readonly DiskOrder[], options: Pick<HostEnvironmentOptions, 'guest' | 'notice'> = {},
): Promise<OpenDisk[]> {
  checkDiskOrders(orders)
  const environment = hostEnvironment(options)
  const opened: OpenDisk[] = []
  try {
    for (const [number, order] of orders.entries()) {
      opened.push(describe(await openDisk(await readDescriptions(order.graph), environment, { place: `disk ${number}` }), order, number))
    }
    return opened
  } catch (error) {
    for (const { node } of opened) await node.close()
    throw error
  }
}

function describe(node: BlockNode, order: DiskOrder, number: number): OpenDisk {
  const blockSize = order.blockSize ?? 512
  // The guest does not see what is left after the last whole block.
  const size = node.size - node.size % blockSize
  return { node, info: { size, blockSize, readOnly: node.readOnly, serial: serialOf(order, number), bus: order.bus ?? 'nvme' } }
}
