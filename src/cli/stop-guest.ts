import type { HostClient } from '../api/native/client.ts'
import type { StopRequest } from '../api/native/schema.ts'
import { describeEnd } from '../host/guests/guest-end.ts'
import { ExitStatus } from './errors.ts'
import { untilQuit } from './named-guests.ts'
import type { Surroundings } from './surroundings.ts'

export const DEFAULT_STOP_MS = 60_000

/** Stops a running guest and says how that went. Gives the exit status. */
export async function stopGuest(client: HostClient, name: string, request: StopRequest, surroundings: Surroundings): Promise<number> {
  const { stderr } = surroundings
  const { timeoutMs = DEFAULT_STOP_MS, force = false } = request
  if (!force) stderr.write(`tenon: ${name} is powering off\n`)
  const { end, wasKilled } = await untilQuit(surroundings, client.stop(name, { force, timeoutMs }))
  const isLate = wasKilled && !force
  if (isLate) {
    const loss = 'what it had not written to its disk is lost'
    stderr.write(`tenon: ${name} did not power off within ${timeoutMs / 1000} s, and was killed: ${loss}\n`)
  } else stderr.write(`tenon: ${name} has ended: ${describeEnd(end)}\n`)
  return ExitStatus.OK
}
