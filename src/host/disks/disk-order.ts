/** What the disks of a machine are made of, as plain data that crosses threads. */
import type { TenonError } from '../../base/errors.ts'

/** Told what goes wrong with a machine's disks: DISK_THREAD_FAILED; DISK_NOTICE if they go on all the same. */
export type DiskFailureListener = (error: TenonError) => void

/** A graph of block nodes, as `openDisk` (src/storage/open.ts) reads it: a path, or an object with a `kind` and that kind's fields. */
export type DiskGraph = string | { readonly kind: string, readonly [field: string]: unknown }

export interface DiskOrder {
  readonly graph: DiskGraph
  /** Bytes of a logical block. Default: 512. */
  readonly blockSize?: 512 | 4096
  /** What the guest may know it by: printable ASCII, at most 20 characters. Default: `tenon-disk-` and its number. */
  readonly serial?: string
}

/** An opened disk, as the machine's thread must know it: see BlockBackend. */
export interface DiskInfo {
  readonly size: number
  readonly blockSize: number
  readonly readOnly: boolean
  readonly serial: string
}
