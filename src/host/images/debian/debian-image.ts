import { randomUUID } from 'node:crypto'
import { mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { explained } from '../../cache/file-errors.ts'
import { withLock } from '../../cache/lock.ts'
import { sha256Of } from '../archive/client.ts'
import type { PackageRecord } from '../archive/package-index.ts'
import type { ProgressListener } from '../progress.ts'
import { readContent } from '../tree/content.ts'
import { buildDebianImage } from './build.ts'
import type { BuildOptions } from './build.ts'
import { configureDisk, ROOT_DEVICE } from './configure-disk.ts'
import type { ConfigurationBoot, ConfigurationGuest } from './configure-disk.ts'
import type { ImageDefinition } from './definition.ts'
import { writeImageDisk } from './write-disk.ts'

/**
 * Images on disks, in the cache: `disks/NAME-DIGEST/`, the digest being the definition's, with
 *
 *     kernel        as packaged
 *     disk.raw      configured, never started as a guest of its own; sparse; not to be written any more
 *     image.json    what the two are made of, and how to know that they still are what they were
 *
 * The folder is made aside and renamed into place.
 */
export interface DiskImage {
  readonly definition: ImageDefinition
  readonly kernel: Uint8Array
  /** The raw disk. Guests get a copy, or an overlay: it is the base of all of them. */
  readonly diskPath: string
  /** What the image wants on the kernel's command line, beside a console. */
  readonly commandLine: string
  readonly packages: readonly PackageRecord[]
}

interface ImageFileRecord {
  readonly format: 1
  readonly kernelRelease: string
  readonly kernelSha256: string
  readonly diskSize: number
  /** Milliseconds since 1970. */
  readonly diskModified: number
  readonly packages: readonly PackageRecord[]
}

export interface OpenDebianImageOptions extends BuildOptions {
  startGuest(boot: ConfigurationBoot<string>): Promise<ConfigurationGuest>
  /** Build it anew from the newest packages, even if it is there. */
  readonly refresh?: boolean
  /** Each line that the configuring guest prints. */
  readonly log?: (line: string) => void
}

/** What an image's disk wants on the kernel's command line, beside a console. */
export const DISK_IMAGE_COMMAND_LINE = `root=${ROOT_DEVICE} rw`

/** Raised when the same definition and packages would give another image. */
const BUILD_REVISION = 1

/** Gives an image from the cache, or builds it. Throws TenonError (HostErrorCode, StorageErrorCode), or the signal's reason. */
export async function openDebianImage(definition: ImageDefinition, options: OpenDebianImageOptions): Promise<DiskImage> {
  const folder = folderOf(definition, options.cache)
  const existing = options.refresh ? undefined : await load(definition, folder)
  if (existing !== undefined) return existing
  const { progress = () => {}, signal } = options
  await explained(folder, () => mkdir(join(options.cache, 'disks'), { recursive: true }))
  const onWait = (): void => progress({ kind: 'stage', text: 'another process is preparing the image: waiting for it' })
  return withLock(join(options.cache, 'disks.lock'), { signal, onWait }, async () => {
    const builtMeanwhile = options.refresh ? undefined : await load(definition, folder)
    return builtMeanwhile ?? await make(definition, folder, { ...options, progress })
  })
}

function folderOf(definition: ImageDefinition, cache: string): string {
  const digest = sha256Of(Buffer.from(JSON.stringify([BUILD_REVISION, definition]))).slice(0, 16)
  return join(cache, 'disks', `${definition.name.replace(':', '-')}-${digest}`)
}

/** Undefined if there is none, or one that is not what it was. */
async function load(definition: ImageDefinition, folder: string): Promise<DiskImage | undefined> {
  const diskPath = join(folder, 'disk.raw')
  try {
    const record = JSON.parse(await readFile(join(folder, 'image.json'), 'utf8')) as ImageFileRecord
    const [kernel, disk] = await Promise.all([readFile(join(folder, 'kernel')), stat(diskPath)])
    const isWhole = record.format === 1 && sha256Of(kernel) === record.kernelSha256 && disk.size === record.diskSize && disk.mtimeMs === record.diskModified
    return isWhole ? imageOf(definition, kernel, diskPath, record.packages) : undefined
  } catch {
    return undefined
  }
}

function imageOf(definition: ImageDefinition, kernel: Uint8Array, diskPath: string, packages: readonly PackageRecord[]): DiskImage {
  return { definition, kernel, diskPath, packages, commandLine: DISK_IMAGE_COMMAND_LINE }
}

async function make(definition: ImageDefinition, folder: string, options: OpenDebianImageOptions & { readonly progress: ProgressListener }): Promise<DiskImage> {
  const aside = `${folder}.${randomUUID()}.tmp`
  await explained(aside, () => mkdir(aside))
  try {
    const record = await fill(aside, definition, options)
    await explained(folder, async () => {
      await writeFile(join(aside, 'image.json'), `${JSON.stringify(record, null, 2)}\n`)
      await rm(folder, { recursive: true, force: true })
      await rename(aside, folder)
    })
    return imageOf(definition, await readFile(join(folder, 'kernel')), join(folder, 'disk.raw'), record.packages)
  } finally {
    await rm(aside, { recursive: true, force: true })
  }
}

/** Makes kernel and disk in the folder. */
async function fill(folder: string, definition: ImageDefinition, options: OpenDebianImageOptions & { readonly progress: ProgressListener }): Promise<ImageFileRecord> {
  const { progress, signal, log, startGuest } = options
  const diskPath = join(folder, 'disk.raw')
  const image = await buildDebianImage(definition, options)
  try {
    const kernel = await readContent(image.kernel)
    await explained(folder, () => writeFile(join(folder, 'kernel'), kernel))
    await writeImageDisk(image, diskPath, { progress, signal })
    progress({ kind: 'stage', text: `configuring ${definition.name} in a guest` })
    await configureDisk(diskPath, kernel, { start: startGuest, progress, log, signal })
    const { size, mtimeMs } = await stat(diskPath)
    const { kernelRelease, packages } = image
    return { format: 1, kernelRelease, kernelSha256: sha256Of(kernel), diskSize: size, diskModified: mtimeMs, packages }
  } finally {
    await image.close()
  }
}
