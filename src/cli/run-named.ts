import { resolve } from 'node:path'
import { entryOf, inFolder } from '../host/disks/disk-entry.ts'
import { createGuest } from '../host/guests/create-guest.ts'
import type { GuestCard, GuestDefinition } from '../host/guests/guest-definition.ts'
import { DEFAULT_DOMAIN } from '../host/guests/home.ts'
import { hostError } from '../host/errors.ts'
import type { NetworkChoice } from '../host/network/guest-network.ts'
import { DEFAULT_NETWORK } from '../host/networks/network-store.ts'
import { DEBIAN_IMAGE_NAMES, isDefinitionPath, isDiskImageName } from '../host/images/debian/names.ts'
import type { DiskImage } from '../host/images/disks/disk-image.ts'
import { ROOT_COMMAND_LINE } from '../host/images/disks/names.ts'
import type { SeedWishes } from '../host/seed/seed.ts'
import { formatShare } from '../host/shares/share-text.ts'
import { formatVsock } from '../host/vsock/vsock-text.ts'
import { startGuest } from './commands/start.ts'
import { guestStore } from './named-guests.ts'
import { prepareDiskImage } from './prepare-image.ts'
import type { RunRequest } from './run-request.ts'
import { readSeed } from './run-seed.ts'
import type { Surroundings } from './surroundings.ts'

/** Makes a named guest, starts it, and attaches to it unless it was not to. Gives the exit status. */
export async function runNamed(request: RunRequest, name: string, surroundings: Surroundings): Promise<number> {
  const store = guestStore(surroundings)
  // Before an image is built for it.
  await store.checkFree(name)
  const { image, mirror, cpu, engine, verbose, kernel, detach } = request
  if (kernel === undefined && !isDiskImageName(image)) throw noDisk(name, image)
  const seed = request.seed === undefined ? {} : await readSeed(request.seed)
  const disk = kernel === undefined ? await prepareDiskImage(image, { mirror, cpu, engine, verbose }, surroundings) : undefined
  await createGuest(store, name, definitionOf(request, seed, disk), disk, seed.userData)
  return startGuest({ name, attach: !detach, afresh: false }, surroundings)
}

function noDisk(name: string, image: string): Error {
  return hostError('GUEST_IMAGE_UNFIT', `the image ${image} has no disk, so that a guest of it keeps nothing and needs no name: `
    + `leave out --name, or choose an image with a disk, as in tenon run --name ${name} ${DEBIAN_IMAGE_NAMES[0]}`)
}

function definitionOf({ image, kernel, initrd, memoryBytes, cpu, engine, disks, shares, vsock, network, append = '' }: RunRequest, { hostname, sshKeys = [] }: SeedWishes, disk?: DiskImage): GuestDefinition {
  // A guest's boot assumes a disk that is one file system; what comes last on a command line counts.
  const words = [disk === undefined || disk.commandLine === ROOT_COMMAND_LINE ? '' : disk.commandLine, append].filter(text => text !== '')
  const boot = kernel === undefined
    ? { image: isDefinitionPath(image) ? resolve(image) : image }
    : { kernel: resolve(kernel), ...initrd === undefined ? {} : { initrd: resolve(initrd) } }
  const kept = disks.map(order => entryOf(inFolder(order, process.cwd())))
  return {
    ...boot, memory: memoryBytes, cpu, engine, disks: kept, shares: shares.map(formatShare), vsock: vsock && formatVsock(vsock),
    networks: cardsOf(network), publish: [...network.publish], append: words.join(' '), hostname, sshKeys: [...sshKeys], domain: DEFAULT_DOMAIN,
  }
}

/** nat is what guests with names have by the network default. */
function cardsOf({ cards }: NetworkChoice): GuestCard[] {
  return cards.map(({ network, ...card }) => ({ name: network === 'nat' ? DEFAULT_NETWORK : network, ...card }))
}
