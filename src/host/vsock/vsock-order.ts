/** A machine's vsock, as plain data that crosses threads. */

export interface VsockOrder {
  /** The Unix socket that programs of the host connect to; `PATH_N` is asked for when the guest connects to port N. */
  readonly path: string
  /** The guest's context identifier, 3 to 4294967294. */
  readonly cid: number
}

export const DEFAULT_CID = 3
/** 0 to 2 are the hypervisor, the loopback and the host; the last is "any". VIRTIO 1.2, §5.10.4. */
export const SMALLEST_CID = 3
export const LARGEST_CID = 2 ** 32 - 2

/** What the machine's thread needs of it. */
export interface MachineVsock {
  readonly cid: number
  /** Of the StreamChannel, and of the vsock thread's doorbell. */
  readonly memory: SharedArrayBuffer
  readonly doorbell: SharedArrayBuffer
}
