/**
 * Streams of bytes between programs in a guest and its host, found by port numbers (32 bits): AF_VSOCK. Both directions have
 * back-pressure, as in byte-port.ts.
 */

/**
 * Why a stream is over. `refused`: nobody listened. `closed`: both sides had ended. `reset`: one side broke it off, or the guest is gone.
 */
export type StreamClosed = 'refused' | 'closed' | 'reset'

/** The host's end of a stream, as the device sees it. */
export interface StreamEnd {
  /** Takes bytes from the guest, and returns how many. The array must not be kept. After less than all, `GuestStream.transmitReady`. */
  transmit(bytes: Uint8Array): number
  /** Puts bytes for the guest into the array, and returns how many. After 0, `GuestStream.receiveReady`. */
  receive(into: Uint8Array): number
  /** The guest has accepted what `GuestSocket.open` asked for, and knows the host's end by this port. */
  opened?(hostPort: number): void
  /** The guest sends no more; all that it sent was taken. */
  ended?(): void
  /** The last that is heard of the stream. */
  closed?(reason: StreamClosed): void
}

/** The device's side of a stream. None of these may be called from inside a StreamEnd method. */
export interface GuestStream {
  /** The guest's wish is granted: somebody listens at the port that it connects to. No byte passes before. */
  accept(): void
  transmitReady(): void
  receiveReady(): void
  /** The host sends no more, once `receive` has returned 0. */
  end(): void
  /** Breaks the stream off, or refuses one that is not accepted yet. The end hears nothing more. */
  reset(): void
}

export interface SocketBackend {
  /**
   * A program in the guest connects to a port of the host. Null refuses at once; else it waits for `GuestStream.accept` or `reset`. The
   * stream must not be used before this has returned.
   */
  accept(port: number, stream: GuestStream): StreamEnd | null
}

export interface GuestSocket {
  /** Connects to a port of the guest. Null: the guest has no driver, or too many streams are open. */
  open(port: number, end: StreamEnd): GuestStream | null
}
