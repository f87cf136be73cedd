/** What images there are: those that come with Tenon, fetched or not, and those in the cache that users made. */
import { DEBIAN_IMAGE_NAMES } from './debian/names.ts'
import { DiskImageStore, occupiedBytes } from './disks/store.ts'
import { ImageStore } from './image-store.ts'
import { IMAGE_NAMES } from './open-image.ts'
import { hostError } from '../errors.ts'

export interface ImageSummary {
  readonly name: string
  /** `built-in`: comes with Tenon; `built`: by a definition of the user's. */
  readonly origin: 'built-in' | 'built' | 'imported'
  /** Tells it from others of its name; empty for one without a disk, or that is not there. */
  readonly id: string
  readonly isThere: boolean
  /** Bytes of its disk to a guest; undefined if it has none. */
  readonly diskSize?: number
  /** Bytes that it takes on the host. */
  readonly occupied: number
  /** ISO 8601. */
  readonly created?: string
  readonly kernelRelease?: string
}

/** All that can be known of one. */
export interface ImageDetails extends ImageSummary {
  readonly folder: string
  readonly kernelSha256: string
  readonly initrdSha256?: string
  readonly commandLine?: string
  readonly source?: string
  readonly packages: readonly { readonly name: string, readonly version: string }[]
  readonly definition?: unknown
}

/** Those that come with Tenon first, then the others, the latest first. */
export async function listImages(cache: string): Promise<ImageSummary[]> {
  const details = await allDetails(cache)
  const missing = [...IMAGE_NAMES, ...DEBIAN_IMAGE_NAMES].filter(name => !details.some(each => each.name === name))
  const absent = missing.map((name): ImageSummary => ({ name, origin: 'built-in', id: '', isThere: false, occupied: 0 }))
  const all = [...details.map(summaryOf), ...absent]
  return [...all.filter(each => each.origin === 'built-in').sort((a, b) => (a.name < b.name ? -1 : 1)), ...all.filter(each => each.origin !== 'built-in')]
}

/** The images with a name or ID that are there. Throws TenonError IMAGE_UNKNOWN if there is none. */
export async function inspectImages(nameOrId: string, cache: string): Promise<ImageDetails[]> {
  const found = (await allDetails(cache)).filter(({ name, id }) => name === nameOrId || (id !== '' && id === nameOrId))
  if (found.length === 0) throw notThere(nameOrId)
  return found
}

export interface RemovedImage {
  readonly name: string
  readonly id: string
  /** Its disk lives on in guests that were made of it. */
  readonly isShared: boolean
}

/** Removes all images with a name, or the one with an ID. Throws TenonError IMAGE_UNKNOWN, or DISK_IN_USE for one that a guest runs on. */
export async function removeImages(nameOrId: string, cache: string): Promise<RemovedImage[]> {
  if (IMAGE_NAMES.includes(nameOrId)) {
    if (!await new ImageStore(cache).remove(nameOrId)) throw notThere(nameOrId)
    return [{ name: nameOrId, id: '', isShared: false }]
  }
  const store = new DiskImageStore(cache)
  const found = await store.find(nameOrId)
  if (found.length === 0) throw notThere(nameOrId)
  const removed: RemovedImage[] = []
  for (const each of found) removed.push({ name: each.record.name, id: each.id, isShared: await store.remove(each) })
  return removed
}

function notThere(name: string): Error {
  return hostError('IMAGE_UNKNOWN', `there is no image ${JSON.stringify(name)} in the cache: tenon image ls shows what there is`)
}

async function allDetails(cache: string): Promise<ImageDetails[]> {
  return [...await withoutDisks(cache), ...await withDisks(cache)]
}

async function withoutDisks(cache: string): Promise<ImageDetails[]> {
  const store = new ImageStore(cache)
  const found = await Promise.all(IMAGE_NAMES.map(async (name): Promise<ImageDetails | undefined> => {
    const [record, date] = await Promise.all([store.record(name), store.date(name)])
    if (record === undefined || date === undefined) return undefined
    const { kernel, initrd } = record.files
    return {
      name, origin: 'built-in', id: '', isThere: true, occupied: kernel.size + initrd.size, created: date.toISOString(), kernelRelease: record.kernelRelease,
      folder: store.folder, kernelSha256: kernel.sha256, initrdSha256: initrd.sha256, packages: record.packages,
    }
  }))
  return found.filter(each => each !== undefined)
}

async function withDisks(cache: string): Promise<ImageDetails[]> {
  const stored = await new DiskImageStore(cache).list()
  return Promise.all(stored.map(async (each): Promise<ImageDetails> => {
    const { name, origin, created, kernelRelease, kernelSha256, initrdSha256, commandLine, diskSize, packages, definition, source } = each.record
    return {
      name, origin: DEBIAN_IMAGE_NAMES.includes(name) ? 'built-in' : origin, id: each.id, isThere: true, diskSize, occupied: await occupiedBytes(each),
      created, kernelRelease, folder: each.folder, kernelSha256, initrdSha256, commandLine, source, packages, definition,
    }
  }))
}

function summaryOf({ name, origin, id, isThere, diskSize, occupied, created, kernelRelease }: ImageDetails): ImageSummary {
  return { name, origin, id, isThere, ...diskSize === undefined ? {} : { diskSize }, occupied, created, kernelRelease }
}
