import type { BufferPool } from './buffer-pool.ts'

export type ConnectionState =
  | 'OPENING' | 'SYN-SENT' | 'SYN-RECEIVED' | 'ESTABLISHED' | 'FIN-WAIT-1' | 'FIN-WAIT-2' | 'CLOSE-WAIT' | 'CLOSING' | 'LAST-ACK'
  | 'TIME-WAIT' | 'CLOSED'

/** Why a connection is over. `finished`: both sides had sent FIN. `reset` and `refused`: by the peer. `given-up`: it does not answer. */
export type ConnectionEnd = 'finished' | 'reset' | 'refused' | 'given-up' | 'aborted'

/** Who uses a connection. None of these may call back into it. */
export interface ConnectionUser {
  established(): void
  /** Takes bytes of the peer, and returns how many; the array is not his. After less than all, `Connection.drain` says when to go on. */
  deliver(bytes: Uint8Array): number
  /** FIN of the peer, after all its bytes. */
  deliverEnd(): void
  /** The peer has acknowledged data, so that there may be room for more. */
  acknowledged(): void
  /** The last that is heard. */
  over(end: ConnectionEnd): void
}

/** Both ends. Addresses have 4 or 16 bytes. */
export interface ConnectionPair {
  readonly version: 4 | 6
  readonly localAddress: Uint8Array
  readonly localPort: number
  readonly remoteAddress: Uint8Array
  readonly remotePort: number
}

/** What connections have in common: what is below them, and the time. */
export interface ConnectionLink {
  readonly pool: BufferPool
  /** Milliseconds; as of the event that is being handled. */
  readonly now: number
  /** The largest IP packet, in bytes. */
  readonly mtu: number
  /** A buffer to write a segment to, at `segmentStart`. */
  readonly buffer: Uint8Array
  readonly segmentStart: number
  /**
   * Sends it. `segmentSize`: the payload is to be cut into pieces of so many bytes; 0: it is one. False: the link is full, and
   * `Connection.linkReady` follows.
   */
  send(pair: ConnectionPair, length: number, segmentSize: number): boolean
}
