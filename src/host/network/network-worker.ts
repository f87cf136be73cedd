/** The network thread: has the networks, and does what the main thread asks for (network-protocol.ts). */
import { parentPort, workerData } from 'node:worker_threads'
import { TenonError } from '../../base/errors.ts'
import { networkError } from '../../network/errors.ts'
import { parseMac } from '../../network/packet/addresses.ts'
import { CardChannel } from './card-channel.ts'
import { Doorbell } from './doorbell.ts'
import { NetworkClock } from './network-clock.ts'
import type { AttachedCard } from './network-order.ts'
import type { NetworkMessage, NetworkRequest, NetworkThreadOrder, RequestBody } from './network-protocol.ts'
import { Network } from './network.ts'
import type { NetworkParts } from './network.ts'
import { ping } from './ping.ts'
import { ServiceLoop } from './service-loop.ts'
import { HostSockets } from './sockets.ts'

const main = parentPort!
const doorbell = new Doorbell((workerData as NetworkThreadOrder).doorbell)
const loop = new ServiceLoop(doorbell)
const networks = new Map<string, Network>()
const networkOfCard = new Map<number, Network>()
const say = (message: NetworkMessage): void => main.postMessage(message, [])
const parts: NetworkParts = {
  clock: new NetworkClock(), sockets: new HostSockets(ping), loop, wake: () => doorbell.ring(), notice: message => say({ kind: 'notice', message }),
}
let nextCard = 1

main.on('message', (request: NetworkRequest) => {
  void answer(request).then(
    result => say({ kind: 'answer', id: request.id, answer: result }),
    (error: unknown) => say({ kind: 'refusal', id: request.id, ...explain(error) }))
})
void loop.run()

async function answer(request: NetworkRequest): Promise<unknown> {
  switch (request.kind) {
    case 'create': return create(request)
    case 'remove': return remove(request)
    case 'attach': return attach(request)
    case 'detach': return detach(request)
    case 'inspect': return find(request.name).report()
    case 'close': return close()
  }
}

function create({ order }: RequestBody<'create'>): null {
  if (networks.has(order.name)) throw networkError('NETWORK_EXISTS', `there is a network '${order.name}' already`)
  networks.set(order.name, new Network(order, parts))
  return null
}

function remove({ name }: RequestBody<'remove'>): null {
  const network = find(name)
  if (network.cardCount > 0) {
    throw networkError('NETWORK_IN_USE', `the network '${name}' has ${network.cardCount} guests' cards: stop the guests first`)
  }
  network.close()
  networks.delete(name)
  return null
}

async function attach({ card, machine }: RequestBody<'attach'>): Promise<AttachedCard> {
  const network = find(card.network)
  const channel = new CardChannel()
  const number = nextCard++
  await network.attach(number, card, channel, machine)
  networkOfCard.set(number, network)
  return { id: number, memory: channel.memory, doorbell: doorbell.memory, address: parseMac(card.mac)!, mtu: network.mtu }
}

function detach({ card }: RequestBody<'detach'>): null {
  networkOfCard.get(card)?.detach(card)
  networkOfCard.delete(card)
  return null
}

function close(): null {
  for (const network of networks.values()) network.close()
  networks.clear()
  loop.stop()
  main.unref()
  return null
}

function find(name: string): Network {
  const network = networks.get(name)
  if (network === undefined) throw networkError('NETWORK_UNKNOWN', `there is no network '${name}': see \`tenon network ls\``)
  return network
}

function explain(error: unknown): { code: string, message: string } {
  if (error instanceof TenonError) return { code: error.code, message: error.message }
  return { code: 'NETWORK_THREAD_FAILED', message: `${String(error)} (a fault of Tenon: please report it)` }
}
