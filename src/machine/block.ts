/**
 * A disk as its controller sees it, on the machine's thread.
 *
 * A controller checks its guest's request, resolves the memory (`GuestMemory.ranges`) and submits; the disk works where it likes, and
 * answers by `done`, on the machine's thread, once for each request and in any order. What is in flight at a snapshot belongs to the
 * controller, which submits it again after a restore: every operation may be repeated.
 */
export interface BlockBackend {
  /** Bytes, a multiple of `blockSize`. */
  readonly size: number
  /** Bytes of a logical block: 512 or 4096. Offsets and lengths of requests are multiples of it. */
  readonly blockSize: number
  readonly readOnly: boolean
  /** Serial number that the guest may see: printable ASCII, at most 20 characters. */
  readonly serial: string
  /** Starts a request. `done` may be called before this returns. */
  submit(request: BlockRequest): void
}

export type BlockOperation = 'read' | 'write' | 'flush' | 'discard' | 'write-zeroes'

/** `no-space`: the host's disk is full; the guest may try again. `unsupported`: the disk cannot do this operation. */
export type BlockStatus = 'ok' | 'io-error' | 'no-space' | 'unsupported'

export interface BlockRequest {
  readonly operation: BlockOperation
  /** Bytes from the disk's start; with `length`, inside the disk. 0 for `flush`. */
  readonly offset: number
  /** Bytes; for reads and writes the sum of the segments. 0 for `flush`. */
  readonly length: number
  /** Where to read to or to write from: views of the pool. Empty for the other operations. */
  readonly segments: readonly Uint8Array[]
  /** For `write-zeroes`: the range may lose its space on the host. */
  readonly mayUnmap?: boolean
  /** A write or write-zeroes that must be on stable storage before it is done (FUA). */
  readonly forceUnitAccess?: boolean
  done(status: BlockStatus): void
}
