import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { isOrderly } from '../../host/guests/guest-end.ts'
import type { GuestEnd } from '../../host/guests/guest-end.ts'
import { GuestStore } from '../../host/guests/guest-store.ts'
import { isDomainName } from '../../host/guests/home.ts'
import { SuspensionFiles } from '../../host/guests/suspension.ts'
import type { RunningState } from '../../host/guests/running-guest.ts'
import type { GuestView } from './schema.ts'
import { findHost } from './start-process.ts'
import type { HostOptions } from './start-process.ts'

/** A named guest, whether it runs or not. */
export interface ListedGuest {
  readonly name: string
  /** `stopped`: as somebody wanted. `failed`: it ended otherwise. `suspended`: it goes on where it was when it is started. */
  readonly state: RunningState | 'stopped' | 'suspended' | 'failed'
  /** Absent where its definition cannot be read; a kernel's path for a guest without an image. */
  readonly image?: string
  readonly memoryBytes?: number
  readonly domain?: string
  /** Milliseconds since 1970: of its start, or of its end. */
  readonly since?: number
  /** Of a guest that does not run, and has run. */
  readonly end?: GuestEnd
  /** What is wrong with it. */
  readonly problem?: string
}

/** All named guests of a user, in the order of their names. Throws TenonErrors, but none because of a single guest. */
export async function listGuests(options: HostOptions): Promise<readonly ListedGuest[]> {
  const store = new GuestStore(options.home)
  const [names, running] = await Promise.all([store.names(), runningGuests(options)])
  return Promise.all(names.map(async name => ({ name, ...await defined(store, name), ...await stateOf(store, name, running.get(name)) })))
}

/** What runs, in any process. */
async function runningGuests(options: HostOptions): Promise<Map<string, GuestView>> {
  const domains = await readdir(join(options.home, 'run')).catch(() => [])
  const lists = await Promise.all(domains.filter(isDomainName).map(async domain => await (await findHost(domain, options))?.guests() ?? []))
  return new Map(lists.flat().map(view => [view.name, view]))
}

async function defined(store: GuestStore, name: string): Promise<Partial<ListedGuest>> {
  try {
    const { image, kernel, memory, domain } = await store.definition(name)
    return { image: image ?? kernel, memoryBytes: memory, domain }
  } catch (error) {
    return { problem: (error as Error).message }
  }
}

type Seen = Pick<ListedGuest, 'state' | 'since' | 'end' | 'problem'>

async function stateOf(store: GuestStore, name: string, view: GuestView | undefined): Promise<Seen> {
  if (view !== undefined) return { state: view.state, since: view.since }
  const state = await store.state(name)
  if (state.state === 'running') return { state: 'failed', problem: `its background process (process ${state.process}) ended before it` }
  const { end, since } = state
  if (await new SuspensionFiles(store.folder(name)).exist()) return { state: 'suspended', since, end }
  return end === undefined ? { state: 'stopped' } : { state: isOrderly(end) ? 'stopped' : 'failed', since, end }
}
