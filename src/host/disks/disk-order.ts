/** What the disks of a machine are made of, as plain data that crosses threads. */
import type { TenonError } from '../../base/errors.ts'

/** Told what goes wrong with a machine's disks: DISK_THREAD_FAILED; DISK_NOTICE if they go on all the same. */
export type DiskFailureListener = (error: TenonError) => void

/** A graph of block nodes, as `openDisk` (src/storage/open.ts) reads it: a path, or an object with a `kind` and that kind's fields. */
export type DiskGraph = string | { readonly kind: string, readonly [field: string]: unknown }

/**
 * What a disk hangs on in the guest: a namespace of its NVMe controller (/dev/nvme0n1 in Linux), a virtio block device of its own
 * (/dev/vda), or a logical unit of its SCSI controller (/dev/sda). Each numbers its disks in the order of the orders.
 */
export const DISK_BUSES = ['nvme', 'virtio', 'scsi'] as const
export type DiskBus = (typeof DISK_BUSES)[number]

export interface DiskOrder {
  readonly graph: DiskGraph
  /** Default: nvme. */
  readonly bus?: DiskBus
  /** Bytes of a logical block. Default: 512. */
  readonly blockSize?: 512 | 4096
  /**
   * What the guest may know it by: 1 to 20 printable ASCII characters, no blanks, not those of another disk. Default: `tenon-disk-` and
   * its number. An NVMe controller shows that of its first disk.
   */
  readonly serial?: string
}

/** An opened disk, as the machine's thread must know it: see BlockBackend. */
export interface DiskInfo {
  readonly size: number
  readonly blockSize: number
  readonly readOnly: boolean
  readonly serial: string
  readonly bus: DiskBus
}
