/** Internal snapshots of the disks of a guest that does not run: as `RunningGuest` has them of one that does, and going back to one. */
import type { BlockNode } from '../../storage/block-node.ts'
import { openDisk } from '../../storage/open.ts'
import { diskName, snapshotDisks } from '../disks/disk-snapshots.ts'
import type { NamedDisk, SnapshotReport, SnapshotRequest } from '../disks/disk-snapshots.ts'
import { hostEnvironment } from '../disks/environment.ts'
import { diskOrders } from './guest-boot.ts'
import type { GuestStore } from './guest-store.ts'

/**
 * `disturbSuspended`: also of a suspended guest, which can only be started afresh then.
 * @throws TenonError GUEST_UNKNOWN, GUEST_DEFINITION_INVALID, DISK_IN_USE if it runs or is suspended; as opening its disks and
 * `snapshotDisks`.
 */
export async function snapshotStoppedGuest(
  store: GuestStore, name: string, request: SnapshotRequest, disturbSuspended = false,
): Promise<SnapshotReport> {
  const graphs = (await diskOrders(store.folder(name), await store.definition(name))).map(({ graph }) => graph)
  const environment = hostEnvironment({ disturbSuspended })
  const disks: NamedDisk[] = []
  const opened: BlockNode[] = []
  try {
    for (const [number, graph] of graphs.entries()) {
      if (typeof graph !== 'string' && graph.readOnly === true) continue
      const node = await openDisk(graph, environment, { place: `disk ${number}`, readOnly: request.action === 'list' })
      opened.push(node)
      disks.push({ name: diskName(graph, number), node })
    }
    return await snapshotDisks(disks, request)
  } finally {
    for (const node of opened) await node.close()
  }
}
