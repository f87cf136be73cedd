import type { Timer } from '../format.ts'

/**
 * A connection that carries bytes both ways, in order: a TCP connection, a Unix socket, a pair of queues in a test. The host implements
 * it; one caller reads, and one at a time writes.
 */
export interface ByteStream {
  /** Who is at the other end, for messages: `127.0.0.1:10809`. */
  readonly peer: string
  /** What has come, at least one byte, which is the caller's from then on; none at the end. Rejects when the connection fails. */
  read(): Promise<Uint8Array>
  /** Resolves when the pieces have been taken and may change again, which a slow peer delays. Rejects when the connection fails. */
  write(pieces: readonly Uint8Array[]): Promise<void>
  /** Ends both directions at once; reads and writes under way settle. What was not taken yet is lost. May be called again. */
  close(): void
}

/** Deadlines and pauses. */
export type Timers = Pick<Timer, 'after'>
