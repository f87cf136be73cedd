import type { Frame, FrameBackend, FrameEnd, FrameRoom } from '../../machine/frame.ts'
import { CardChannel } from './card-channel.ts'
import { Doorbell } from '../machine/doorbell.ts'
import type { MachineCardOrder } from './network-order.ts'

/**
 * A card's cable at the machine's end: frames of the guest's go into one ring, those for it come from the other, when the run loop calls
 * `settle` because the bell was rung for the network.
 */
export class MachineCard implements FrameBackend, FrameEnd {
  readonly mtu: number
  readonly #channel: CardChannel
  readonly #doorbell: Doorbell
  #controller: FrameEnd | undefined
  /** A frame of the guest's waits for room. */
  #blocked = false

  constructor({ memory, doorbell, mtu }: MachineCardOrder) {
    this.mtu = mtu
    this.#channel = new CardChannel(memory)
    this.#doorbell = new Doorbell(doorbell)
  }

  connect(controller: FrameEnd): FrameEnd {
    this.#controller = controller
    return this
  }

  /** The network may answer soon: there are frames that it has not taken yet. */
  get busy(): boolean { return !this.#channel.fromMachine.isEmpty }

  reserve(length: number): FrameRoom | null {
    const room = this.#channel.fromMachine.reserve(length)
    if (room === null) this.#blocked = true
    return room
  }

  receive(frame: Frame): boolean {
    const taken = this.#channel.fromMachine.push(frame)
    if (taken) this.#doorbell.ring()
    else this.#blocked = true
    return taken
  }

  /** The guest has buffers again. */
  ready(): void {
    const ring = this.#channel.toMachine
    let madeRoom = false
    for (let frame = ring.peek(); frame !== null && this.#controller!.receive(frame); frame = ring.peek()) {
      if (ring.shift()) madeRoom = true
    }
    if (madeRoom) this.#doorbell.ring()
  }

  /** The network thread has frames for the guest, or has made room. */
  settle(): void {
    this.ready()
    if (!this.#blocked) return
    this.#blocked = false
    this.#controller!.ready()
  }
}
