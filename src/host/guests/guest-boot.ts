import { readFile, stat } from 'node:fs/promises'
import { basename, resolve } from 'node:path'
import { explained } from '../cache/file-errors.ts'
import { readDescriptions } from '../disks/disk-description.ts'
import { inFolder, orderOf } from '../disks/disk-entry.ts'
import type { DiskOrder } from '../disks/disk-order.ts'
import { ROOT_COMMAND_LINE } from '../images/disks/names.ts'
import { readInputFile } from '../input-file.ts'
import type { MachineOptions } from '../machine/session.ts'
import { seedDisk } from '../seed/seed-order.ts'
import { checkUserData, needsSeed, seedFor } from '../seed/seed.ts'
import { shareOrders, shareWords, type GuestShare } from '../shares/guest-share.ts'
import { parseShare } from '../shares/share-text.ts'
import { parseVsock } from '../vsock/vsock-text.ts'
import type { GuestDefinition } from './guest-definition.ts'
import { GUEST_FILES } from './home.ts'
import type { GuestFolder } from './home.ts'
import { findOwnKernel } from './own-kernel.ts'

/** A machine without what ties it to its owner. */
export type GuestBoot = Omit<MachineOptions, 'serial' | 'signal' | 'onDiskFailure'>

/**
 * What a guest's machine is made of, read anew at each start. `notice` is told what is not as it should be and does not matter.
 * Throws TenonErrors.
 */
export async function prepareBoot(folder: GuestFolder, definition: GuestDefinition, notice: (message: string) => void): Promise<GuestBoot> {
  const { memory, cpu, engine } = definition
  const files = definition.kernel === undefined ? await diskFiles(folder, notice) : await ownFiles(folder, definition, definition.kernel)
  const shares = sharesOf(folder, definition)
  return {
    ...files, memoryBytes: memory, cpu, engine, commandLine: [...shareWords(shares), commandLineOf(definition)].join(' '),
    disks: [...await diskOrders(folder, definition), ...await seedOf(folder, definition)], shares: shareOrders(shares),
    vsock: definition.vsock === undefined ? undefined : parseVsock(definition.vsock, folder.path),
  }
}

type BootFiles = Pick<GuestBoot, 'kernel' | 'initrd'>

async function diskFiles(folder: GuestFolder, notice: (message: string) => void): Promise<BootFiles> {
  const own = await findOwnKernel(folder.disk).catch((error: Error) => {
    notice(`no kernel can be read from its disk, and that of its image is taken: ${error.message}`)
    return undefined
  })
  return own ?? { kernel: await explained(folder.kernel, () => readFile(folder.kernel), GUEST_FILES) }
}

async function ownFiles(folder: GuestFolder, { initrd }: GuestDefinition, kernel: string): Promise<BootFiles> {
  return {
    kernel: await readInputFile(resolve(folder.path, kernel), 'the kernel'),
    initrd: initrd === undefined ? undefined : await readInputFile(resolve(folder.path, initrd), 'the initrd'),
  }
}

/** A panic resets at once, so that it is seen. What the definition adds comes last, and wins. */
function commandLineOf({ kernel, append }: GuestDefinition): string {
  if (kernel !== undefined) return append === '' ? 'console=ttyS0 panic=-1' : append
  return ['console=ttyS0', 'panic=-1', ROOT_COMMAND_LINE, append].join(' ').trim()
}

/** A guest's own disk, if it has one, and those that its definition names, in the order of the definition. Throws as `readDescriptions`. */
export async function diskOrders(folder: GuestFolder, { kernel, disks }: Pick<GuestDefinition, 'kernel' | 'disks'>): Promise<DiskOrder[]> {
  const own: DiskOrder[] = kernel === undefined ? [{ graph: { kind: 'file', path: folder.disk, format: 'qcow2' } }] : []
  const more = disks.map(entry => inFolder(orderOf(entry), folder.path))
  // Here already, so that it is known which files a suspended guest depends on.
  return [...own, ...await Promise.all(more.map(async order => ({ ...order, graph: await readDescriptions(order.graph) })))]
}

/** The last disk. Its time is the definition's, so that nothing changes with the day. */
async function seedOf(folder: GuestFolder, { hostname, sshKeys, userData }: GuestDefinition): Promise<DiskOrder[]> {
  if (!needsSeed({ hostname, sshKeys, userData })) return []
  const text = userData === undefined ? undefined : await checkUserData(await readInputFile(resolve(folder.path, userData), 'the user data'), userData)
  const { mtimeMs } = await explained(folder.definition, () => stat(folder.definition), GUEST_FILES)
  return [seedDisk(seedFor({ hostname, sshKeys, userData: text }, basename(folder.path)), Math.floor(mtimeMs / 1000))]
}

function sharesOf({ path }: GuestFolder, { shares }: GuestDefinition): GuestShare[] { return shares.map(text => parseShare(text, path)) }
