/**
 * A snapshot of the disks of a guest that runs, as they are at one moment:
 *
 *     agent: file systems frozen ─▶ machine stands still, disks flushed ─▶ snapshots ─▶ machine goes on ─▶ agent: thawed
 *
 * With its file systems frozen, the disks are as after an orderly unmount. Without an agent that freezes them, they are as after a power
 * failure at that moment, which file systems with a journal survive. Whatever happens, the machine goes on, and its file systems are
 * thawed.
 */
import type { AgentCaller } from '../agent/commands.ts'
import { freeze } from '../agent/guest-life.ts'
import type { SnapshotReport } from '../disks/disk-snapshots.ts'
import { hostError } from '../errors.ts'
import type { MachineSession } from '../machine/session.ts'

export interface TakenSnapshot extends SnapshotReport {
  /** File systems that were frozen: with none, the disks are as after a power failure. */
  readonly frozen: number
  /** Why none was. */
  readonly reason?: string
}

export interface SnapshotGuest {
  readonly agent: AgentCaller
  readonly machine: Pick<MachineSession, 'snapshots' | 'diskSnapshots'>
}

/** An agent that does not answer this is not asked to freeze, which takes long where there is much to write. */
const PING_MS = 10_000
const MILLISECONDS_PER_SECOND = 1000

/**
 * @throws TenonError MACHINE_DISKS_BUSY, MACHINE_ENDED, GUEST_STILL_FROZEN, and as `snapshotDisks` (disks/disk-snapshots.ts). No snapshot
 * is left then, but for GUEST_STILL_FROZEN, whose message says so.
 */
export async function takeSnapshot({ agent, machine }: SnapshotGuest, name: string): Promise<TakenSnapshot> {
  let taken: TakenSnapshot | undefined
  try {
    await agent.call('guest-ping', {}, { timeoutMs: PING_MS })
    await freeze(agent, async frozen => {
      const reason = frozen === 0 ? { reason: 'its agent found no file system to freeze' } : {}
      taken = { ...await standingStill(machine, name), frozen, ...reason }
    })
    return taken!
  } catch (error) {
    return afterFailure(error as Error, taken, () => standingStill(machine, name))
  }
}

/** What the agent could not do is no reason not to take a snapshot, unless something of the guest may still be frozen. */
async function afterFailure(
  error: Error & { readonly code?: string }, taken: TakenSnapshot | undefined, take: () => Promise<SnapshotReport>,
): Promise<TakenSnapshot> {
  if (error.code === 'GUEST_STILL_FROZEN' && taken !== undefined) {
    throw hostError('GUEST_STILL_FROZEN', `the snapshot was taken, but ${error.message}`, error)
  }
  // Taken, and the agent went away as it was to thaw: the guest has ended, or reboots.
  if (taken !== undefined) return taken
  if (error.code?.startsWith('AGENT_') !== true) throw error
  return { ...await take(), frozen: 0, reason: error.message }
}

/** All disks at one moment: none is written while another has its snapshot taken. */
async function standingStill(machine: SnapshotGuest['machine'], name: string): Promise<SnapshotReport> {
  const { snapshots } = machine
  if (snapshots === undefined || machine.diskSnapshots === undefined) throw hostError('GUEST_NOT_RUNNING', 'the guest has no disks')
  await snapshots.pause()
  try {
    return await machine.diskSnapshots({ action: 'create', name, seconds: Math.floor(Date.now() / MILLISECONDS_PER_SECOND) })
  } finally {
    // A machine that has ended meanwhile does not go on.
    await snapshots.resume().catch(() => {})
  }
}
