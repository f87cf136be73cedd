import type { HostClient } from '../api/native/client.ts'
import { findHost } from '../api/native/start-process.ts'
import type { HostOptions } from '../api/native/start-process.ts'
import { GuestStore } from '../host/guests/guest-store.ts'
import { DEFAULT_DOMAIN, homeFolder } from '../host/guests/home.ts'
import type { Surroundings } from './surroundings.ts'

/** What commands about named guests share. */

export function guestStore({ environment }: Surroundings): GuestStore { return new GuestStore(homeFolder(environment)) }

export function hostOptions({ environment, version, quit, stderr }: Surroundings): HostOptions {
  const notice = (message: string): void => void stderr.write(`tenon: ${message}\n`)
  return { home: homeFolder(environment), version, signal: quit.signal, notice }
}

/** The trust domain in whose process a guest runs, or would. Throws TenonError GUEST_UNKNOWN or GUEST_NAME_INVALID. */
export async function domainOf(store: GuestStore, name: string): Promise<string> {
  await store.check(name)
  const state = await store.state(name)
  if (state.state === 'running') return state.domain
  // A definition that cannot be read is no reason not to stop or to remove its guest.
  return store.definition(name).then(({ domain }) => domain, () => DEFAULT_DOMAIN)
}

/** The background process of a guest, if it runs. Throws TenonErrors. */
export async function hostOf(name: string, surroundings: Surroundings): Promise<HostClient | undefined> {
  return findHost(await domainOf(guestStore(surroundings), name), hostOptions(surroundings))
}

/** As `work`, unless the user wants no more meanwhile: then it rejects with the wish. */
export function untilQuit<T>({ quit: { signal } }: Surroundings, work: Promise<T>): Promise<T> {
  const wish = new Promise<never>((_, reject) => {
    const give = (): void => reject(signal.reason as Error)
    if (signal.aborted) give()
    else signal.addEventListener('abort', give)
  })
  return Promise.race([work, wish])
}
