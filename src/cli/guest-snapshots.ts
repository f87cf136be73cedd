/** `tenon disk snapshot` where the disk is `guest:NAME`: all disks of a named guest, at one moment, whether it runs or not. */
import type { HostClient } from '../api/native/client.ts'
import type { SnapshotReport } from '../host/disks/disk-snapshots.ts'
import { hostError } from '../host/errors.ts'
import { checkGuestName } from '../host/guests/home.ts'
import { snapshotStoppedGuest } from '../host/guests/stopped-snapshots.ts'
import { guestSnapshotLines, printable } from './disk-report.ts'
import type { SnapshotRequest } from './disk-tasks.ts'
import { ExitStatus } from './errors.ts'
import { guestStore, hostOf, untilQuit } from './named-guests.ts'
import type { Surroundings } from './surroundings.ts'

/** Anything but a list. */
type ChangeRequest = SnapshotRequest & { readonly action: 'create' | 'apply' | 'delete' }

const PREFIX = 'guest:'
const MILLISECONDS_PER_SECOND = 1000
const DONE = { create: 'as it is now is its snapshot', apply: 'has the disks of its snapshot', delete: 'has no snapshot' } as const

/** The guest that is meant by `guest:NAME`; undefined for a file. Throws TenonError GUEST_NAME_INVALID. */
export function guestOf(disk: string): string | undefined {
  if (!disk.startsWith(PREFIX)) return undefined
  const name = disk.slice(PREFIX.length)
  checkGuestName(name)
  return name
}

export async function guestSnapshot(guest: string, request: SnapshotRequest, surroundings: Surroundings): Promise<number> {
  const host = await runningHost(guest, surroundings)
  const { action } = request
  if (action === 'list') return list(guest, host, request, surroundings)
  const changed = host === undefined ? change(guest, { ...request, action }, surroundings) : changeRunning(guest, host, request, surroundings)
  sayLeftOut(await changed, surroundings)
  return ExitStatus.OK
}

/** The process in which the guest runs; undefined if it does not run. Throws TenonError GUEST_UNKNOWN. */
async function runningHost(guest: string, surroundings: Surroundings): Promise<HostClient | undefined> {
  const host = await hostOf(guest, surroundings)
  const guests = await host?.guests() ?? []
  return guests.some(({ name }) => name === guest) ? host : undefined
}

async function list(
  guest: string, host: HostClient | undefined, { json }: SnapshotRequest, surroundings: Surroundings,
): Promise<number> {
  const { snapshots } = await (host?.snapshots(guest) ?? snapshotStoppedGuest(guestStore(surroundings), guest, { action: 'list' }))
  const lines = guestSnapshotLines(snapshots).map(line => `${line}\n`).join('')
  surroundings.stdout.write(json ? `${JSON.stringify(snapshots, null, 2)}\n` : lines)
  return ExitStatus.OK
}

async function changeRunning(
  guest: string, host: HostClient, { action, name }: SnapshotRequest, surroundings: Surroundings,
): Promise<SnapshotReport> {
  const { stderr } = surroundings
  if (action === 'apply') {
    const why = 'runs, and what it has in memory would not fit its disks'
    throw hostError('GUEST_RUNNING', `the guest ${guest} ${why}: stop it first, with tenon stop ${guest}`)
  }
  if (action === 'delete') {
    const report = await untilQuit(surroundings, host.deleteSnapshot(guest, name))
    stderr.write(`tenon: ${guest} has no snapshot ${printable(name)} any more\n`)
    return report
  }
  // Whoever wants no more meanwhile gets no answer; the guest is thawed all the same.
  const taken = await untilQuit(surroundings, host.takeSnapshot(guest, name))
  const how = taken.frozen > 0
    ? `as after an orderly end: its agent had ${taken.frozen} file systems frozen`
    : `as after a power failure (crash-consistent): ${printable(taken.reason ?? '')}`
  stderr.write(`tenon: ${guest} as it is now is its snapshot ${printable(name)}, ${how}\n`)
  return taken
}

/** Of a guest that does not run. */
async function change(guest: string, { action, name, force }: ChangeRequest, surroundings: Surroundings): Promise<SnapshotReport> {
  const store = guestStore(surroundings)
  const seconds = Math.floor(Date.now() / MILLISECONDS_PER_SECOND)
  const report = await snapshotStoppedGuest(store, guest, action === 'create' ? { action, name, seconds } : { action, name }, force)
  surroundings.stderr.write(`tenon: ${guest} ${DONE[action]} ${printable(name)}${action === 'delete' ? ' any more' : ''}\n`)
  return report
}

function sayLeftOut({ leftOut }: SnapshotReport, { stderr }: Surroundings): void {
  if (leftOut.length > 0) stderr.write(`tenon: without ${leftOut.map(printable).join(', ')}: only a qcow2 has snapshots\n`)
}
