/** The thread of a machine's shares: opens the folders and serves the machine's requests. It has no event loop, and sleeps on its channel. */
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import type { MessagePort } from 'node:worker_threads'
import { TenonError } from '../../base/errors.ts'
import { Bell, MachineChannel } from '../machine/channel.ts'
import { openShares } from './open-shares.ts'
import type { OpenShare } from './open-shares.ts'
import { ShareChannel } from './share-channel.ts'
import type { ShareCall, ShareThreadMessage, ShareThreadOrder } from './share-protocol.ts'
import { ShareServer } from './share-server.ts'

const order = workerData as ShareThreadOrder
const say = (message: ShareThreadMessage): void => parentPort!.postMessage(message, [])

// Errors are answers here, and nobody sees where they came from.
Error.stackTraceLimit = 0
let shares: OpenShare[] | undefined
try {
  shares = openShares(order.shares)
} catch (error) {
  const { code, message } = error instanceof TenonError ? error : { code: 'SHARE_UNFIT', message: String(error) }
  say({ kind: 'refused', code, message })
}
if (shares !== undefined) serve(shares)

function serve(opened: readonly OpenShare[]): void {
  say({ kind: 'opened', infos: opened.map(({ info }) => info) })
  const channel = new ShareChannel(order.sharesMemory)
  const machine = new MachineChannel(order.machineMemory)
  const sessions = opened.map(({ session }) => session)
  let server: ShareServer | undefined
  do {
    // Nothing is submitted before the machine's thread has said where its memory is.
    if (server === undefined) channel.sleep(0)
    const pool = server ? undefined : receive<SharedArrayBuffer>(order.pool)
    if (pool !== undefined) server = new ShareServer({ channel, pool, sessions, ring: () => machine.ring(Bell.SHARE) })
    if (server === undefined) channel.answered()
    else server.run()
  } while (!answerCalls(opened))
  for (const { folder } of opened) folder.close()
  order.pool.close()
  order.calls.close()
  say({ kind: 'closed' })
}

/** Whether the last call was to close. */
function answerCalls(opened: readonly OpenShare[]): boolean {
  for (let call = receive<ShareCall>(order.calls); call !== undefined; call = receive<ShareCall>(order.calls)) {
    if (call === 'close') return true
    say({ kind: 'saved', states: opened.map(share => share.save()) })
  }
  return false
}

function receive<Message>(port: MessagePort): Message | undefined {
  return (receiveMessageOnPort(port) as { message: Message } | undefined)?.message
}
