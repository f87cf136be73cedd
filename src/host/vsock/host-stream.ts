import type { Socket } from 'node:net'
import { RING_CAPACITY, Side, StreamFlag } from './stream-channel.ts'
import type { StreamSlot } from './stream-channel.ts'
import type { SlotStream } from './stream-table.ts'

export interface HostStreamEvents {
  /** The guest has accepted what was asked for. */
  opened?(): void
  /** There is news for the machine. */
  tell(): void
  /** The socket is gone, and the machine's side through or told so. */
  over(): void
}

/**
 * A Unix socket and the slot of its stream, on the vsock thread: what the socket brings goes into one ring, what is in the other goes out
 * by the socket, each as far as there is room.
 *
 * A stream that the guest has ended both ways lives until the socket has sent all. One that it has broken off sends at once what the
 * socket takes, and is gone.
 */
export class HostStream implements SlotStream {
  readonly #slot: StreamSlot
  readonly #socket: Socket
  readonly #events: HostStreamEvents
  /** Both sides have agreed to speak. */
  #isOpen = false
  /** Came from the socket, and has found no room. */
  #pending: Uint8Array = NOTHING
  /** The socket brings no more, or takes no more for now. */
  #hasEnded = false
  #isFull = false
  #isGone = false

  constructor(slot: StreamSlot, socket: Socket, events: HostStreamEvents) {
    this.#slot = slot
    this.#socket = socket
    this.#events = events
    socket.on('data', bytes => this.#received(bytes))
    socket.on('end', () => this.#ended())
    socket.on('drain', () => this.#drained())
    socket.on('finish', () => this.#sentAll())
    socket.on('close', hadError => this.#closed(hadError))
  }

  /** The guest has begun it, and somebody listens. */
  open(): void {
    this.#isOpen = true
    this.#say(StreamFlag.OPENED)
    this.look()
  }

  look(): void {
    // What the flags say of the ring holds for all that is read from it afterwards.
    const flags = this.#slot.flags(Side.MACHINE)
    if (this.#isGone) return this.#lookWhenGone(flags)
    if ((flags & StreamFlag.OPENED) !== 0 && !this.#isOpen) this.#greet()
    if (this.#isOpen) this.#passToSocket()
    if ((flags & StreamFlag.ABORTED) !== 0) return void this.#socket.destroy()
    this.#passToGuest()
    const hasEnded = (flags & (StreamFlag.ENDED | StreamFlag.CLOSED)) !== 0
    if (!hasEnded || this.#slot.fromGuest.used > 0) return
    this.#socket.end()
    this.#sentAll()
  }

  /** The machine is gone. What the guest has sent is sent on, as far as the socket takes it soon. */
  finish(): void {
    if (this.#isGone) return
    if (this.#isOpen) this.#passToSocket()
    this.#socket.destroySoon()
  }

  /** Who asked for the guest's port is told that there is somebody. */
  #greet(): void {
    this.#isOpen = true
    this.#events.opened?.()
    this.#socket.write(`OK ${this.#slot.hostPort}\n`)
  }

  #received(bytes: Uint8Array): void {
    this.#pending = bytes
    this.#passToGuest()
  }

  #ended(): void {
    this.#hasEnded = true
    this.#passToGuest()
  }

  #drained(): void {
    this.#isFull = false
    this.look()
  }

  /** A guest that has closed its end hears nothing that the socket still brings. */
  #sentAll(): void {
    const isClosed = (this.#slot.flags(Side.MACHINE) & StreamFlag.CLOSED) !== 0
    if (isClosed && this.#socket.writableFinished) this.#socket.destroy()
  }

  #closed(hadError: boolean): void {
    this.#isGone = true
    const isOrderly = !hadError && this.#hasEnded && this.#socket.writableFinished
    if (!isOrderly) this.#pending = NOTHING
    if (isOrderly) this.#lookWhenGone(this.#slot.flags(Side.MACHINE))
    else this.#events.over()
  }

  /** Both directions have ended; what the socket has brought may still be on its way into the guest. */
  #lookWhenGone(flags: number): void {
    if ((flags & StreamFlag.CLOSED) !== 0) this.#events.over()
    else this.#passToGuest()
  }

  #passToGuest(): void {
    const hadSome = this.#pending.length > 0
    this.#pending = this.#pending.subarray(this.#slot.toGuest.write(this.#pending))
    if (this.#pending.length > 0) {
      this.#slot.wantRoom(Side.HOST)
      this.#pending = this.#pending.subarray(this.#slot.toGuest.write(this.#pending))
    }
    if (hadSome) this.#events.tell()
    if (this.#pending.length > 0) return void this.#socket.pause()
    if (this.#hasEnded) this.#say(StreamFlag.ENDED)
    else this.#socket.resume()
  }

  #passToSocket(): void {
    const { fromGuest } = this.#slot
    while (!this.#isFull && fromGuest.used > 0) {
      this.#isFull = !this.#socket.write(fromGuest.read(RING_CAPACITY))
      if (this.#slot.takeRoomWanted(Side.MACHINE)) this.#events.tell()
    }
  }

  /** Once. */
  #say(flag: number): void {
    if ((this.#slot.flags(Side.HOST) & flag) !== 0) return
    this.#slot.raise(Side.HOST, flag)
    this.#events.tell()
  }
}

const NOTHING = new Uint8Array(0)
