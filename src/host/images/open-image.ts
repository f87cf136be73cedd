import { mkdir, readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { explained } from '../cache/file-errors.ts'
import { cacheFolder } from '../cache/folder.ts'
import { withLock } from '../cache/lock.ts'
import { openHttpClient } from '../download/http-client.ts'
import type { HttpOptions } from '../download/http-client.ts'
import { hostError } from '../errors.ts'
import { DebianArchive, DEFAULT_MIRRORS, sha256Of } from './archive/client.ts'
import { DEBIAN_ARCHIVE_KEYS } from './archive/debian-keys.ts'
import type { PackageRecord } from './archive/package-index.ts'
import { busyboxRecipe } from './busybox/recipe.ts'
import type { BootImage } from './image.ts'
import { ImageStore } from './image-store.ts'
import type { ImageRecord } from './image-store.ts'
import type { ProgressListener } from './progress.ts'
import type { ImageRecipe } from './recipe.ts'

/** Images by name. */
const RECIPES: Readonly<Record<string, () => ImageRecipe>> = { busybox: busyboxRecipe }

export const IMAGE_NAMES: readonly string[] = Object.keys(RECIPES)

export interface OpenImageOptions {
  /** Where images are kept; the user's cache folder if absent. */
  readonly cache?: string
  /** The base URL of a Debian mirror, tried alone. */
  readonly mirror?: string
  readonly progress?: ProgressListener
  readonly signal?: AbortSignal
  /** Fetch the archive's index and use the newest packages, even if there is an image. */
  readonly refresh?: boolean
  readonly http?: HttpOptions
  readonly trustedKeys?: readonly string[]
  readonly retryDelaysMs?: readonly number[]
}

/**
 * Gives an image ready to boot: from the cache where it is there and intact, else built from packages in the cache, else from those
 * that the archive's index names now. Throws TenonError (HostErrorCode), or the signal's reason.
 */
export async function openImage(name: string, options: OpenImageOptions = {}): Promise<BootImage> {
  if (!Object.hasOwn(RECIPES, name)) throw hostError('IMAGE_UNKNOWN', `there is no image ${JSON.stringify(name)}: there is ${IMAGE_NAMES.join(', ')}`)
  const recipe = RECIPES[name]()
  const cache = options.cache ?? cacheFolder()
  const store = new ImageStore(cache)
  const existing = options.refresh ? undefined : await load(store, recipe)
  if (existing !== undefined) return existing
  await explained(cache, () => mkdir(cache, { recursive: true }))
  const progress = options.progress ?? (() => {})
  const onWait = (): void => progress({ kind: 'stage', text: 'another process is preparing the image: waiting for it' })
  return withLock(join(cache, 'lock'), { signal: options.signal, onWait }, async () => {
    const builtMeanwhile = options.refresh ? undefined : await load(store, recipe)
    return builtMeanwhile ?? await build(store, recipe, cache, { ...options, progress })
  })
}

async function load(store: ImageStore, recipe: ImageRecipe): Promise<BootImage | undefined> {
  const record = await store.record(recipe.name)
  if (record === undefined || record.recipe !== recipe.id) return undefined
  const files = await store.read(record)
  return files && { ...recipe.boot, name: recipe.name, ...files }
}

type BuildOptions = OpenImageOptions & { readonly progress: ProgressListener }

async function build(store: ImageStore, recipe: ImageRecipe, cache: string, options: BuildOptions): Promise<BootImage> {
  const folder = join(cache, 'packages')
  const record = options.refresh ? undefined : await store.record(recipe.name)
  const { packages, files } = await packagesInCache(record, folder) ?? await fetchPackages(recipe, folder, options)
  options.progress({ kind: 'stage', text: `building the image ${recipe.name} of ${packages.map(({ name, version }) => `${name} ${version}`).join(', ')}` })
  const built = await recipe.build(new Map(packages.map(({ name }, index) => [name, files[index]])))
  options.signal?.throwIfAborted()
  await store.save(recipe.name, { recipe: recipe.id, kernelRelease: built.kernelRelease, packages }, built)
  await removeOthers(folder, packages).catch(() => {})
  return { ...recipe.boot, name: recipe.name, kernel: built.kernel, initrd: built.initrd }
}

interface FetchedPackages {
  readonly packages: readonly PackageRecord[]
  readonly files: readonly Uint8Array[]
}

/** The packages that an earlier image was made of, if all are there and intact. */
async function packagesInCache(record: ImageRecord | undefined, folder: string): Promise<FetchedPackages | undefined> {
  if (record === undefined) return undefined
  try {
    return { packages: record.packages, files: await Promise.all(record.packages.map(({ sha256 }) => readVerified(folder, sha256))) }
  } catch {
    return undefined
  }
}

async function fetchPackages(recipe: ImageRecipe, folder: string, options: BuildOptions): Promise<FetchedPackages> {
  const { signal, progress, retryDelaysMs, mirror, trustedKeys = DEBIAN_ARCHIVE_KEYS } = options
  const http = await openHttpClient(options.http)
  try {
    const mirrors = mirror === undefined ? DEFAULT_MIRRORS : [mirror.replace(/\/+$/, '')]
    const archiveOptions = { http, mirrors, suite: recipe.suite, trustedKeys, folder, progress, signal, retryDelaysMs }
    const { archive, index } = await DebianArchive.open(archiveOptions, recipe.wants)
    const packages = recipe.choose(index)
    for (const record of packages) {
      if (!await readVerified(folder, record.sha256).catch(() => undefined)) await archive.fetchPackage(record)
    }
    return { packages, files: await Promise.all(packages.map(({ sha256 }) => readVerified(folder, sha256))) }
  } finally {
    await http.close()
  }
}

async function readVerified(folder: string, sha256: string): Promise<Uint8Array> {
  const bytes = await readFile(join(folder, sha256))
  if (sha256Of(bytes) !== sha256) throw hostError('DOWNLOAD_CORRUPT', `${join(folder, sha256)} is damaged: delete it and try again`)
  return bytes
}

async function removeOthers(folder: string, packages: readonly PackageRecord[]): Promise<void> {
  const kept = new Set(packages.map(({ sha256 }) => sha256))
  const names = await readdir(folder)
  await Promise.all(names.filter(name => !kept.has(name)).map(name => rm(join(folder, name), { force: true })))
}
