import type { Frame, FrameEnd } from '../../../machine/frame.ts'
import { Bell, MachineChannel } from '../../machine/channel.ts'
import { MachineCard } from '../machine-card.ts'
import type { AttachedCard } from '../network-order.ts'

/** A machine's thread and its guest in one, for tests of the network thread: answers its bell when it is told to. */
export class TestMachine implements FrameEnd {
  readonly channel = new MachineChannel()
  readonly received: Uint8Array[] = []
  /** How many frames the guest has buffers for. */
  room = Infinity
  readied = 0
  #card!: MachineCard

  get memory(): SharedArrayBuffer { return this.channel.memory }

  plug(card: AttachedCard): this {
    this.#card = new MachineCard(card)
    this.#card.connect(this)
    return this
  }

  /** From the guest. */
  send(frame: Frame): boolean { return this.#card.receive(frame) }

  /** The guest has buffers for so many more. */
  offer(frames: number): void {
    this.room += frames
    this.#card.ready()
  }

  receive(frame: Frame): boolean {
    if (this.room <= 0) return false
    this.room--
    this.received.push(frame.bytes.slice(frame.start, frame.start + frame.length))
    return true
  }

  ready(): void { this.readied++ }

  /** Looks at the bell, again and again, until it has what it waits for. */
  async until(enough: () => boolean): Promise<void> {
    const end = performance.now() + 20_000
    for (;;) {
      if ((this.channel.answer() & Bell.NETWORK) !== 0) this.#card.settle()
      if (enough()) return
      if (performance.now() > end) throw new Error('the network did not answer')
      await new Promise(resolve => { setTimeout(resolve, 1) })
    }
  }
}
