/** The networks of the network thread, and what it does when it is asked (network-protocol.ts). */
import { networkError } from '../../network/errors.ts'
import { parseMac } from '../../network/packet/addresses.ts'
import { CardChannel } from './card-channel.ts'
import type { AttachedCard } from './network-order.ts'
import type { NetworkRequest, RequestBody } from './network-protocol.ts'
import { Network } from './network.ts'
import type { NetworkParts } from './network.ts'
import { TapDevice } from './tap/tap-device.ts'

export class Networks {
  readonly #parts: NetworkParts
  /** The memory of the thread's bell. */
  readonly #doorbell: SharedArrayBuffer
  readonly #networks = new Map<string, Network>()
  readonly #networkOfCard = new Map<number, Network>()
  #nextCard = 1

  constructor(parts: NetworkParts, doorbell: SharedArrayBuffer) {
    this.#parts = parts
    this.#doorbell = doorbell
  }

  /** Throws TenonError (NetworkErrorCode), FILE_UNWRITABLE. */
  async answer(request: NetworkRequest): Promise<unknown> {
    switch (request.kind) {
      case 'create': return this.#create(request)
      case 'remove': return this.#remove(request)
      case 'attach': return this.#attach(request)
      case 'detach': return this.#detach(request)
      case 'standing': return this.#networkOfCard.get(request.card)?.standingOf(request.card) ?? null
      case 'inspect': return this.#find(request.name).report()
      case 'close': return this.#close()
    }
  }

  async #create({ order }: RequestBody<'create'>): Promise<null> {
    if (this.#networks.has(order.name)) {
      throw networkError('NETWORK_EXISTS', `there is a network '${order.name}' already: give it another name`)
    }
    const tap = order.kind === 'bridge' ? await TapDevice.open(order) : undefined
    try {
      this.#networks.set(order.name, new Network(order, this.#parts, tap))
    } catch (error) {
      await tap?.close()
      throw error
    }
    return null
  }

  async #remove({ name }: RequestBody<'remove'>): Promise<null> {
    const network = this.#find(name)
    if (network.cardCount > 0) {
      throw networkError('NETWORK_IN_USE', `the network '${name}' has cards of ${network.cardNames.join(', ')}: stop these guests first`)
    }
    this.#networks.delete(name)
    await network.close()
    return null
  }

  async #attach({ card, machine }: RequestBody<'attach'>): Promise<AttachedCard> {
    const network = this.#find(card.network)
    const channel = new CardChannel()
    const id = this.#nextCard++
    await network.attach(id, card, channel, machine)
    this.#networkOfCard.set(id, network)
    return { id, memory: channel.memory, doorbell: this.#doorbell, address: parseMac(card.mac)!, mtu: network.mtu }
  }

  #detach({ card }: RequestBody<'detach'>): null {
    this.#networkOfCard.get(card)?.detach(card)
    this.#networkOfCard.delete(card)
    return null
  }

  async #close(): Promise<null> {
    await Promise.all([...this.#networks.values()].map(network => network.close()))
    this.#networks.clear()
    this.#networkOfCard.clear()
    this.#parts.loop.stop()
    return null
  }

  #find(name: string): Network {
    const network = this.#networks.get(name)
    if (network === undefined) {
      throw networkError('NETWORK_UNKNOWN', `there is no network '${name}': \`tenon network ls\` shows which there are`)
    }
    return network
  }
}
