import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { explained } from '../../cache/file-errors.ts'
import { download, httpStatusError } from '../../download/download.ts'
import type { DownloadOptions } from '../../download/download.ts'
import type { HttpClient } from '../../download/http-client.ts'
import { hostError } from '../../errors.ts'
import { decompressStream } from '../decompress.ts'
import type { CompressedFormat } from '../decompress.ts'
import type { ProgressListener } from '../progress.ts'
import { PackageIndex } from './package-index.ts'
import type { PackageRecord } from './package-index.ts'
import { readRelease } from './release.ts'
import type { FileDigest, Release } from './release.ts'

/** A Debian archive on a mirror: its verified index, and packages into a folder. */
export interface ArchiveOptions {
  readonly http: HttpClient
  /** Tried in this order where a connection fails; the first that answers is kept. Without a trailing slash. */
  readonly mirrors: readonly string[]
  readonly suite: string
  /** As Debian names it; `amd64` if absent. */
  readonly architecture?: string
  /** ASCII-armored. */
  readonly trustedKeys: readonly string[]
  /** Downloads go here: packages as their SHA-256. */
  readonly folder: string
  readonly progress: ProgressListener
  readonly signal?: AbortSignal
  readonly retryDelaysMs?: readonly number[]
}

/** All signatures are checked, so that plain HTTP is as good; it passes where HTTPS is intercepted or blocked. */
export const DEFAULT_MIRRORS: readonly string[] = ['https://deb.debian.org/debian', 'http://deb.debian.org/debian']

const MAXIMUM_RELEASE_SIZE = 4 * 1024 ** 2
const INDEX_FORMATS: readonly CompressedFormat[] = ['xz', 'gz']

export class DebianArchive {
  readonly #options: ArchiveOptions
  readonly #release: Release
  /** The mirror that has answered. */
  readonly mirror: string

  private constructor(options: ArchiveOptions, mirror: string, release: Release) {
    this.#options = options
    this.mirror = mirror
    this.#release = release
  }

  /** Finds a mirror that answers with a valid release. Throws TenonError DOWNLOAD_*, SIGNATURE_* or ARCHIVE_FORMAT_INVALID. */
  static async connect(options: ArchiveOptions): Promise<DebianArchive> {
    await explained(options.folder, () => mkdir(options.folder, { recursive: true }))
    const { mirror, text } = await fetchRelease(options)
    return new DebianArchive(options, mirror, await readRelease(text, options.suite, options.trustedKeys))
  }

  /** Finds a mirror that answers, and gives the archive with its index of the packages that `wanted` names. */
  static async open(options: ArchiveOptions, wanted: (name: string) => boolean): Promise<{ archive: DebianArchive, index: PackageIndex }> {
    const archive = await DebianArchive.connect(options)
    return { archive, index: await archive.readIndex('main', chunks => PackageIndex.read(chunks, wanted)) }
  }

  /** Fetches a package's file to the folder and gives its path. `onProgress` is told the bytes that are there, instead of our listener. */
  async fetchPackage({ name, version, filename, size, sha256 }: PackageRecord, onProgress?: (received: number) => void): Promise<string> {
    const path = join(this.#options.folder, sha256)
    const { signal, retryDelaysMs } = this.#options
    const options = onProgress === undefined ? this.#downloadOptions(`${name} ${version}`, size) : { signal, retryDelaysMs, onProgress }
    await download(this.#options.http, { url: `${this.mirror}/${filename}`, size, sha256, path }, options)
    return path
  }

  /** Fetches the list of a component's packages, verifies it, and gives its text to `read`. */
  async readIndex<T>(component: string, read: (chunks: AsyncIterable<Uint8Array>) => Promise<T>): Promise<T> {
    const { suite, architecture = 'amd64', folder } = this.#options
    const index = `${component}/binary-${architecture}/Packages`
    const { format, file, limit } = chooseIndex(this.#release, index)
    const path = join(folder, file.sha256)
    const base = `${this.mirror}/dists/${suite}`
    const directory = index.slice(0, index.lastIndexOf('/'))
    const url = this.#release.acquireByHash ? `${base}/${directory}/by-hash/SHA256/${file.sha256}` : `${base}/${index}.${format}`
    const what = suite.includes('-') ? `the list of packages of ${suite}` : 'the list of packages'
    await download(this.#options.http, { url, ...file, path }, this.#downloadOptions(what, file.size))
    try {
      return await read(decompressStream(createReadStream(path), format, limit, what))
    } finally {
      await rm(path, { force: true })
    }
  }

  #downloadOptions(name: string, total: number): DownloadOptions {
    const { progress, signal, retryDelaysMs } = this.#options
    progress({ kind: 'transfer', name, received: 0, total })
    return { signal, retryDelaysMs, onProgress: received => progress({ kind: 'transfer', name, received, total }) }
  }
}

function chooseIndex(release: Release, index: string): { format: CompressedFormat, file: FileDigest, limit: number } {
  for (const format of INDEX_FORMATS) {
    const file = release.files.get(`${index}.${format}`)
    if (file !== undefined) return { format, file, limit: release.files.get(index)?.size ?? 0 }
  }
  throw hostError('ARCHIVE_FORMAT_INVALID', `the archive's InRelease lists no ${index}.xz: use another mirror`)
}

async function fetchRelease({ http, mirrors, suite, signal }: ArchiveOptions): Promise<{ mirror: string, text: string }> {
  let failure: unknown
  for (const mirror of mirrors) {
    try {
      return { mirror, text: await fetchText(http, `${mirror}/dists/${suite}/InRelease`, signal) }
    } catch (error) {
      signal?.throwIfAborted()
      // The first says most: it is the one that was meant.
      failure ??= error
    }
  }
  throw failure
}

async function fetchText(http: HttpClient, url: string, signal: AbortSignal | undefined): Promise<string> {
  const response = await http.get(url, { signal })
  if (response.status !== 200) throw httpStatusError(url, response.status)
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of response.body) {
    size += chunk.length
    if (size > MAXIMUM_RELEASE_SIZE) throw hostError('DOWNLOAD_FAILED', `${url} does not end: this is no Debian mirror, use another`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

/** The SHA-256 of `bytes`, hexadecimal. */
export function sha256Of(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
