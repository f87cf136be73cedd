import type { RemoteAgent } from '../api/native/client.ts'
import { hostError } from '../host/errors.ts'
import { hostOf, untilQuit } from './named-guests.ts'
import type { Surroundings } from './surroundings.ts'

/** A guest that has just been started boots first, for minutes where it is large. */
export const DEFAULT_WAIT_MS = 120_000
/** Waiting for longer than this is explained. */
const SILENT_MS = 3_000

/** The agent of a running guest, when it answers. Throws TenonError GUEST_NOT_RUNNING, GUEST_UNKNOWN, AGENT_UNAVAILABLE. */
export async function agentOf(name: string, waitMs: number, surroundings: Surroundings): Promise<RemoteAgent> {
  const host = await hostOf(name, surroundings)
  if (host === undefined) throw hostError('GUEST_NOT_RUNNING', `the guest ${name} does not run: start it with tenon start ${name}`)
  const agent = host.agent(name)
  const timer = setTimeout(() => void surroundings.stderr.write(`tenon: waiting for the guest agent of ${name}\n`), SILENT_MS)
  await untilQuit(surroundings, agent.call('guest-ping', {}, { waitMs })).finally(() => clearTimeout(timer))
  return agent
}
