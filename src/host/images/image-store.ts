import { mkdir, open, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { asideOf, sweepAside } from '../cache/aside.ts'
import { explained } from '../cache/file-errors.ts'
import type { PackageRecord } from './archive/package-index.ts'
import { sha256Of } from './archive/client.ts'

/**
 * Built images in the cache folder. `images/NAME.json` says what the current image is made of and names its files, which lie in
 * `images/` under their SHA-256. Files are written aside and renamed, the record last: whoever reads sees the old image or the new one.
 */
export interface ImageRecord {
  readonly format: 1
  /** Names the way the image is built: another recipe means that it has to be built again. */
  readonly recipe: string
  readonly kernelRelease: string
  readonly packages: readonly PackageRecord[]
  readonly files: Readonly<Record<ImageFile, { readonly size: number, readonly sha256: string }>>
}

export type ImageFile = 'kernel' | 'initrd'
export type ImageFiles = Readonly<Record<ImageFile, Uint8Array>>

const IMAGE_FILES: readonly ImageFile[] = ['kernel', 'initrd']

export class ImageStore {
  readonly folder: string

  constructor(cacheFolder: string) {
    this.folder = join(cacheFolder, 'images')
  }

  /** The record of an image; undefined if there is none, or none that we understand. */
  async record(name: string): Promise<ImageRecord | undefined> {
    try {
      const record = JSON.parse(await readFile(this.#recordPath(name), 'utf8')) as ImageRecord
      const isWhole = record.format === 1 && Array.isArray(record.packages) && IMAGE_FILES.every(file => isDigest(record.files[file]?.sha256))
      return isWhole ? record : undefined
    } catch {
      return undefined
    }
  }

  /** The files of a record, verified; undefined if one is missing or is not what it was. */
  async read(record: ImageRecord): Promise<ImageFiles | undefined> {
    try {
      const [kernel, initrd] = await Promise.all(IMAGE_FILES.map(file => this.#readVerified(record.files[file].sha256)))
      return { kernel, initrd }
    } catch {
      return undefined
    }
  }

  /** Makes an image the current one of its name. Throws TenonError CACHE_DISK_FULL or CACHE_UNUSABLE; the old one then stays. */
  async save(name: string, description: Omit<ImageRecord, 'format' | 'files'>, files: ImageFiles): Promise<void> {
    await explained(this.folder, async () => {
      await mkdir(this.folder, { recursive: true })
      const described = { kernel: describe(files.kernel), initrd: describe(files.initrd) }
      for (const file of IMAGE_FILES) await this.#write(join(this.folder, described[file].sha256), files[file])
      const record: ImageRecord = { format: 1, ...description, files: described }
      await this.#write(this.#recordPath(name), new TextEncoder().encode(`${JSON.stringify(record, null, 2)}\n`))
    })
    await this.#removeUnused().catch(() => {})
  }

  /** When the current image of a name was made; undefined if there is none. */
  async date(name: string): Promise<Date | undefined> {
    return stat(this.#recordPath(name)).then(({ mtime }) => mtime, () => undefined)
  }

  /** Removes an image. Returns whether there was one. */
  async remove(name: string): Promise<boolean> {
    const isThere = await this.date(name) !== undefined
    await explained(this.folder, () => rm(this.#recordPath(name), { force: true }))
    if (isThere) await this.#removeUnused()
    return isThere
  }

  #recordPath(name: string): string {
    return join(this.folder, `${name}.json`)
  }

  async #readVerified(sha256: string): Promise<Uint8Array> {
    const bytes = await readFile(join(this.folder, sha256))
    if (sha256Of(bytes) !== sha256) throw new RangeError(`${sha256} is damaged`)
    return bytes
  }

  async #write(path: string, bytes: Uint8Array): Promise<void> {
    const aside = asideOf(path)
    try {
      await writeFile(aside, bytes)
      const handle = await open(aside, 'r+')
      await handle.sync().finally(() => handle.close())
      await rename(aside, path)
    } catch (error) {
      await rm(aside, { force: true })
      throw error
    }
  }

  /** Files of no record, such as those of a previous image. One that reads them just now has them in memory, or builds anew. */
  async #removeUnused(): Promise<void> {
    await sweepAside(this.folder)
    const names = await readdir(this.folder)
    const records = await Promise.all(names.filter(name => name.endsWith('.json')).map(name => this.record(name.slice(0, -5))))
    const used = new Set(records.flatMap(record => (record === undefined ? [] : Object.values(record.files).map(({ sha256 }) => sha256))))
    const unused = names.filter(name => !name.endsWith('.json') && !name.endsWith('.tmp') && !used.has(name))
    await Promise.all(unused.map(name => rm(join(this.folder, name), { force: true })))
  }
}

function describe(bytes: Uint8Array): { size: number, sha256: string } {
  return { size: bytes.length, sha256: sha256Of(bytes) }
}

function isDigest(value: unknown): boolean {
  return typeof value === 'string' && /^[0-9a-f]{64}$/.test(value)
}
