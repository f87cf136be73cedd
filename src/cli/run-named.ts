import { resolve } from 'node:path'
import { createGuest } from '../host/guests/create-guest.ts'
import type { GuestDefinition } from '../host/guests/guest-definition.ts'
import { DEFAULT_DOMAIN } from '../host/guests/home.ts'
import { hostError } from '../host/errors.ts'
import { DEBIAN_IMAGE_NAMES, isDiskImageName } from '../host/images/debian/names.ts'
import { formatShare } from '../host/shares/share-text.ts'
import { startGuest } from './commands/start.ts'
import { guestStore } from './named-guests.ts'
import { prepareDiskImage } from './prepare-image.ts'
import type { RunRequest } from './run-request.ts'
import type { Surroundings } from './surroundings.ts'

/** Makes a named guest, starts it, and attaches to it unless it was not to. Gives the exit status. */
export async function runNamed(request: RunRequest, name: string, surroundings: Surroundings): Promise<number> {
  const store = guestStore(surroundings)
  // Before an image is built for it.
  await store.checkFree(name)
  const { image, mirror, cpu, engine, verbose, kernel, detach } = request
  if (kernel === undefined && !isDiskImageName(image)) throw noDisk(name, image)
  const disk = kernel === undefined ? await prepareDiskImage(image, { mirror, cpu, engine, verbose }, surroundings) : undefined
  await createGuest(store, name, definitionOf(request), disk)
  return startGuest({ name, attach: !detach }, surroundings)
}

function noDisk(name: string, image: string): Error {
  return hostError('GUEST_IMAGE_UNFIT', `the image ${image} has no disk, so that a guest of it keeps nothing and needs no name: `
    + `leave out --name, or choose an image with a disk, as in tenon run --name ${name} ${DEBIAN_IMAGE_NAMES[0]}`)
}

function definitionOf({ image, kernel, initrd, memoryBytes, cpu, engine, disks, shares, append = '' }: RunRequest): GuestDefinition {
  const boot = kernel === undefined
    ? { image: DEBIAN_IMAGE_NAMES.includes(image) ? image : resolve(image) }
    : { kernel: resolve(kernel), ...initrd === undefined ? {} : { initrd: resolve(initrd) } }
  const graphs = disks.map(({ graph }) => (typeof graph === 'object' && typeof graph.path === 'string' ? { ...graph, path: resolve(graph.path) } : graph))
  return { ...boot, memory: memoryBytes, cpu, engine, disks: graphs, shares: shares.map(formatShare), append, domain: DEFAULT_DOMAIN }
}
