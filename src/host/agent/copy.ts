import { hostError } from '../errors.ts'
import type { TenonError } from '../../base/errors.ts'

/** What copying between host and guest has in common, both ways (copy-in.ts, copy-out.ts). */
export interface CopyOptions {
  readonly onProgress?: (progress: CopyProgress) => void
  /** Aborting ends the copy between two pieces; what has come whole stays. */
  readonly signal?: AbortSignal
}

export interface CopyProgress {
  /** What is being copied now. */
  readonly path: string
  readonly bytes: number
  readonly totalBytes: number
}

export interface CopyResult {
  readonly files: number
  readonly bytes: number
  /** What was left out, and why: devices, what vanished meanwhile. */
  readonly skipped: readonly string[]
}

/** Something to copy, by its path below the folder that is copied, with slashes. Parents come before what is in them. */
export interface CopyEntry {
  readonly path: string
  readonly kind: 'directory' | 'file' | 'symlink'
  readonly size: number
  readonly permissions: number
}

/** Bits that are copied: not those that would make a program another user's. */
export const PERMISSIONS = 0o777

/** Counts, and tells. */
export class CopyCount {
  readonly skipped: string[] = []
  readonly #options: CopyOptions
  #files = 0
  #bytes = 0
  #totalBytes: number

  constructor(options: CopyOptions, totalBytes = 0) {
    this.#options = options
    this.#totalBytes = totalBytes
  }

  set totalBytes(bytes: number) { this.#totalBytes = bytes }

  /** So many bytes more of a file have been copied. Throws the signal's reason when there is to be no more. */
  moved(path: string, bytes: number): void {
    this.#options.signal?.throwIfAborted()
    this.#bytes += bytes
    this.#totalBytes = Math.max(this.#totalBytes, this.#bytes)
    this.#options.onProgress?.({ path, bytes: this.#bytes, totalBytes: this.#totalBytes })
  }

  finished(): void { this.#files++ }

  get result(): CopyResult { return { files: this.#files, bytes: this.#bytes, skipped: this.skipped } }
}

export function copyError(message: string, cause?: unknown): TenonError { return hostError('COPY_FAILED', message, cause) }

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'it is not there', EACCES: 'its permissions forbid it', ENOSPC: 'the disk is full', EDQUOT: 'the disk is full', EISDIR: 'a folder is there',
  EROFS: 'its file system is read-only', ENAMETOOLONG: 'its name is too long for this computer',
}

/** Does something with a file of the host; its errors name the file. @throws TenonError COPY_FAILED. */
export async function withHostFile<Result>(path: string, work: () => Promise<Result>): Promise<Result> {
  try {
    return await work()
  } catch (error) {
    const { code, syscall } = error as NodeJS.ErrnoException
    if (code === undefined || syscall === undefined) throw error
    throw copyError(`${path} on this computer cannot be used: ${REASONS[code] ?? `${code} in ${syscall}`}`, error)
  }
}
