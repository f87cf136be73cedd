/** The thread of a machine's disks: opens them, serves the machine's requests, and closes them in order. */
import { parentPort, workerData } from 'node:worker_threads'
import { TenonError } from '../../base/errors.ts'
import { Bell, MachineChannel } from '../machine/channel.ts'
import { DiskChannel } from './disk-channel.ts'
import type { DiskThreadMessage, DiskThreadOrder } from './disk-protocol.ts'
import { DiskServer } from './disk-server.ts'
import { openDisks } from './open-disk.ts'
import type { OpenDisk } from './open-disk.ts'

const order = workerData as DiskThreadOrder
const main = parentPort!
const say = (message: DiskThreadMessage): void => main.postMessage(message, [])

let disks: OpenDisk[] | undefined
try {
  disks = await openDisks(order.disks, message => say({ kind: 'notice', message }))
} catch (error) {
  const { code, message } = error instanceof TenonError ? error : { code: 'DISK_THREAD_FAILED', message: String(error) }
  say({ kind: 'refused', code, message })
}
if (disks !== undefined) serve(disks)

function serve(opened: readonly OpenDisk[]): void {
  let server: DiskServer | undefined
  let served = Promise.resolve()
  // The machine's thread says where its memory is once it has any; nothing is submitted before.
  order.port.once('message', (pool: SharedArrayBuffer) => {
    const machine = new MachineChannel(order.machineMemory)
    const channel = new DiskChannel(order.disksMemory)
    server = new DiskServer({ channel, pool, disks: opened.map(({ node }) => node), ring: () => machine.ring(Bell.DISK) })
    served = server.run()
  })
  main.once('message', () => {
    server?.stop()
    void served.then(() => close(opened)).then(problems => say({ kind: 'closed', problems })).finally(() => order.port.close())
  })
  say({ kind: 'opened', infos: opened.map(({ info }) => info) })
}

async function close(opened: readonly OpenDisk[]): Promise<string[]> {
  const problems: string[] = []
  for (const { node } of opened) await node.close().catch(error => problems.push(error instanceof Error ? error.message : String(error)))
  return problems
}
