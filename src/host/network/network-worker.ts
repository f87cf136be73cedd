/** The network thread. */
import { parentPort, workerData } from 'node:worker_threads'
import { TenonError } from '../../base/errors.ts'
import { Doorbell } from '../machine/doorbell.ts'
import { NetworkClock } from './network-clock.ts'
import type { NetworkMessage, NetworkRequest, NetworkThreadOrder } from './network-protocol.ts'
import { Networks } from './networks.ts'
import { ping } from './ping.ts'
import { ServiceLoop } from './service-loop.ts'
import { HostSockets } from './sockets.ts'

const main = parentPort!
const doorbell = new Doorbell((workerData as NetworkThreadOrder).doorbell)
const loop = new ServiceLoop(doorbell)
const say = (message: NetworkMessage): void => main.postMessage(message, [])
const networks = new Networks({
  clock: new NetworkClock(), sockets: new HostSockets(ping), loop, wake: () => doorbell.ring(),
  notice: message => say({ kind: 'notice', message }),
}, doorbell.memory)

main.on('message', (request: NetworkRequest) => {
  void networks.answer(request).then(
    answer => say({ kind: 'answer', id: request.id, answer }),
    (error: unknown) => say({ kind: 'refusal', id: request.id, ...explain(error) }))
})
void loop.run()

function explain(error: unknown): { code: string, message: string } {
  if (error instanceof TenonError) return { code: error.code, message: error.message }
  return { code: 'NETWORK_THREAD_FAILED', message: `${String(error)} (a fault of Tenon: please report it)` }
}
