import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { hostError } from '../../errors.ts'
import { sha256Of } from '../archive/client.ts'
import type { DebianArchive } from '../archive/client.ts'
import type { ProgressListener } from '../progress.ts'
import type { ArchivePackage } from './archive-package.ts'

/** As many at a time as a mirror gives gladly. */
const AT_A_TIME = 6

export interface FetchOptions {
  /** Of each source, in the definition's order. */
  readonly archives: readonly DebianArchive[]
  /** Where the archives put their files. */
  readonly folder: string
  readonly progress: ProgressListener
  readonly signal?: AbortSignal
}

/** Brings all packages' files to the folder, those that are there and intact excepted. Throws TenonError DOWNLOAD_* or CACHE_*. */
export async function fetchPackages(packages: readonly ArchivePackage[], options: FetchOptions): Promise<void> {
  const { archives, folder, progress, signal } = options
  const total = packages.reduce((sum, each) => sum + each.record().size, 0)
  const received = new Map<string, number>()
  const tell = (name: string, bytes: number): void => {
    received.set(name, bytes)
    progress({ kind: 'transfer', name: `${packages.length} packages`, received: [...received.values()].reduce((sum, each) => sum + each, 0), total })
  }
  const waiting = [...packages]
  const failures: unknown[] = []
  const work = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined && failures.length === 0; next = waiting.shift()) {
      const { name, source } = next
      const record = next.record()
      signal?.throwIfAborted()
      const isThere = await readPackage(folder, next).then(() => true, () => false)
      if (!isThere) await archives[source].fetchPackage(record, bytes => tell(name, bytes))
      tell(name, record.size)
    }
  }
  await Promise.all(Array.from({ length: AT_A_TIME }, () => work().catch((error: unknown) => void failures.push(error))))
  if (failures.length > 0) throw failures[0]
}

/** A package's file from the folder, verified. Throws TenonError DOWNLOAD_CORRUPT, or the file system's error. */
export async function readPackage(folder: string, each: ArchivePackage): Promise<Uint8Array> {
  const { sha256, size } = each.record()
  const path = join(folder, sha256)
  const bytes = await readFile(path)
  if (bytes.length === size && sha256Of(bytes) === sha256) return bytes
  throw hostError('DOWNLOAD_CORRUPT', `${path} is damaged: delete it and try again`)
}
