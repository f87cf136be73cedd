import { hostError } from '../errors.ts'
import type { AgentCaller } from './commands.ts'

/** A file system with much to write takes its time. */
const FREEZE_MS = 60_000
const THAW_MS = 20_000
const THAW_TRIES = 3
const NANOSECONDS_PER_MILLISECOND = 1e6

/**
 * Freezes the guest's file systems while `work` is done: what is on its disks then is as after an orderly unmount. They are thawed
 * whatever happens. `work` is told how many file systems are frozen, and must not wait for the guest.
 * @throws TenonError as `AgentCaller.call`, then `work` was not begun; GUEST_STILL_FROZEN; what `work` throws.
 */
export async function freeze<Result>(caller: AgentCaller, work: (frozen: number) => Promise<Result>): Promise<Result> {
  let outcome: { readonly result: Result } | { readonly error: unknown }
  try {
    outcome = { result: await work(await caller.call('guest-fsfreeze-freeze', {}, { timeoutMs: FREEZE_MS })) }
  } catch (error) {
    outcome = { error }
  }
  // An agent that did not answer may have frozen them all the same.
  await thaw(caller, 'error' in outcome ? outcome.error : undefined)
  if ('error' in outcome) throw outcome.error
  return outcome.result
}

async function thaw(caller: AgentCaller, earlier: unknown): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      await caller.call('guest-fsfreeze-thaw', {}, { timeoutMs: THAW_MS })
      return
    } catch (error) {
      if (isGone(error) && (earlier === undefined || isGone(earlier))) throw earlier ?? error
      if (tries < THAW_TRIES) continue
      throw hostError('GUEST_STILL_FROZEN', 'the file systems of the guest were frozen and may be so still, its agent does not thaw them: '
        + `${(error as Error).message}; run fsfreeze --unfreeze on them in the guest, or restart it`, earlier ?? error)
    }
  }
}

/** The agent, or the whole guest, is gone: nobody is left to be thawed, or to thaw. */
function isGone(error: unknown): boolean { return (error as { code?: string }).code === 'AGENT_UNAVAILABLE' }

/** Sets the guest's clock, as after it was asleep. `now` is in milliseconds since 1970. @throws TenonError as `AgentCaller.call`. */
export async function setTime(caller: AgentCaller, now: number = Date.now()): Promise<void> {
  await caller.call('guest-set-time', { time: now * NANOSECONDS_PER_MILLISECOND })
}

/** Has the guest power off, by its init. Resolves when it has been told. @throws TenonError as `AgentCaller.call`. */
export async function shutDown(caller: AgentCaller): Promise<void> { await caller.call('guest-shutdown', { mode: 'powerdown' }) }
