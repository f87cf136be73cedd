/**
 * A file system of the host as the device that gives it to a guest sees it, on the machine's thread: a server of FUSE messages.
 *
 * The device finds the message and the room for its reply in the guest's memory (`GuestMemory.ranges`) and submits both. The server works
 * where it likes, in place, believes nothing of a message, and answers by `done`, on the machine's thread, once for each request and in
 * any order.
 */
export interface FileSystemBackend {
  /** What the guest mounts it by: 1 to 36 bytes of UTF-8. */
  readonly tag: string
  /** Starts a request. `done` may be called before this returns. */
  submit(request: FileSystemRequest): void
}

export interface FileSystemRequest {
  /** The message: views of the pool, in order. */
  readonly message: readonly Uint8Array[]
  /** Room for the reply, likewise; empty if none is expected. */
  readonly reply: readonly Uint8Array[]
  /** `length` bytes of reply were written, from the start; 0 for none. */
  done(length: number): void
}

/** Of one request: bytes of the message and of the reply (1 MiB of data, headers, names), and the pieces of memory that both lie in. */
export const FILE_SYSTEM_LIMITS = { LENGTH: (1 << 20) + 8192, PIECES: 640 } as const
