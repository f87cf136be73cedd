import { Bell } from './channel.ts'
import type { MachineChannel } from './channel.ts'
import { RESUME_LEVEL } from './line-backend.ts'
import type { PortLine, PortOwner } from './session.ts'

const PIECE = 16 * 1024

interface PendingWrite {
  readonly rest: Uint8Array
  readonly resolve: () => void
}

/** A line's end on the main thread: of a serial line, or of a virtio console's port. */
export class HostLine implements PortLine {
  readonly #channel: MachineChannel
  readonly #line: number
  readonly #owner: PortOwner | undefined
  readonly #onDrained: () => void
  readonly #writes: PendingWrite[] = []
  /** Writes that are in the ring to their end, for which the guest has still to take them. */
  #underWay: (() => void)[] = []
  #isPaused = false
  #hasEnded = false
  #isOpen = false

  /** `onDrained` is called when a paused owner has taken up reception, and has all that came. */
  constructor(channel: MachineChannel, line: number, owner: PortOwner | undefined, onDrained: () => void) {
    this.#channel = channel
    this.#line = line
    this.#owner = owner
    this.#onDrained = onDrained
  }

  write(bytes: Uint8Array): Promise<void> {
    if (this.#hasEnded || this.#owner === undefined || bytes.length === 0) return Promise.resolve()
    return new Promise(resolve => {
      this.#writes.push({ rest: bytes, resolve })
      this.#fill()
    })
  }

  resume(): void {
    if (!this.#isPaused) return
    this.#isPaused = false
    this.deliver()
    if (this.isDrained) this.#onDrained()
  }

  get isOpen(): boolean { return this.#isOpen }

  /** Whether the owner has every byte that came. */
  get isDrained(): boolean {
    return this.waiting === 0
  }

  /** Bytes that the owner has still to get. */
  get waiting(): number {
    return this.#channel.outputs[this.#line].used
  }

  /** The machine's thread has news: gives the owner up to so many bytes, and sends on what waits. */
  look(limit: number = this.waiting): void {
    const isOpen = this.#channel.isGuestOpen(this.#line)
    // What came before the guest's end was closed is told before that.
    this.deliver(this.#isOpen && !isOpen ? this.waiting : limit)
    this.#setOpen(isOpen)
    if (this.#channel.inputs[this.#line].used > 0) return
    this.#underWay.splice(0).forEach(resolve => resolve())
    this.#fill()
  }

  /** Gives the owner what is there now: what comes meanwhile has a notice of its own. */
  deliver(limit: number = this.waiting): void {
    const ring = this.#channel.outputs[this.#line]
    for (let left = limit; left > 0 && !this.#isPaused;) {
      const bytes = ring.read(Math.min(left, PIECE))
      left -= bytes.length
      if (!this.#owner!.receive(bytes)) this.#isPaused = true
    }
    if (ring.used <= RESUME_LEVEL && this.#channel.takeRoomWanted(this.#line)) this.#channel.ring(Bell.ROOM)
  }

  /** Nothing more comes, and nothing more is taken. */
  end(): void {
    this.#hasEnded = true
    this.#setOpen(false)
    for (const { resolve } of this.#writes.splice(0)) resolve()
    this.#underWay.splice(0).forEach(resolve => resolve())
  }

  #setOpen(open: boolean): void {
    if (open === this.#isOpen) return
    this.#isOpen = open
    this.#owner?.opened?.(open)
  }

  #fill(): void {
    const ring = this.#channel.inputs[this.#line]
    let sent = 0
    while (this.#writes.length > 0) {
      const { rest, resolve } = this.#writes[0]
      const count = ring.write(rest)
      sent += count
      if (count < rest.length) {
        this.#writes[0] = { rest: rest.subarray(count), resolve }
        break
      }
      this.#writes.shift()
      this.#underWay.push(resolve)
    }
    if (sent > 0) this.#channel.ring(Bell.INPUT)
  }
}
