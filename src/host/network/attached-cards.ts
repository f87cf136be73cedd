import type { PlainData } from '../../machine/lifecycle.ts'
import type { AttachedCard, CardOrder, MachineCardOrder } from './network-order.ts'
import type { NetworkThread } from './network-thread.ts'

/** The networks that a machine's cards are plugged into, and the cards, in order. */
export interface MachineNetwork {
  readonly thread: NetworkThread
  readonly cards: readonly CardOrder[]
}

/** A machine's cards at the network thread, for as long as the machine lives. */
export class AttachedCards {
  readonly #thread: NetworkThread
  readonly #cards: AttachedCard[] = []

  private constructor(thread: NetworkThread) { this.#thread = thread }

  /** `machine` is the memory of its channel. Throws what `NetworkThread.attach` throws; nothing stays attached then. */
  static async attach({ thread, cards }: MachineNetwork, machine: SharedArrayBuffer): Promise<AttachedCards> {
    const attached = new AttachedCards(thread)
    try {
      for (const card of cards) attached.#cards.push(await thread.attach(card, machine))
    } catch (error) {
      await attached.detach()
      throw error
    }
    return attached
  }

  /** What the guest has, by card: `CardOrder.standing`. It must stand still. */
  standings(): Promise<readonly PlainData[]> { return Promise.all(this.#cards.map(({ id }) => this.#thread.standingOf(id))) }

  /** For the machine's thread. */
  get forMachine(): readonly MachineCardOrder[] { return this.#cards }

  /** Pulls the cables. Resolves when ports of the host are free again; the thread may be gone already. */
  async detach(): Promise<void> {
    await Promise.all(this.#cards.splice(0).map(({ id }) => this.#thread.detach(id).catch(() => {})))
  }
}
