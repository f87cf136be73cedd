/** What the disks of a machine are made of, as plain data that crosses threads. */

/** A graph of block nodes. */
export type DiskGraph =
  /** A file of the host, as it is. */
  | { readonly kind: 'file', readonly path: string, readonly readOnly?: boolean }
  /** Zeros at first, and gone with the machine. */
  | { readonly kind: 'memory', readonly size: number }

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
