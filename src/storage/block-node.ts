/**
 * One node of a graph that together is a disk: a format over a file, a filter over another node, a union of several.
 *
 * Offsets and lengths are bytes, and any are allowed that lie inside `size`; a node reads and writes around what it must. Calls may
 * overlap; those that touch the same bytes have no order unless the first was awaited. What `write` has returned from is seen by later
 * reads; it survives a crash of the host once a later `flush` has returned.
 *
 * Every method rejects with a TenonError (StorageErrorCode). A node that has failed a write still reads.
 */
export interface BlockNode {
  /** The kind, as `tenon disk info` names it: `file`, `raw`, `qcow2`, `throttle`. */
  readonly kind: string
  /** Bytes. */
  readonly size: number
  readonly readOnly: boolean
  /** The nodes it stands on, by role: `file`, `backing`, `mirror.0`. */
  readonly children: Readonly<Record<string, BlockNode>>
  read(offset: number, into: readonly Uint8Array[]): Promise<void>
  write(offset: number, from: readonly Uint8Array[]): Promise<void>
  flush(): Promise<void>
  /** The bytes are not needed any more; they read as zeros or as before. */
  discard(offset: number, length: number): Promise<void>
  /** The bytes read as zeros afterwards. `mayUnmap`: their space may be given back. */
  writeZeroes(offset: number, length: number, mayUnmap: boolean): Promise<void>
  /** What is known of a range, from its start: the state of its first bytes and how far it goes at least. For sparse copies. */
  extent(offset: number, length: number): Promise<Extent>
  /** Changes the size. Nodes whose format cannot reject with DISK_UNSUPPORTED. */
  resize(size: number): Promise<void>
  /** Waits for what is in flight, flushes, closes the children, gives locks back. All but `close` then rejects with DISK_CLOSED. */
  close(): Promise<void>
}

/** `hole`: nothing is stored at this level, it reads from `children.backing`, or as zeros if there is none or it is shorter. */
export type ExtentState = 'data' | 'zero' | 'hole'

export interface Extent {
  readonly state: ExtentState
  /** Bytes, at least 1. */
  readonly length: number
}
