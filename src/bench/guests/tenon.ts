/** Runs one guest in Tenon, `node tenon.js '{"plan": …}'`, until it ends or is killed. */
import { readFileSync } from 'node:fs'
import type { DiskGraph, DiskOrder } from '../../host/disks/disk-order.ts'
import type { EngineName } from '../../host/machine/engines.ts'
import { startMachine } from '../../host/machine/start.ts'
import type { MachineNetwork } from '../../host/network/attached-cards.ts'
import { openGuestNetwork } from '../../host/network/guest-network.ts'
import { NetworkThread } from '../../host/network/network-thread.ts'
import type { MachinePlan, PlannedCard, PlannedDisk } from '../machine-plan.ts'
import { GuestConsole } from './guest-console.ts'

export interface TenonGuest {
  readonly plan: MachinePlan
  readonly engine: EngineName
}

function orderOf({ path, format, access }: PlannedDisk): DiskOrder {
  const graph: DiskGraph = { kind: 'file', path, format, readOnly: access !== 'write' }
  return { graph: access === 'overlay' ? { kind: 'overlay', base: graph } : graph }
}

function openNetwork({ publish }: PlannedCard): Promise<MachineNetwork> {
  const ports = publish.map(({ host, guest }) => ({ protocol: 'tcp' as const, address: '127.0.0.1', port: host, guestPort: guest }))
  return openGuestNetwork({ cards: [{ network: 'nat' }], publish: ports }, new NetworkThread(error => console.error(error.message)))
}

const { plan: { kernel, initrd, commandLine, memoryBytes, disks = [], card }, engine } = JSON.parse(process.argv[2]) as TenonGuest
const guestConsole = new GuestConsole(() => machine.instructions ?? 0)
const receive = (bytes: Uint8Array): boolean => {
  guestConsole.write(Buffer.from(bytes).toString('latin1'))
  return true
}
const machine = await startMachine({
  kernel: readFileSync(kernel), initrd: initrd === undefined ? undefined : readFileSync(initrd), commandLine, memoryBytes, engine,
  serial: [{ receive }], disks: disks.map(orderOf), network: card && await openNetwork(card),
})
const { reason, detail } = await machine.exited
if (reason !== 'power-off' && reason !== 'reset') console.error(`the guest ended: ${reason} (${detail})`)
process.exit(reason === 'power-off' || reason === 'reset' ? 0 : 1)
