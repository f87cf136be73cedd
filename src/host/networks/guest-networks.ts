import { createHash } from 'node:crypto'
import { formatMac } from '../../network/packet/addresses.ts'
import type { GuestDefinition } from '../guests/guest-definition.ts'
import type { MachineNetwork } from '../network/attached-cards.ts'
import type { CardOrder, NetworkReport } from '../network/network-order.ts'
import type { NetworkNoticeListener, NetworkThread } from '../network/network-thread.ts'
import type { NetworkStore } from './network-store.ts'

export interface GuestNetworksParts {
  readonly store: NetworkStore
  readonly startThread: (onNotice: NetworkNoticeListener) => NetworkThread
  /** Lines for the log of the process. */
  readonly log: (message: string) => void
}

/** The networks of the guests of one background process: on one thread, which begins when the first guest wants one. */
export class GuestNetworks {
  readonly #parts: GuestNetworksParts
  /** Names to what the network was made of, as text. */
  readonly #made = new Map<string, string>()
  #thread: NetworkThread | undefined
  /** Networks are made one after another. */
  #busy: Promise<unknown> = Promise.resolve()

  constructor(parts: GuestNetworksParts) { this.#parts = parts }

  /**
   * What a guest's machine is to be plugged into.
   * @throws TenonError NETWORK_UNKNOWN, NETWORK_DEFINITION_INVALID and those of `NetworkThread.create`.
   */
  async forGuest(guest: string, { networks, publish }: Pick<GuestDefinition, 'networks' | 'publish'>): Promise<MachineNetwork | undefined> {
    if (networks.length === 0) return undefined
    const thread = this.#thread ??= this.#parts.startThread(error => this.#parts.log(`networks: ${error.message}`))
    const made = this.#makeAll(thread, networks.map(({ name }) => name), this.#busy)
    this.#busy = made.catch(() => {})
    await made
    const cards = networks.map(({ name: network, mac, ...rest }, index): CardOrder => ({
      network, name: index === 0 ? guest : `${guest}-${index}`, mac: mac ?? macOf(guest, index), hostName: guest, ...rest,
      publish: index === 0 ? publish : [],
    }))
    return { thread, cards }
  }

  /** Those that guests of this process were plugged into. */
  async reports(): Promise<readonly NetworkReport[]> {
    const thread = this.#thread
    return thread === undefined ? [] : Promise.all([...this.#made.keys()].map(name => thread.inspect(name)))
  }

  async #makeAll(thread: NetworkThread, names: readonly string[], before: Promise<unknown>): Promise<void> {
    await before
    for (const name of names) await this.#make(thread, name)
  }

  /** Makes the network, if it is not there as it is now defined. */
  async #make(thread: NetworkThread, name: string): Promise<void> {
    const definition = await this.#parts.store.definition(name)
    const text = JSON.stringify(definition)
    const before = this.#made.get(name)
    if (before === text) return
    if (before !== undefined && !await this.#unmake(thread, name)) return
    await thread.create({ name, ...definition })
    this.#made.set(name, text)
  }

  /** Whether the network as it was is gone: guests that are plugged in keep it. */
  async #unmake(thread: NetworkThread, name: string): Promise<boolean> {
    try {
      await thread.remove(name)
      this.#made.delete(name)
      return true
    } catch (error) {
      this.#parts.log(`networks: the new definition of '${name}' holds later: ${(error as Error).message}`)
      return false
    }
  }
}

/** A guest's card has the same address each time, unless its definition says otherwise. */
function macOf(guest: string, index: number): string {
  const digest = createHash('sha256').update(`card ${index} of ${guest}`).digest()
  return formatMac(Uint8Array.of(0x52, 0x54, 0, digest[0], digest[1], digest[2]))
}
