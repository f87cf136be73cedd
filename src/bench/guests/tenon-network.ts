/** The networks of a benchmark's guests in Tenon: to the host and what is outside, and the one that two guests alone have. */
import type { MachineNetwork } from '../../host/network/attached-cards.ts'
import type { CardOrder } from '../../host/network/network-order.ts'
import { NetworkThread } from '../../host/network/network-thread.ts'
import { randomMac } from '../../host/network/random-mac.ts'
import type { MachinePlan, PlannedCard } from '../machine-plan.ts'

export interface GuestNetworks {
  readonly guest?: MachineNetwork
  readonly peer?: MachineNetwork
}

/** Both guests' cards are at one thread, as those of one process are. Throws TenonError. */
export async function openNetworks({ card, peer }: Pick<MachinePlan, 'card' | 'peer'>): Promise<GuestNetworks> {
  if (card === undefined && peer === undefined) return {}
  const thread = new NetworkThread(error => console.error(error.message))
  const cards: CardOrder[] = []
  if (card !== undefined) cards.push(await outside(thread, card))
  if (peer === undefined) return { guest: { thread, cards } }
  await thread.create({ name: 'cable', kind: 'isolated' })
  const end = (name: string): CardOrder => ({ network: 'cable', name, mac: randomMac() })
  return { guest: { thread, cards: [...cards, end('guest')] }, peer: { thread, cards: [end('peer')] } }
}

async function outside(thread: NetworkThread, { publish, hostPorts }: PlannedCard): Promise<CardOrder> {
  const addresses = { ipv4: '10.0.2.1/24', ipv6: 'fd74:656e:6f6e:2::1/64' }
  await thread.create({ name: 'outside', kind: 'nat', ...addresses, hostPorts: hostPorts.map(String) })
  return {
    // Ports lead to a guest by its host's name.
    network: 'outside', name: 'guest', hostName: 'guest', mac: randomMac(),
    publish: publish.map(({ host, guest }) => ({ protocol: 'tcp', address: '127.0.0.1', port: host, guestPort: guest })),
  }
}
