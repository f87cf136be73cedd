/**
 * The native API of a background process, version 1: HTTP over a Unix socket that only its user can open. Bodies are JSON; the console is
 * a WebSocket.
 *
 *     GET    /v1/host                           HostView
 *     GET    /v1/guests                         { guests: GuestView[] }: those that run in this process
 *     GET    /v1/guests/NAME                    GuestView
 *     POST   /v1/guests/NAME/start StartRequest GuestView, when its machine runs
 *     POST   /v1/guests/NAME/suspend            {}, when it has ended; its next start goes on from there
 *     POST   /v1/guests/NAME/stop  StopRequest  StopView, when it has ended
 *     DELETE /v1/guests/NAME                    {}: its files are gone
 *     POST   /v1/guests/NAME/agent AgentRequest { return }: the answer of the agent in the guest (host/agent/commands.ts)
 *     GET    /v1/guests/NAME/snapshots          SnapshotReport: of its disks (host/disks/disk-snapshots.ts)
 *     POST   /v1/guests/NAME/snapshots NewSnapshotRequest  TakenSnapshot: of all its disks at one moment (host/guests/guest-snapshots.ts)
 *     DELETE /v1/guests/NAME/snapshots/SNAPSHOT SnapshotReport: those that are gone
 *     GET    /v1/networks                       { networks: NetworkReport[] }: those that guests of this process were plugged into
 *     GET    /v1/guests/NAME/console            upgrades; ?backlog=start or line. Binary messages are the console's bytes both ways, texts
 *                                               are ConsoleEvents
 *
 * A refusal has a status of 400 or more and an ErrorBody.
 */
import { z } from 'zod'
import { AGENT_COMMANDS } from '../../host/agent/commands.ts'
import type { AgentCommandName } from '../../host/agent/commands.ts'
import type { GuestEnd } from '../../host/guests/guest-end.ts'
import type { RunningState } from '../../host/guests/running-guest.ts'
import type { MachineStatistics } from '../../host/machine/statistics.ts'

const LONGEST_STOP_MS = 24 * 60 * 60_000

export const startRequestSchema = z.strictObject({
  /** Not from where it was suspended. */
  afresh: z.boolean().default(false),
})
export type StartRequest = z.input<typeof startRequestSchema>

export const stopRequestSchema = z.strictObject({
  /** Not by the power button, but at once. */
  force: z.boolean().default(false),
  /** How long the guest may take to power off, in milliseconds. */
  timeoutMs: z.number().int().min(0).max(LONGEST_STOP_MS).default(60_000),
})
export type StopRequest = z.input<typeof stopRequestSchema>

/** Of 65535 bytes that a qcow2 has room for. */
const LONGEST_SNAPSHOT_NAME = 1024

const LONGEST_AGENT_MS = 60 * 60_000
const agentTime = z.number().min(0).max(LONGEST_AGENT_MS)

export const agentRequestSchema = z.strictObject({
  execute: z.enum(Object.keys(AGENT_COMMANDS) as AgentCommandName[]),
  /** Checked by the command's own schema. */
  arguments: z.looseObject({}).default({}),
  /** How long it may take to answer, in milliseconds, and how long to wait for an agent before. */
  timeoutMs: agentTime.optional(),
  waitMs: agentTime.default(0),
})
export type AgentRequest = z.input<typeof agentRequestSchema>

export const snapshotRequestSchema = z.strictObject({ name: z.string().min(1).max(LONGEST_SNAPSHOT_NAME) })
export type NewSnapshotRequest = z.input<typeof snapshotRequestSchema>

export interface HostView {
  readonly api: number
  /** Tenon's version. */
  readonly version: string
  readonly process: number
  readonly domain: string
}

export interface GuestView {
  readonly name: string
  readonly state: RunningState
  /** Milliseconds since 1970, of its start. */
  readonly since: number
  /** Starts of its machine, reboots included. */
  readonly boots: number
  /** It went on from where it was suspended. */
  readonly wasResumed: boolean
  readonly statistics?: MachineStatistics
}

export interface StopView {
  readonly end: GuestEnd
  readonly wasKilled: boolean
}

export interface ErrorBody {
  readonly error: { readonly code: string, readonly message: string }
}

/** What happens beside the console's bytes. After `ended` and `refused` the socket is closed. */
export type ConsoleEvent =
  | { readonly kind: 'ended', readonly end: GuestEnd }
  /** So many bytes of output were left out: the client did not take them in time. */
  | { readonly kind: 'skipped', readonly bytes: number }
  | { readonly kind: 'refused', readonly code: string, readonly message: string }
