/**
 * Images on disks, in the cache. Each has a folder `disks/NAME-ID/`, made aside and renamed into place:
 *
 *     kernel        to boot it by
 *     initrd        if its kernel needs one
 *     disk.raw      as it was built or imported; sparse; not to be written any more
 *     image.json    what these are, and how to know that they still are what they were
 *
 * Of several with one name, the latest counts.
 */
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { asideOf, sweepAside } from '../../cache/aside.ts'
import { explained } from '../../cache/file-errors.ts'
import { openDiskFile } from '../../disks/disk-file.ts'
import { sha256Of } from '../archive/client.ts'
import type { PackageRecord } from '../archive/package-index.ts'
import type { DiskImage } from './disk-image.ts'
import { ROOT_COMMAND_LINE } from './names.ts'

export interface DiskImageRecord {
  readonly format: 1
  readonly name: string
  /** Made of packages by a definition, or somebody else's disk. */
  readonly origin: 'built' | 'imported'
  /** When: ISO 8601. */
  readonly created: string
  readonly kernelRelease: string
  readonly kernelSha256: string
  readonly initrdSha256?: string
  readonly commandLine: string
  readonly diskSize: number
  /** Milliseconds since 1970. */
  readonly diskModified: number
  readonly packages: readonly PackageRecord[]
  /** The definition that it was built by. */
  readonly definition?: unknown
  /** The file that it was imported from. */
  readonly source?: string
}

/** What `make` below knows of an image; the rest follows from its files. */
export type NewDiskImage = Pick<DiskImageRecord, 'name' | 'origin' | 'kernelRelease' | 'commandLine' | 'packages' | 'definition' | 'source'>

export interface StoredDiskImage {
  /** What tells it from others of its name. */
  readonly id: string
  readonly folder: string
  readonly record: DiskImageRecord
}

export class DiskImageStore {
  readonly #disks: string

  constructor(cacheFolder: string) { this.#disks = join(cacheFolder, 'disks') }

  /** Of an image with this name and ID. */
  folder(name: string, id: string): string { return join(this.#disks, `${name.replace(':', '-')}-${id}`) }

  /** All images that are whole as far as their records say, the latest first. */
  async list(): Promise<StoredDiskImage[]> {
    const names = await readdir(this.#disks).catch((): string[] => [])
    const found = await Promise.all(names.filter(name => !name.endsWith('.tmp')).map(name => this.#read(name)))
    return found.filter(each => each !== undefined).sort((a, b) => (a.record.created < b.record.created ? 1 : -1))
  }

  /** Those with a name, or with an ID, the latest first. */
  async find(nameOrId: string): Promise<StoredDiskImage[]> {
    return (await this.list()).filter(({ id, record }) => record.name === nameOrId || id === nameOrId)
  }

  /** The image in a folder, verified. Undefined if there is none, or one that is not what it was. */
  async load(folder: string): Promise<DiskImage | undefined> {
    const diskPath = join(folder, 'disk.raw')
    try {
      const record = await readRecord(folder)
      const [kernel, disk] = await Promise.all([readFile(join(folder, 'kernel')), stat(diskPath)])
      const initrd = record.initrdSha256 === undefined ? undefined : await readFile(join(folder, 'initrd'))
      const isWhole = sha256Of(kernel) === record.kernelSha256 && disk.size === record.diskSize && disk.mtimeMs === record.diskModified
        && (initrd === undefined || sha256Of(initrd) === record.initrdSha256)
      return isWhole ? imageOf(record, kernel, initrd, diskPath) : undefined
    } catch {
      return undefined
    }
  }

  /**
   * Has `fill` put `kernel`, `disk.raw` and, if need be, `initrd` into a folder, which then becomes that of the image. One that was there
   * is replaced. Throws TenonError CACHE_DISK_FULL or CACHE_UNUSABLE, and what `fill` does; nothing is left then.
   */
  async make(folder: string, fill: (aside: string) => Promise<NewDiskImage>): Promise<DiskImage> {
    const aside = asideOf(folder)
    await sweepAside(this.#disks)
    await explained(aside, () => mkdir(aside, { recursive: true }))
    try {
      const record = await recordOf(aside, await fill(aside))
      return await explained(folder, async () => {
        await writeFile(join(aside, 'image.json'), `${JSON.stringify(record, null, 2)}\n`)
        await rm(folder, { recursive: true, force: true })
        await rename(aside, folder)
        const initrd = record.initrdSha256 === undefined ? undefined : await readFile(join(folder, 'initrd'))
        return imageOf(record, await readFile(join(folder, 'kernel')), initrd, join(folder, 'disk.raw'))
      })
    } finally {
      await rm(aside, { recursive: true, force: true })
    }
  }

  /**
   * Removes an image that no guest has as its disk now. Returns whether its disk lives on, in guests that were made of it. Rejects with
   * DISK_IN_USE.
   */
  async remove({ folder }: StoredDiskImage): Promise<boolean> {
    const aside = asideOf(folder)
    await sweepAside(this.#disks)
    const disk = join(folder, 'disk.raw')
    const lock = await stat(disk).then(() => openDiskFile(disk), () => undefined)
    try {
      const links = lock === undefined ? 1 : (await stat(disk)).nlink
      await explained(folder, () => rename(folder, aside))
      return links > 1
    } finally {
      await lock?.close()
      await rm(aside, { recursive: true, force: true })
    }
  }

  async #read(name: string): Promise<StoredDiskImage | undefined> {
    const folder = join(this.#disks, name)
    const record = await readRecord(folder).catch(() => undefined)
    return record === undefined ? undefined : { id: name.slice(name.lastIndexOf('-') + 1), folder, record }
  }
}

/** Bytes that an image takes on the host. */
export async function occupiedBytes({ folder }: StoredDiskImage): Promise<number> {
  const names = await readdir(folder).catch((): string[] => [])
  const stats = await Promise.all(names.map(name => stat(join(folder, name)).catch(() => ({ blocks: 0 }))))
  return stats.reduce((sum, { blocks }) => sum + blocks * 512, 0)
}

/** The first records had neither name nor date: those of images that were built, whose folders and disks say it. */
async function readRecord(folder: string): Promise<DiskImageRecord> {
  const read = JSON.parse(await readFile(join(folder, 'image.json'), 'utf8')) as Partial<DiskImageRecord> & Pick<DiskImageRecord, 'diskModified'>
  const [, name, version] = /^(.+)-([^-]+)-[^-]+$/.exec(basename(folder)) ?? []
  const first = { name: `${name}:${version}`, origin: 'built', created: new Date(read.diskModified).toISOString(), commandLine: ROOT_COMMAND_LINE }
  const record = { ...first, ...read } as DiskImageRecord
  if (record.format !== 1 || typeof record.name !== 'string' || !Array.isArray(record.packages)) throw new RangeError(`${folder} has a record that is not known`)
  return record
}

async function recordOf(folder: string, image: NewDiskImage): Promise<DiskImageRecord> {
  const kernel = await readFile(join(folder, 'kernel'))
  const initrd = await readFile(join(folder, 'initrd')).catch(() => undefined)
  const { size, mtimeMs } = await stat(join(folder, 'disk.raw'))
  return {
    format: 1, ...image, created: new Date().toISOString(), kernelSha256: sha256Of(kernel),
    ...initrd === undefined ? {} : { initrdSha256: sha256Of(initrd) }, diskSize: size, diskModified: mtimeMs,
  }
}

function imageOf({ name, commandLine, packages }: DiskImageRecord, kernel: Uint8Array, initrd: Uint8Array | undefined, diskPath: string): DiskImage {
  return { name, kernel, initrd, diskPath, commandLine, packages }
}
