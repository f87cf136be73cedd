import type { BytePort, BytePortBackend } from '../../../machine/byte-port.ts'
import type { PlainData } from '../../../machine/lifecycle.ts'
import type { StateReader } from '../../../machine/state-reader.ts'
import type { DescriptorChain } from '../descriptor-chain.ts'
import type { Virtqueue } from '../virtqueue.ts'
import { ALL_NEWS, News } from './control.ts'

/**
 * One port of a console device: its two queues, its back end, and what the driver must still be told about it.
 *
 * Bytes from the guest that the back end does not take stay in their chain, which remains outstanding; `sent` is how far it got.
 */
export interface PortOwner {
  /** The device's chain and bytes, for one operation at a time. */
  readonly chain: DescriptorChain
  readonly bytes: Uint8Array
  /** There is something to tell the driver. */
  announce(): void
  needsReset(): void
}

/** What a driver may send in one chain. */
const LARGEST_CHAIN = 1 << 20

export class ConsolePort implements BytePort {
  readonly name: string
  /** Bits of `News`. */
  news = 0
  guestOpen = false
  connected = false
  private readonly backend: BytePortBackend
  private readonly owner: PortOwner
  private receiveQueue!: Virtqueue
  private transmitQueue!: Virtqueue
  private sent = 0

  constructor(name: string, backend: BytePortBackend, owner: PortOwner) {
    this.name = name
    this.backend = backend
    this.owner = owner
  }

  connect(receiveQueue: Virtqueue, transmitQueue: Virtqueue): void {
    this.receiveQueue = receiveQueue
    this.transmitQueue = transmitQueue
  }

  transmitReady(): void {
    const { owner, transmitQueue } = this
    if (transmitQueue.outstanding > 0) transmitQueue.retake(owner.chain, () => this.send())
    while (transmitQueue.outstanding === 0 && transmitQueue.take(owner.chain)) {
      this.sent = 0
      this.send()
    }
    transmitQueue.signal()
  }

  receiveReady(): void {
    const { owner, receiveQueue, backend } = this
    while (this.guestOpen && receiveQueue.peek(owner.chain)) {
      const room = Math.min(owner.chain.writableLength, owner.bytes.length)
      const bytes = owner.bytes.subarray(0, room > 0 ? backend.receive(owner.bytes.subarray(0, room)) : 0)
      if (room > 0 && bytes.length === 0) {
        receiveQueue.suppressNotification()
        break
      }
      receiveQueue.consume(owner.chain)
      receiveQueue.complete(owner.chain.head, owner.chain.write(0, bytes))
    }
    receiveQueue.signal()
  }

  setConnected(connected: boolean): void {
    if (connected === this.connected) return
    this.connected = connected
    this.tell(News.OPEN)
  }

  tell(news: number): void {
    this.news |= news
    this.owner.announce()
  }

  setGuestOpen(open: boolean): void {
    if (open === this.guestOpen) return
    this.guestOpen = open
    this.backend.guestOpened?.(open)
    if (open) this.receiveReady()
  }

  /** A byte outside the queues. False if it is lost. */
  sendByte(byte: number): boolean { return this.backend.transmit(Uint8Array.of(byte)) === 1 }

  reset(guestOpen: boolean): void {
    this.news = this.sent = 0
    this.setGuestOpen(guestOpen)
  }

  save(): PlainData { return { news: this.news, guestOpen: this.guestOpen, connected: this.connected, sent: this.sent } }

  restore(state: StateReader): void {
    this.news = state.u8('news') & ALL_NEWS
    this.guestOpen = state.boolean('guestOpen')
    this.connected = state.boolean('connected')
    this.sent = state.integer('sent', 0, LARGEST_CHAIN)
  }

  /** The machine was restored: the back end hears where the guest is, and gets what it has not had. */
  resume(): void {
    this.backend.guestOpened?.(this.guestOpen)
    this.transmitReady()
    this.receiveReady()
  }

  /** What is left of the chain, as far as the back end takes it. */
  private send(): void {
    const { chain, bytes } = this.owner
    if (chain.readableLength > LARGEST_CHAIN) return this.owner.needsReset()
    while (this.sent < chain.readableLength) {
      const count = chain.read(this.sent, bytes)
      const taken = this.backend.transmit(bytes.subarray(0, count))
      this.sent += taken
      if (taken < count) return
    }
    this.transmitQueue.complete(chain.head, 0)
  }
}
