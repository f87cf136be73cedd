import type { VirtioConfig } from '../../vmm/virtio.ts'
import type { DiskQueue, QueuedDisk } from '../disks/disk-queue.ts'
import type { DiskBus } from '../disks/disk-order.ts'

/** A machine's disks on one bus, in order. */
export function onBus(disks: Pick<DiskQueue, 'disks'> | undefined, bus: DiskBus): readonly QueuedDisk[] {
  return disks?.disks.filter(disk => disk.bus === bus) ?? []
}

/** Its disks that are virtio devices. All SCSI disks are units of one controller, which is there if they are. */
export function paravirtualDisks(disks: Pick<DiskQueue, 'disks'> | undefined): Pick<VirtioConfig, 'disks' | 'scsiUnits'> {
  const units = onBus(disks, 'scsi')
  return { disks: onBus(disks, 'virtio').map(backend => ({ backend })), scsiUnits: units.length === 0 ? undefined : units }
}
