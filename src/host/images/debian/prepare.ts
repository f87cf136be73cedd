import { mkdir } from 'node:fs/promises'
import { explained } from '../../cache/file-errors.ts'
import { cacheFolder } from '../../cache/folder.ts'
import { openHttpClient } from '../../download/http-client.ts'
import type { HttpOptions } from '../../download/http-client.ts'
import type { CpuModel } from '../../machine/cpu-models.ts'
import type { EngineName } from '../../machine/engines.ts'
import type { StartMachine } from '../../machine/session.ts'
import type { ProgressListener } from '../progress.ts'
import { startConfigurationGuest } from './configure-guest.ts'
import { openDebianImage } from './debian-image.ts'
import type { DiskImage } from '../disks/disk-image.ts'
import { DiskImageStore } from '../disks/store.ts'
import { hostError } from '../../errors.ts'
import { builtInDefinition, readDefinitionFile } from './definition-file.ts'
import type { ImageDefinition } from './definition.ts'
import { DEBIAN_IMAGE_NAMES, isDefinitionPath } from './names.ts'

export interface PrepareDiskImageOptions {
  readonly startMachine: StartMachine
  readonly cpu?: CpuModel
  readonly engine?: EngineName
  /** Where images are kept; the user's cache folder if absent. */
  readonly cache?: string
  /** The base URL of a Debian mirror, tried alone. */
  readonly mirror?: string
  readonly refresh?: boolean
  readonly progress?: ProgressListener
  readonly log?: (line: string) => void
  readonly signal?: AbortSignal
  readonly http?: HttpOptions
}

/**
 * Gives an image by its name, or by the path of its definition, from the cache or built. Other names are those of images that are in the
 * cache: imported, or built by a definition. Throws TenonError IMAGE_UNKNOWN, and as `openDebianImage` and definitions do.
 */
export async function prepareDiskImage(name: string, options: PrepareDiskImageOptions): Promise<DiskImage> {
  const { cache = cacheFolder() } = options
  if (DEBIAN_IMAGE_NAMES.includes(name)) return build(await builtInDefinition(name), cache, options)
  if (isDefinitionPath(name)) return build(await readDefinitionFile(name), cache, options)
  const store = new DiskImageStore(cache)
  const [stored] = await store.find(name)
  const image = stored && await store.load(stored.folder)
  if (stored !== undefined && image === undefined) throw hostError('IMAGE_UNKNOWN', `the image ${name} in ${stored.folder} is damaged: remove it with tenon image rm ${name}, and import or build it again`)
  if (image === undefined) throw await unknown(name, store)
  if (options.refresh) throw hostError('IMAGE_UNKNOWN', `${name} was imported or built, and is not fetched: import or build it again`)
  return image
}

async function unknown(name: string, store: DiskImageStore): Promise<Error> {
  const names = new Set([...DEBIAN_IMAGE_NAMES, ...(await store.list()).map(({ record }) => record.name)])
  return hostError('IMAGE_UNKNOWN', `there is no image ${name}: there is ${[...names].join(', ')}; tenon image import makes one of a disk`)
}

async function build(definition: ImageDefinition, cache: string, options: PrepareDiskImageOptions): Promise<DiskImage> {
  const { startMachine, cpu, engine, signal } = options
  await explained(cache, () => mkdir(cache, { recursive: true }))
  const http = await openHttpClient(options.http)
  try {
    return await openDebianImage(definition, {
      ...options, http, cache, startGuest: boot => startConfigurationGuest({ startMachine, cpu, engine, signal }, boot),
    })
  } finally {
    await http.close()
  }
}
