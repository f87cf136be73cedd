import { randomUUID } from 'node:crypto'
import type { TenonError } from '../base/errors.ts'
import type { DiskOrder } from '../host/disks/disk-order.ts'
import type { GuestOptions } from '../host/guest/boot.ts'
import { isDiskImageName } from '../host/images/debian/names.ts'
import { seedFor } from '../host/seed/seed.ts'
import { seedDisk } from '../host/seed/seed-order.ts'
import type { MachineNetwork } from '../host/network/attached-cards.ts'
import { openGuestNetwork } from '../host/network/guest-network.ts'
import { runDiskImage } from './run-disk-image.ts'
import { runImage } from './run-image.ts'
import { runOwnKernel } from './run-kernel.ts'
import { runNamed } from './run-named.ts'
import type { RunRequest } from './run-request.ts'
import { readSeed } from './run-seed.ts'
import { showStatistics } from './session-terminal.ts'
import type { Running } from './session-terminal.ts'
import type { Surroundings } from './surroundings.ts'

/** Runs what was asked for and resolves with the exit status. Rejects with a TenonError or a Quit. */
export async function run(request: RunRequest, surroundings: Surroundings): Promise<number> {
  if (request.name !== undefined) return runNamed(request, request.name, surroundings)
  const running: Running = {}
  const disks = [...request.disks, ...await seedDisks(request)]
  const network = await openNetwork(request, surroundings)
  try {
    return await runRequested(request, { ...guestOptions({ ...request, disks }, surroundings, running), network }, surroundings, running)
  } finally {
    await network?.thread.close()
    if (request.stats) showStatistics(running, surroundings.stderr, '\n')
  }
}

/** The guest's own networks, which end with it. */
async function openNetwork({ network }: RunRequest, { startNetworks, stderr }: Surroundings): Promise<MachineNetwork | undefined> {
  if (startNetworks === undefined || network.cards.length === 0) return undefined
  return openGuestNetwork(network, startNetworks(error => stderr.write(`tenon: ${error.message} (${error.code})\n`)))
}

function runRequested(request: RunRequest, options: GuestOptions, surroundings: Surroundings, running: Running): Promise<number> {
  if (request.kernel !== undefined) return runOwnKernel(request, request.kernel, options, surroundings, running)
  if (isDiskImageName(request.image)) return runDiskImage(request, options, surroundings, running)
  return runImage(request, options, surroundings, running)
}

/** Each run is a guest of its own to cloud-init. */
async function seedDisks({ seed }: RunRequest): Promise<DiskOrder[]> {
  return seed === undefined ? [] : [seedDisk(seedFor(await readSeed(seed), randomUUID()), Math.floor(Date.now() / 1000))]
}

function guestOptions({ memoryBytes, cpu, engine, disks, shares, vsock, lockstep, bootTimeoutMs }: RunRequest, { startMachine, quit, stderr }: Surroundings, running: Running): GuestOptions {
  const onDiskFailure = (error: TenonError): void => void stderr.write(`tenon: ${error.message} (${error.code})\n`)
  return { startMachine, onDiskFailure, memoryBytes, cpu, engine, disks, shares, vsock, lockstep, bootTimeoutMs, signal: quit.signal, onMachine: machine => { running.machine = machine } }
}
