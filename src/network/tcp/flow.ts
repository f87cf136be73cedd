/**
 * A flow: a connection with a guest, spliced with a stream of the host's. What one side sends is given to the other as it comes; a side
 * that does not take it holds the other back.
 *
 *   guest ◀──▶ Connection ── deliver ──▶ HostStream.write         the rest waits in the connection: its window shrinks
 *                        ◀── write ───── StreamEvents.data        false, when the guest has too much to acknowledge
 *
 *   guest's FIN  → end()             host's FIN    → FIN
 *   guest's RST  → abort()           host's error  → RST; before the connection is there: RST or an ICMP error
 */
import type { HostStream, SocketFailure, StreamEvents } from '../sockets.ts'
import type { Unreachable } from '../transport.ts'
import { Connection } from './connection.ts'
import type { ConnectionEnd, ConnectionLink, ConnectionPair, ConnectionUser } from './connection-link.ts'

/** What a flow needs of the table that it is in. */
export interface FlowOwner {
  readonly link: ConnectionLink
  /** An event of the host's begins: the time is looked at. */
  begin(): void
  /** The flow's connection has done something: its timers, and whether it is still there, are looked at. */
  settle(flow: Flow): void
  unreachable(quote: Uint8Array, why: Unreachable): void
}

const NO_QUOTE = new Uint8Array(0)

export class Flow implements ConnectionUser, StreamEvents {
  readonly connection: Connection
  /** Where it is in the owner's tables. */
  readonly hash: number
  nextInBucket: Flow | null = null
  wakesAt = Infinity
  heapIndex = -1
  isBlocked = false
  isOpening = false
  isRemoved = false

  private readonly owner: FlowOwner
  private stream: HostStream | null = null
  /** Of the guest's SYN, as long as an ICMP error may have to quote it. */
  private quote: Uint8Array = NO_QUOTE
  /** The host's stream was told to wait. */
  private isHeldBack = false

  constructor(owner: FlowOwner, pair: ConnectionPair, initialSequence: number, hash: number) {
    this.owner = owner
    this.hash = hash
    this.connection = new Connection(owner.link, pair, initialSequence, this)
  }

  /** The guest has asked for a connection, and the host's stream is under way. */
  opening(stream: HostStream, quote: Uint8Array): void {
    this.stream = stream
    this.quote = quote
  }

  /** The host has a stream, and asks the guest. */
  publish(stream: HostStream): void {
    this.stream = stream
    this.connection.open()
  }

  /** Ends both sides. */
  abort(): void {
    this.stream?.abort()
    this.stream = null
    this.connection.abort()
  }

  // ── the connection with the guest ──

  established(): void { this.quote = NO_QUOTE }

  deliver(bytes: Uint8Array): number { return this.stream === null ? bytes.length : this.stream.write(bytes) }

  deliverEnd(): void { this.stream?.end() }

  acknowledged(): void {
    if (!this.isHeldBack || !this.connection.hasRoom) return
    this.isHeldBack = false
    this.stream?.resume()
  }

  /** With `finished`, the stream sends what it has yet, and ends by itself. */
  over(end: ConnectionEnd): void {
    if (end !== 'finished') this.stream?.abort()
    this.stream = null
  }

  // ── the host's stream ──

  connected(): void {
    this.owner.begin()
    this.connection.accept()
    this.owner.settle(this)
  }

  data(bytes: Uint8Array): boolean {
    this.owner.begin()
    this.isHeldBack = !this.connection.write(bytes)
    this.owner.settle(this)
    return !this.isHeldBack
  }

  ended(): void {
    this.owner.begin()
    this.connection.finish()
    this.owner.settle(this)
  }

  writable(): void {
    this.owner.begin()
    this.connection.drain()
    this.owner.settle(this)
  }

  closed(failure?: SocketFailure): void {
    this.stream = null
    if (failure === undefined) return
    this.owner.begin()
    if (this.connection.state === 'OPENING') this.refuse(failure)
    else this.connection.abortWhenSent()
    this.owner.settle(this)
  }

  private refuse(failure: SocketFailure): void {
    const why = UNREACHABLE[failure]
    if (why === undefined) {
      this.connection.refuse()
      return
    }
    this.owner.unreachable(this.quote, why)
    this.connection.abort()
  }
}

/** Where a router on the way would have said it by ICMP. What is missing here is RST. */
const UNREACHABLE: Partial<Record<SocketFailure, Unreachable>> = {
  'unreachable-host': 'host', 'unreachable-net': 'network', 'timed-out': 'host', denied: 'prohibited',
}
