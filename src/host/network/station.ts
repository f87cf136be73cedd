/**
 * Something behind a port of the switch, whose frames wait in a ring until it is served: stations are served in turn, so many bytes each,
 * so that none that floods keeps others from the switch.
 */
import type { Frame, FrameEnd } from '../../machine/frame.ts'
import { FrameRing } from '../../network/frame-ring.ts'
import type { SwitchPort } from '../../network/switch/port.ts'
import { Bell } from '../machine/channel.ts'
import type { MachineChannel } from '../machine/channel.ts'
import type { CardChannel } from './card-channel.ts'

export abstract class Station {
  readonly port: SwitchPort
  protected readonly wake: () => void
  readonly #ring: FrameRing
  /** The switch refused a frame, and has not said yet that it takes more. */
  #blocked = false

  /** `wake` has the service loop look at its stations. */
  constructor(port: SwitchPort, ring: FrameRing, wake: () => void) {
    this.port = port
    this.wake = wake
    this.#ring = ring
    port.connect({ receive: frame => this.give(frame), ready: () => this.#unblock() })
  }

  get hasWork(): boolean { return !this.#blocked && !this.#ring.isEmpty }

  /** Passes on frames of about so many bytes. */
  serve(budget: number): void {
    if (this.#blocked) return
    let left = budget
    for (let frame = this.#ring.peek(); frame !== null && left > 0; frame = this.#ring.peek()) {
      if (!this.port.receive(frame)) {
        this.#blocked = true
        return
      }
      left -= frame.length
      if (this.#ring.shift()) this.madeRoom()
    }
  }

  /** Has frames that wait in the switch go on, if there is room again. */
  abstract drain(): void
  /** Tells the other side what there is to tell, after a round. */
  abstract settle(): void
  /** A frame for the station. */
  protected abstract give(frame: Frame): boolean
  /** Whoever fills the ring waits for that. */
  protected abstract madeRoom(): void

  #unblock(): void {
    this.#blocked = false
    this.wake()
  }
}

/** A card of a machine on another thread. */
export class CardStation extends Station {
  readonly #channel: CardChannel
  readonly #machine: MachineChannel
  #hasNews = false
  /** There was no room for a frame. */
  #refused = false

  constructor(port: SwitchPort, channel: CardChannel, machine: MachineChannel, wake: () => void) {
    super(port, channel.fromMachine, wake)
    this.#channel = channel
    this.#machine = machine
  }

  override get hasWork(): boolean { return super.hasWork || this.#hasNews || this.#hasRoom }

  drain(): void {
    if (!this.#hasRoom) return
    this.#refused = false
    this.port.ready()
  }

  settle(): void {
    if (!this.#hasNews) return
    this.#hasNews = false
    this.#machine.ring(Bell.NETWORK)
  }

  protected give(frame: Frame): boolean {
    const taken = this.#channel.toMachine.push(frame)
    if (taken) this.#tell()
    else this.#refused = true
    return taken
  }

  protected madeRoom(): void { this.#tell() }

  /** The machine has made room since a frame was refused. */
  get #hasRoom(): boolean { return this.#refused && !this.#channel.toMachine.isWaitedFor }

  #tell(): void {
    this.#hasNews = true
    this.wake()
  }
}

/** A gateway on this thread. It answers from inside `receive`: its frames go into a ring first, as everybody's do. */
export class GatewayStation extends Station {
  readonly #gateway: FrameEnd
  #wantsRoom = false

  /** `plug` is given the end that the gateway sends to, and gives its own. */
  constructor(port: SwitchPort, plug: (end: FrameEnd) => FrameEnd, wake: () => void) {
    const ring = FrameRing.private(1 << 20)
    super(port, ring, wake)
    this.#gateway = plug({
      receive: frame => {
        const taken = ring.push(frame)
        if (taken) wake()
        return taken
      },
      // Whatever comes for the gateway, it takes at once.
      ready: () => {},
    })
  }

  drain(): void { /* it never refuses */ }

  settle(): void {
    if (!this.#wantsRoom) return
    this.#wantsRoom = false
    this.#gateway.ready()
  }

  protected give(frame: Frame): boolean { return this.#gateway.receive(frame) }

  protected madeRoom(): void { this.#wantsRoom = true }
}
