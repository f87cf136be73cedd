import { cacheFolder } from '../host/cache/folder.ts'
import type { DiskImage } from '../host/images/debian/debian-image.ts'
import { prepareDiskImage as prepare } from '../host/images/debian/prepare.ts'
import type { BootImage } from '../host/images/image.ts'
import { openImage } from '../host/images/open-image.ts'
import type { ProgressListener } from '../host/images/progress.ts'
import type { CpuModel } from '../host/machine/cpu-models.ts'
import type { EngineName } from '../host/machine/engines.ts'
import { ProgressDisplay } from './progress-display.ts'
import type { Surroundings } from './surroundings.ts'

export interface PrepareOptions {
  readonly mirror?: string
  readonly refresh?: boolean
}

export interface PrepareDiskOptions extends PrepareOptions {
  /** Those of the guest that configures the image. */
  readonly cpu?: CpuModel
  readonly engine?: EngineName
  /** What that guest says goes to stderr. */
  readonly verbose?: boolean
}

/** Gets an image, showing on stderr what takes time. */
export function prepareImage(name: string, options: PrepareOptions, { stderr, environment, quit }: Surroundings): Promise<BootImage> {
  return withProgress(stderr, progress => openImage(name, { ...options, signal: quit.signal, http: { environment }, progress }))
}

/** Gets an image with a disk; to build one takes minutes, some of them in a guest. */
export function prepareDiskImage(name: string, { verbose, ...options }: PrepareDiskOptions, surroundings: Surroundings): Promise<DiskImage> {
  const { stderr, environment, quit, startMachine } = surroundings
  const log = verbose ? (line: string): void => void stderr.write(`${line}\n`) : undefined
  const where = { cache: cacheFolder(environment), http: { environment } }
  return withProgress(stderr, progress => prepare(name, { ...options, ...where, startMachine, signal: quit.signal, progress, log }))
}

async function withProgress<T>(stderr: NodeJS.WriteStream, work: (progress: ProgressListener) => Promise<T>): Promise<T> {
  const display = new ProgressDisplay(stderr)
  try {
    return await work(event => display.show(event))
  } finally {
    display.finish()
  }
}
