/**
 * A file or block device of the host, as disk formats use it. The host implements it; one writer at a time is the host's to ensure.
 *
 * Rejections are TenonErrors: DISK_READ_FAILED, DISK_WRITE_FAILED, DISK_FULL.
 */
export interface StorageFile {
  /** For messages. */
  readonly path: string
  readonly readOnly: boolean
  /** Bytes now. */
  readonly size: number
  /** Bytes past the end read as zeros. */
  read(offset: number, into: readonly Uint8Array[]): Promise<void>
  /** Writing past the end makes the file longer. */
  write(offset: number, from: readonly Uint8Array[]): Promise<void>
  /** Data and size are on stable storage. */
  flush(): Promise<void>
  truncate(size: number): Promise<void>
  /** Gives a range's space back if the host can; it reads as zeros afterwards. False: it cannot, and nothing has changed. */
  punchHole(offset: number, length: number): Promise<boolean>
  /** Whether the file has data at `offset`, and for how many bytes at least that is so. */
  extent(offset: number, length: number): Promise<{ readonly data: boolean, readonly length: number }>
  close(): Promise<void>
}
