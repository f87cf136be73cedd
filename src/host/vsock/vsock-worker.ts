/** The thread of a machine's vsock. */
import { parentPort, workerData } from 'node:worker_threads'
import { TenonError } from '../../base/errors.ts'
import { Bell, MachineChannel } from '../machine/channel.ts'
import { Doorbell } from '../machine/doorbell.ts'
import { StreamChannel } from './stream-channel.ts'
import { StreamServer } from './stream-server.ts'
import type { VsockThreadMessage, VsockThreadOrder } from './vsock-protocol.ts'

const { path, streams, doorbell, machine } = workerData as VsockThreadOrder
const main = parentPort!
const say = (message: VsockThreadMessage): void => main.postMessage(message, [])
const bell = new MachineChannel(machine)
const server = new StreamServer({
  path, channel: new StreamChannel(streams), doorbell: new Doorbell(doorbell), ring: () => bell.ring(Bell.SOCKET),
})

try {
  await server.listen()
  main.once('message', () => void server.close().then(() => say({ kind: 'closed' })))
  say({ kind: 'listening' })
  void server.run()
} catch (error) {
  const { code, message } = error instanceof TenonError ? error : { code: 'VSOCK_UNFIT', message: String(error) }
  say({ kind: 'refused', code, message })
}
