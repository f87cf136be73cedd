/** Runs one guest in Tenon, and its peer if it has one, `node tenon.js '{"plan": …}'`, until it ends or is killed. */
import { readFileSync } from 'node:fs'
import type { DiskGraph, DiskOrder } from '../../host/disks/disk-order.ts'
import type { EngineName } from '../../host/machine/engines.ts'
import type { MachineOptions } from '../../host/machine/session.ts'
import { startMachine } from '../../host/machine/start.ts'
import type { MachinePlan, PlannedDisk } from '../machine-plan.ts'
import { GuestConsole } from './guest-console.ts'
import { openNetworks } from './tenon-network.ts'

export interface TenonGuest {
  readonly plan: MachinePlan
  readonly engine: EngineName
}

type SerialReceiver = (bytes: Uint8Array) => boolean

const { plan, engine } = JSON.parse(process.argv[2]) as TenonGuest

function orderOf({ path, format, access }: PlannedDisk): DiskOrder {
  const graph: DiskGraph = { kind: 'file', path, format, readOnly: access !== 'write' }
  return { graph: access === 'overlay' ? { kind: 'overlay', base: graph } : graph }
}

function machineOf(machine: Omit<MachinePlan, 'peer'>, receive: SerialReceiver): MachineOptions {
  const { kernel, initrd, commandLine, memoryBytes, disks = [] } = machine
  return {
    kernel: readFileSync(kernel), initrd: initrd === undefined ? undefined : readFileSync(initrd), commandLine, memoryBytes, engine,
    disks: disks.map(orderOf), serial: [{ receive }],
  }
}

const guestConsole = new GuestConsole(() => machine.instructions ?? 0)
const show: SerialReceiver = bytes => {
  guestConsole.write(Buffer.from(bytes).toString('latin1'))
  return true
}
const networks = await openNetworks(plan)
if (plan.peer !== undefined) await startMachine({ ...machineOf(plan.peer, () => true), network: networks.peer })
const machine = await startMachine({ ...machineOf(plan, show), network: networks.guest })
const { reason, detail } = await machine.exited
if (reason !== 'power-off' && reason !== 'reset') console.error(`the guest ended: ${reason} (${detail})`)
process.exit(reason === 'power-off' || reason === 'reset' ? 0 : 1)
