import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { explained } from '../../cache/file-errors.ts'
import { withLock } from '../../cache/lock.ts'
import { sha256Of } from '../archive/client.ts'
import type { DiskImage } from '../disks/disk-image.ts'
import { ROOT_COMMAND_LINE } from '../disks/names.ts'
import { DiskImageStore } from '../disks/store.ts'
import type { NewDiskImage } from '../disks/store.ts'
import type { ProgressListener } from '../progress.ts'
import { readContent } from '../tree/content.ts'
import { buildDebianImage } from './build.ts'
import type { BuildOptions } from './build.ts'
import { configureDisk } from './configure-disk.ts'
import type { ConfigurationBoot, ConfigurationGuest } from './configure-disk.ts'
import type { ImageDefinition } from './definition.ts'
import { writeImageDisk } from './write-disk.ts'

export interface OpenDebianImageOptions extends BuildOptions {
  startGuest(boot: ConfigurationBoot<string>): Promise<ConfigurationGuest>
  /** Build it anew from the newest packages, even if it is there. */
  readonly refresh?: boolean
  /** Each line that the configuring guest prints. */
  readonly log?: (line: string) => void
}

/** Raised when the same definition and packages would give another image. */
const BUILD_REVISION = 4

/** Gives an image from the cache, or builds it. Throws TenonError (HostErrorCode, StorageErrorCode), or the signal's reason. */
export async function openDebianImage(definition: ImageDefinition, options: OpenDebianImageOptions): Promise<DiskImage> {
  const store = new DiskImageStore(options.cache)
  const folder = store.folder(definition.name, sha256Of(Buffer.from(JSON.stringify([BUILD_REVISION, definition]))).slice(0, 16))
  const existing = options.refresh ? undefined : await store.load(folder)
  if (existing !== undefined) return existing
  const { progress = () => {}, signal } = options
  await explained(folder, () => mkdir(options.cache, { recursive: true }))
  const onWait = (): void => progress({ kind: 'stage', text: 'another process is preparing the image: waiting for it' })
  return withLock(join(options.cache, 'disks.lock'), { signal, onWait }, async () => {
    const builtMeanwhile = options.refresh ? undefined : await store.load(folder)
    return builtMeanwhile ?? await store.make(folder, aside => fill(aside, definition, { ...options, progress }))
  })
}

/** Makes kernel and disk in the folder: the kernel as packaged, the disk configured, and never started as a guest of its own. */
async function fill(folder: string, definition: ImageDefinition, options: OpenDebianImageOptions & { readonly progress: ProgressListener }): Promise<NewDiskImage> {
  const { progress, signal, log, startGuest } = options
  const diskPath = join(folder, 'disk.raw')
  const image = await buildDebianImage(definition, options)
  try {
    const kernel = await readContent(image.kernel)
    await explained(folder, () => writeFile(join(folder, 'kernel'), kernel))
    await writeImageDisk(image, diskPath, { progress, signal })
    progress({ kind: 'stage', text: `configuring ${definition.name} in a guest` })
    await configureDisk(diskPath, kernel, { start: startGuest, progress, log, signal })
    const { kernelRelease, packages } = image
    return { name: definition.name, origin: 'built', kernelRelease, commandLine: ROOT_COMMAND_LINE, packages, definition }
  } finally {
    await image.close()
  }
}
