import type { MachineChannel } from '../machine/channel.ts'
import type { DiskFailureListener, DiskOrder } from './disk-order.ts'
import type { MachineDisks } from './disk-protocol.ts'
import type { SnapshotReport, SnapshotRequest } from './disk-snapshots.ts'
import { DiskThread } from './disk-thread.ts'
import type { KeptDisks } from './kept-disks.ts'

/** The disks of one machine. */
export interface AttachedDisks {
  /** For the machine's thread; its port is given away. */
  readonly forMachine: MachineDisks
  /** As `DiskThread.snapshots`. */
  snapshots(request: SnapshotRequest): Promise<SnapshotReport>
  /** Waits for what is under way, and closes them, unless they are kept. The machine's thread must have ended. */
  close(): Promise<void>
}

/** Opens a machine's disks, or takes those that are kept; undefined if there are none. `guest`: its name. Throws as `DiskThread.start` does. */
export async function attachDisks(
  orders: readonly DiskOrder[] | KeptDisks | undefined, machine: MachineChannel, onFailure: DiskFailureListener, guest?: string,
): Promise<AttachedDisks | undefined> {
  if (orders === undefined || ('length' in orders && orders.length === 0)) return undefined
  if ('length' in orders) {
    const own = await DiskThread.start(orders, onFailure, guest)
    return { forMachine: own.attach(machine), snapshots: request => own.snapshots(request), close: () => own.close() }
  }
  const kept = await orders.open(onFailure)
  return { forMachine: kept.attach(machine), snapshots: request => kept.snapshots(request), close: () => kept.detach() }
}
