/**
 * The network of a guest without a name: networks of its own, in the process that runs it, for as long as it runs.
 */
import type { TenonError } from '../../base/errors.ts'
import { networkError } from '../../network/errors.ts'
import { hostError } from '../errors.ts'
import type { MachineNetwork } from './attached-cards.ts'
import type { CardOrder, NetworkKind, NetworkOrder, PublishOrder } from './network-order.ts'
import type { NetworkThread } from './network-thread.ts'
import { randomMac } from './random-mac.ts'

/** A card that is asked for: `network` is a kind, or the name of a network where there are such. */
export interface CardChoice extends Pick<CardOrder, 'address' | 'vlan' | 'rate'> {
  readonly network: string
  readonly mac?: string
}

export interface NetworkChoice {
  readonly cards: readonly CardChoice[]
  /** Ports of the host that lead to the first card. */
  readonly publish: readonly PublishOrder[]
  /** Where the first card's frames are written. */
  readonly pcap?: string
  /** What may be reached from nat networks; if it is left out, all but the host's own. */
  readonly allow?: readonly string[]
}

/** What a guest has for whom nobody asked for anything else. */
export const DEFAULT_CARDS: readonly CardChoice[] = [{ network: 'nat' }]
const MOST_CARDS = 6
const GUEST_NAME = 'guest'
/** Networks of guests without names are told apart by the third number. */
const FIRST_NUMBER = 2

/**
 * Networks and cards for a choice, on this thread, which is closed if it fails.
 * @throws TenonError (NetworkErrorCode), NETWORK_UNFIT, NETWORK_THREAD_FAILED.
 */
export async function openGuestNetwork(choice: NetworkChoice, thread: NetworkThread): Promise<MachineNetwork> {
  try {
    const orders = choice.cards.map((card, index) => networkOf(card, index, choice))
    for (const order of orders) await thread.create(order)
    return { thread, cards: choice.cards.map((card, index) => cardOf(card, index, orders[index], choice)) }
  } catch (error) {
    await thread.close()
    throw error
  }
}

/** Throws TenonError NETWORK_CONFIGURATION_INVALID if a choice makes no sense. */
export function checkChoice({ cards, publish, pcap, allow }: NetworkChoice): void {
  const invalid = (message: string): TenonError => networkError('NETWORK_CONFIGURATION_INVALID', message)
  if (cards.length > MOST_CARDS) throw invalid(`a guest can have ${MOST_CARDS} network cards, and ${cards.length} are asked for`)
  if (cards.length === 0 && publish.length > 0) {
    throw invalid('without a network no port can lead to the guest: leave out --net none, or --publish')
  }
  if (cards.length === 0 && pcap !== undefined) {
    throw invalid('without a network there is nothing to capture: leave out --net none, or --pcap')
  }
  if (allow !== undefined && cards.every(({ network }) => network !== 'nat')) {
    throw invalid('--net-allow is for a network of the kind nat: none is asked for')
  }
  if (publish.length > 0 && cards[0].network === 'isolated') {
    throw invalid('no port of the host can lead into an isolated network: publish to a nat or host-only one')
  }
}

function networkOf({ network }: CardChoice, index: number, { allow }: NetworkChoice): NetworkOrder {
  if (network !== 'nat' && network !== 'host-only' && network !== 'isolated') {
    throw hostError('NETWORK_UNFIT', `'${network}' is no network for a guest without a name: there is nat, host-only and isolated; `
      + 'give it a --name for others')
  }
  const number = FIRST_NUMBER + index
  const kind: NetworkKind = network
  if (kind === 'isolated') return { name: `${kind}-${number}`, kind }
  const addresses = { ipv4: `10.0.${number}.1/24`, ipv6: `fd74:656e:6f6e:${number}::1/64` }
  return { name: `${kind}-${number}`, kind, ...addresses, allow: kind === 'nat' ? allow : undefined }
}

function cardOf(card: CardChoice, index: number, network: NetworkOrder, { publish, pcap }: NetworkChoice): CardOrder {
  const { mac = randomMac(), address, vlan, rate } = card
  const first = index === 0 ? { publish, pcap } : {}
  return { network: network.name, name: `${GUEST_NAME}-${index}`, mac, address, vlan, rate, hostName: GUEST_NAME, ...first }
}
