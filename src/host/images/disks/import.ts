/** Takes a disk that somebody else made into the cache, as an image that guests can be made of. */
import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { BlockNode } from '../../../storage/block-node.ts'
import { openDisk } from '../../../storage/open.ts'
import { explained } from '../../cache/file-errors.ts'
import { withLock } from '../../cache/lock.ts'
import { writeDisk } from '../../disk-files/convert.ts'
import { type FormatName, graphOf } from '../../disk-files/formats.ts'
import type { DiskWork } from '../../disk-files/work.ts'
import { openDiskFile } from '../../disks/disk-file.ts'
import { hostEnvironment } from '../../disks/environment.ts'
import { hostError } from '../../errors.ts'
import { readInputFile } from '../../input-file.ts'
import type { DiskImage } from './disk-image.ts'
import { findSystem, type FoundSystem } from './find-system.ts'
import { isImageName } from './names.ts'
import { DiskImageStore, type NewDiskImage } from './store.ts'

export interface ImportOptions extends DiskWork {
  readonly cache: string
  /** Of the disk; probed if left out. */
  readonly format?: FormatName
  /** Files to boot by, in place of what the disk has. */
  readonly kernel?: string
  readonly initrd?: string
  /** For the kernel's command line. With a `root=`, the disk need have no root that can be found. */
  readonly append?: string
  /** Names that cannot be taken. */
  readonly reserved?: readonly string[]
  /** Replaces images that have the name. */
  readonly force?: boolean
}

/**
 * Imports a disk of any format. Throws TenonError IMAGE_NAME_INVALID, IMAGE_EXISTS, IMAGE_UNBOOTABLE, and what the disk's reading and the
 * cache's writing bring; nothing is left then.
 */
export async function importDisk(name: string, path: string, options: ImportOptions): Promise<DiskImage> {
  const { cache, format, force = false, signal, reserved = [] } = options
  if (!isImageName(name)) throw hostError('IMAGE_NAME_INVALID', `${JSON.stringify(name)} is no name for an image: write NAME:VERSION in lower-case letters, such as web:1`)
  if (reserved.includes(name)) throw hostError('IMAGE_NAME_INVALID', `${name} is an image that comes with Tenon: choose another name`)
  const store = new DiskImageStore(cache)
  const source = await openDisk(graphOf(path, format), hostEnvironment(), { readOnly: true, place: 'the disk' })
  try {
    await checkFree(store, name, force)
    const folder = store.folder(name, randomBytes(8).toString('hex'))
    const image = await store.make(folder, aside => fill(aside, name, path, source, options))
    // Not otherwise: the lock is held for as long as an image is being built.
    if ((await store.find(name)).length > 1) await withLock(join(cache, 'disks.lock'), { signal }, () => removeOthers(store, name, folder))
    return image
  } finally {
    await source.close()
  }
}

async function checkFree(store: DiskImageStore, name: string, force: boolean): Promise<void> {
  if (force || (await store.find(name)).length === 0) return
  throw hostError('IMAGE_EXISTS', `there is an image ${name} already: choose another name, remove it with tenon image rm ${name}, or replace it with --force`)
}

/** Those that the new one replaces. One that is in use stays until it is removed by itself: the latest of a name counts. */
async function removeOthers(store: DiskImageStore, name: string, folder: string): Promise<void> {
  for (const each of await store.find(name)) {
    if (each.folder !== folder) await store.remove(each).catch(inUse)
  }
}

function inUse(error: { readonly code?: string }): void {
  if (error.code !== 'DISK_IN_USE') throw error
}

async function fill(folder: string, name: string, path: string, source: BlockNode, options: ImportOptions): Promise<NewDiskImage> {
  const { progress = () => {}, append = '' } = options
  progress({ kind: 'stage', text: `looking for a kernel on ${path}` })
  const system = await systemOf(source, options)
  const kernel = options.kernel === undefined ? system.kernel?.kernel : await readInputFile(options.kernel, '--kernel')
  if (kernel === undefined) throw hostError('IMAGE_UNBOOTABLE', `${path} has no kernel /boot/vmlinuz-*: give one with --kernel`)
  const own = options.kernel === undefined ? system.kernel?.initrd : undefined
  const initrd = options.initrd === undefined ? own : await readInputFile(options.initrd, '--initrd')
  await explained(folder, async () => {
    await writeFile(join(folder, 'kernel'), kernel)
    if (initrd !== undefined) await writeFile(join(folder, 'initrd'), initrd)
  })
  const file = await openDiskFile(join(folder, 'disk.raw'), { create: true })
  await writeDisk(source, file, name, { ...options, format: 'raw', compress: false }).finally(() => file.close())
  const root = system.root === '' ? [] : [`root=${system.root} rw`]
  return {
    name, origin: 'imported', kernelRelease: options.kernel === undefined ? system.kernel?.release ?? '' : '', packages: [], source: path,
    commandLine: [...root, ...append === '' ? [] : [append]].join(' '),
  }
}

/** With a kernel and a root of the user's, nothing has to be found. */
async function systemOf(source: BlockNode, { kernel, append = '' }: ImportOptions): Promise<FoundSystem> {
  const isTold = kernel !== undefined && /(^| )root=/.test(append)
  return isTold ? { root: '' } : findSystem(source)
}
