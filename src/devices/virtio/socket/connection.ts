import type { GuestStream, StreamClosed, StreamEnd } from '../../../machine/socket.ts'
import type { DescriptorChain } from '../descriptor-chain.ts'
import { HEADER_SIZE, Operation, Shutdown } from './packet.ts'
import type { PacketHeader } from './packet.ts'
import { StreamBuffer } from './stream-buffer.ts'

/**
 * One stream between a port of the guest and one of the host, with credit: no side sends more than the other has said it can hold.
 * Source: VIRTIO 1.2, §5.10.6.3 and §5.10.6.6.
 *
 *     guest: REQUEST, host: RESPONSE (or the other way round) ─▶ RW, CREDIT_UPDATE ─▶ SHUTDOWN of both directions ─▶ RST
 *
 * A guest that ends does not wait for ever until a slow host's end has taken all: Linux breaks the stream off after 8 seconds. What it
 * had sent is passed on all the same, and the end hears `closed`.
 *
 * What is to be told to the guest is kept as bits (`wanted`), so that it never grows.
 */
export interface ConnectionOwner {
  /** There may be something to send to the guest. */
  ready(connection: Connection): void
  /** The connection is over. `tell`: the guest does not know yet. */
  forget(connection: Connection, tell: boolean): void
}

/** Bytes that a slow host's end makes us hold. */
export const BUFFER_SIZE = 64 << 10

/** Packets to send, in this order. */
const Wanted = { REQUEST: 1, RESPONSE: 2, CREDIT: 4 } as const

export class Connection implements GuestStream {
  readonly guestPort: number
  readonly hostPort: number
  private readonly owner: ConnectionOwner
  private readonly buffer = new StreamBuffer(BUFFER_SIZE)
  private end_: StreamEnd | null = null
  private byHost = false
  private open = false
  private wanted = 0
  /** Free-running counts of 32 bits: bytes that the host's end took, and those the guest knows of. */
  private forwarded = 0
  private told = 0
  /** Bytes to the guest, and what the guest said of itself. */
  private sent = 0
  private guestBuffer = 0
  private guestForwarded = 0
  /** `Shutdown` bits of the guest. */
  private guestShutdown = 0
  private endedTold = false
  private gone_ = false
  private ending: 'no' | 'asked' | 'told' = 'no'

  constructor(guestPort: number, hostPort: number, owner: ConnectionOwner) {
    this.guestPort = guestPort
    this.hostPort = hostPort
    this.owner = owner
  }

  /** The host asks the guest, or thinks about what the guest asked. */
  start(end: StreamEnd, byHost: boolean): void {
    this.end_ = end
    this.byHost = byHost
    if (!byHost) return
    this.wanted = Wanted.REQUEST
    this.owner.ready(this)
  }

  accept(): void {
    if (this.end_ === null || this.byHost || this.open) return
    this.open = true
    this.wanted |= Wanted.RESPONSE
    this.owner.ready(this)
  }

  /** The guest knows nothing of it any more; the host's end has still to take what is in the buffer. */
  get gone(): boolean { return this.gone_ }

  transmitReady(): void {
    const { end_ } = this
    if (end_ === null) return
    this.advance(this.buffer.drain((bytes) => end_.transmit(bytes)))
    this.noticeEnd()
    this.owner.ready(this)
  }

  receiveReady(): void {
    if (this.end_ !== null) this.owner.ready(this)
  }

  end(): void {
    if (this.end_ === null) return
    if (this.ending === 'no') this.ending = 'asked'
    this.owner.ready(this)
  }

  reset(): void {
    if (this.end_ === null) return
    this.end_ = null
    this.owner.forget(this, !this.gone_)
  }

  /** It is over, and the host's end hears why. */
  close(reason: StreamClosed, tell: boolean): void {
    const { end_ } = this
    if (end_ === null) return
    this.end_ = null
    this.owner.forget(this, tell)
    end_.closed?.(reason)
  }

  noteCredit(header: PacketHeader): void {
    this.guestBuffer = header.bufferSize
    this.guestForwarded = header.forwarded
  }

  /** A packet from the guest; its payload is in the chain, behind the header. `bytes` is for the payload, piece by piece. */
  hear(header: PacketHeader, chain: DescriptorChain, bytes: Uint8Array): void {
    this.noteCredit(header)
    switch (header.operation) {
      case Operation.RESPONSE: return this.accepted()
      case Operation.RST: return this.brokenOff()
      case Operation.SHUTDOWN:
        this.guestShutdown |= header.flags & Shutdown.BOTH
        return this.noticeEnd()
      case Operation.RW: return this.takeData(header.length, chain, bytes)
      case Operation.CREDIT_REQUEST:
        this.wanted |= Wanted.CREDIT
        return
      case Operation.CREDIT_UPDATE: return
      default: return this.close('reset', true)
    }
  }

  /**
   * Makes the next packet for the guest, with at most as much payload as `payload` has room for. Returns the payload's length, or -1 if
   * there is nothing to send.
   */
  speak(header: PacketHeader, guestCid: number, payload: Uint8Array): number {
    if (this.gone_) return -1
    const wanted = this.wanted & -this.wanted
    this.wanted &= ~wanted
    if (wanted !== 0) return this.fill(header, guestCid, OPERATIONS[wanted])
    const credit = this.guestBuffer - (this.sent - this.guestForwarded >>> 0)
    const over = this.ending === 'told' || (this.guestShutdown & Shutdown.RECEIVE) !== 0
    if (this.end_ === null || !this.open || over || credit <= 0) return -1
    const length = this.end_.receive(payload.subarray(0, Math.min(credit, payload.length)))
    if (length > 0) {
      this.sent = this.sent + length >>> 0
      return this.fill(header, guestCid, Operation.RW, length)
    }
    if (this.ending === 'no') return -1
    this.ending = 'told'
    return this.fill(header, guestCid, Operation.SHUTDOWN, 0, Shutdown.SEND)
  }

  private fill(header: PacketHeader, guestCid: number, operation: number, length = 0, flags = 0): number {
    this.told = this.forwarded
    header.fill(guestCid, this.hostPort, this.guestPort, operation, { length, flags, bufferSize: BUFFER_SIZE, forwarded: this.forwarded })
    return length
  }

  private brokenOff(): void {
    this.gone_ = this.guestShutdown === Shutdown.BOTH && this.buffer.length > 0
    if (!this.gone_) this.close(this.open ? 'reset' : 'refused', false)
  }

  private accepted(): void {
    if (this.open || !this.byHost) return this.close('reset', true)
    this.open = true
    this.end_?.opened?.(this.hostPort)
  }

  private takeData(length: number, chain: DescriptorChain, bytes: Uint8Array): void {
    const beyondCredit = this.buffer.length + length > BUFFER_SIZE
    const truncated = length > chain.readableLength - HEADER_SIZE
    if (!this.open || beyondCredit || truncated || (this.guestShutdown & Shutdown.SEND) !== 0) return this.close('reset', true)
    for (let done = 0; done < length;) {
      const count = chain.read(HEADER_SIZE + done, bytes.subarray(0, length - done))
      this.pass(bytes.subarray(0, count))
      done += count
    }
  }

  /** To the host's end, and what it does not take into the buffer. */
  private pass(bytes: Uint8Array): void {
    const taken = this.buffer.length === 0 ? this.end_!.transmit(bytes) : 0
    this.advance(taken)
    if (taken < bytes.length) this.buffer.push(bytes.subarray(taken))
  }

  /** The host's end took so many bytes; the guest hears of it when it may be waiting for that. */
  private advance(taken: number): void {
    this.forwarded = this.forwarded + taken >>> 0
    if ((this.forwarded - this.told >>> 0) >= BUFFER_SIZE / 2) this.wanted |= Wanted.CREDIT
  }

  /** The guest has ended its direction, or both, once the host's end has taken all. */
  private noticeEnd(): void {
    if ((this.guestShutdown & Shutdown.SEND) === 0 || this.buffer.length > 0) return
    if (this.guestShutdown === Shutdown.BOTH) return this.close('closed', !this.gone_)
    if (this.endedTold) return
    this.endedTold = true
    this.end_?.ended?.()
  }
}

const OPERATIONS: Readonly<Record<number, number>> = {
  [Wanted.REQUEST]: Operation.REQUEST, [Wanted.RESPONSE]: Operation.RESPONSE, [Wanted.CREDIT]: Operation.CREDIT_UPDATE,
}
