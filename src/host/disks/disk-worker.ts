/** The thread of a machine's disks: opens them, serves the requests of a machine, or of several in turn, and closes them in order. */
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import { TenonError } from '../../base/errors.ts'
import { Bell, MachineChannel } from '../machine/channel.ts'
import { DiskChannel } from './disk-channel.ts'
import type { AttachCommand, DiskThreadCommand, DiskThreadMessage, DiskThreadOrder } from './disk-protocol.ts'
import { DiskServer } from './disk-server.ts'
import { diskName, snapshotDisks } from './disk-snapshots.ts'
import type { SnapshotRequest } from './disk-snapshots.ts'
import { openDisks } from './open-disk.ts'
import type { OpenDisk } from './open-disk.ts'

const order = workerData as DiskThreadOrder
const main = parentPort!
const say = (message: DiskThreadMessage): void => main.postMessage(message, [])

let disks: OpenDisk[] | undefined
try {
  disks = await openDisks(order.disks, { guest: order.guest, notice: message => say({ kind: 'notice', message }) })
} catch (error) {
  say({ kind: 'refused', ...problemOf(error) })
}
if (disks !== undefined) serve(disks)

function serve(opened: readonly OpenDisk[]): void {
  let attached: AttachedMachine | undefined
  const detach = async (): Promise<void> => {
    await attached?.end()
    attached = undefined
  }
  /** To its end; never rejects. */
  let keeping = Promise.resolve()
  const obey = async (command: DiskThreadCommand): Promise<void> => {
    switch (command.kind) {
      case 'attach':
        attached = new AttachedMachine(command, opened)
        return
      case 'detach':
        await detach()
        return say({ kind: 'detached' })
      case 'snapshots':
        keeping = keeping.then(() => keep(opened, command.number, command.request))
        return keeping
      case 'close':
        main.off('message', hear)
        await Promise.all([keeping, detach()])
        return say({ kind: 'closed', problems: await close(opened) })
    }
  }
  const hear = (command: DiskThreadCommand): void => void obey(command)
  main.on('message', hear)
  say({ kind: 'opened', infos: opened.map(({ info }) => info) })
}

/** The guest's requests wait meanwhile where they must: see Qcow2Node. */
async function keep(opened: readonly OpenDisk[], number: number, request: SnapshotRequest): Promise<void> {
  const named = opened.map(({ node }, index) => ({ name: diskName(order.disks[index].graph, index), node }))
  try {
    say({ kind: 'snapshots', number, report: await snapshotDisks(named.filter(({ node }) => !node.readOnly), request) })
  } catch (error) {
    say({ kind: 'problem', number, ...problemOf(error) })
  }
}

function problemOf(error: unknown): { readonly code: string, readonly message: string } {
  return error instanceof TenonError ? { code: error.code, message: error.message } : { code: 'DISK_THREAD_FAILED', message: String(error) }
}

/** The machine whose requests are served. */
class AttachedMachine {
  readonly #order: AttachCommand
  readonly #disks: readonly OpenDisk[]
  #server: DiskServer | undefined
  #served = Promise.resolve()

  constructor(order: AttachCommand, disks: readonly OpenDisk[]) {
    this.#order = order
    this.#disks = disks
    // The machine's thread says where its memory is once it has any; nothing is submitted before.
    order.port.once('message', (pool: SharedArrayBuffer) => this.#serve(pool))
  }

  /** Carries out what was submitted. */
  async end(): Promise<void> {
    const { port } = this.#order
    // A machine that ended at once: its message may be on its way.
    const late = this.#server === undefined ? receiveMessageOnPort(port) : undefined
    if (late !== undefined) this.#serve(late.message as SharedArrayBuffer)
    port.close()
    this.#server?.stop()
    await this.#served
  }

  #serve(pool: SharedArrayBuffer): void {
    const machine = new MachineChannel(this.#order.machineMemory)
    const channel = new DiskChannel(this.#order.disksMemory)
    this.#server = new DiskServer({ channel, pool, disks: this.#disks.map(({ node }) => node), ring: () => machine.ring(Bell.DISK) })
    this.#served = this.#server.run()
  }
}

async function close(opened: readonly OpenDisk[]): Promise<string[]> {
  const problems: string[] = []
  for (const { node } of opened) await node.close().catch(error => problems.push(error instanceof Error ? error.message : String(error)))
  return problems
}
