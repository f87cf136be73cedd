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
import type { DiskImage } from './debian-image.ts'
import { builtInDefinition, readDefinitionFile } from './definition-file.ts'
import { DEBIAN_IMAGE_NAMES } from './names.ts'

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

/** Gives an image by its name, or by the path of its definition, from the cache or built. Throws as `openDebianImage` and definitions do. */
export async function prepareDiskImage(name: string, options: PrepareDiskImageOptions): Promise<DiskImage> {
  const { startMachine, cpu, engine, cache = cacheFolder(), signal } = options
  const definition = DEBIAN_IMAGE_NAMES.includes(name) ? await builtInDefinition(name) : await readDefinitionFile(name)
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
