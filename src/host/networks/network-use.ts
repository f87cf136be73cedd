import { networkError } from '../../network/errors.ts'
import type { GuestStore } from '../guests/guest-store.ts'

/** Names of networks to those of the guests that name them. A guest whose definition cannot be read names none. */
export async function networksUse(store: GuestStore): Promise<ReadonlyMap<string, readonly string[]>> {
  const users = new Map<string, string[]>()
  for (const guest of await store.names()) {
    const networks = await store.definition(guest).then(definition => definition.networks, () => [])
    for (const name of new Set(networks.map(card => card.name))) users.set(name, [...users.get(name) ?? [], guest])
  }
  return users
}

/** Throws TenonError NETWORK_IN_USE if a guest names the network. */
export async function checkUnused(store: GuestStore, network: string): Promise<void> {
  const guests = (await networksUse(store)).get(network) ?? []
  if (guests.length === 0) return
  throw networkError('NETWORK_IN_USE',
    `the network '${network}' is that of ${guests.join(', ')}: remove these guests, or edit their guest.yaml`)
}
