import { createHash } from 'node:crypto'
import { open, rename, rm, stat } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { fileError } from '../cache/file-errors.ts'
import { hostError } from '../errors.ts'
import type { HttpClient, HttpResponse } from './http-client.ts'

/** What is to be fetched, and what it must be. */
export interface Download {
  readonly url: string
  readonly size: number
  /** Hexadecimal. */
  readonly sha256: string
  /** Where it goes; `${path}.part` holds it until it is complete and verified. */
  readonly path: string
}

export interface DownloadOptions {
  readonly signal?: AbortSignal
  /** Called with the bytes that are there, those of an earlier attempt included. */
  readonly onProgress?: (received: number) => void
  /** Waits before the second and further attempts; their number is that of the attempts. */
  readonly retryDelaysMs?: readonly number[]
}

const DEFAULT_RETRY_DELAYS_MS = [500, 2_000, 5_000]

/**
 * Fetches a file of known size and SHA-256. What an interrupted attempt left is taken up with a Range request; a file that turns out
 * wrong is deleted and fetched afresh once. Throws TenonError DOWNLOAD_* or CACHE_*; `path` then does not exist.
 */
export async function download(http: HttpClient, file: Download, options: DownloadOptions = {}): Promise<void> {
  const { retryDelaysMs = DEFAULT_RETRY_DELAYS_MS, signal } = options
  for (let attempt = 0; ; attempt++) {
    try {
      return await attemptDownload(http, file, options)
    } catch (error) {
      if (attempt >= retryDelaysMs.length || !isTransient(error)) throw error
    }
    await pause(retryDelaysMs[attempt], signal)
  }
}

async function attemptDownload(http: HttpClient, file: Download, options: DownloadOptions): Promise<void> {
  const part = `${file.path}.part`
  try {
    const resumed = await receive(http, file, part, options)
    if (await digestOf(part) !== file.sha256) {
      await rm(part, { force: true })
      throw corrupt(file, resumed)
    }
    await rename(part, file.path)
  } catch (error) {
    // A full disk needs its room more than we need a part.
    if ((error as { code?: string }).code === 'ENOSPC') await rm(part, { force: true })
    throw fileError(error, part)
  }
}

/** True if it took up an earlier part. */
async function receive(http: HttpClient, file: Download, part: string, { signal, onProgress }: DownloadOptions): Promise<boolean> {
  const there = await sizeOf(part)
  if (there === file.size) return true
  const response = await http.get(file.url, { from: there < file.size ? there : 0, signal })
  // Requested range not satisfiable: the part is of no use.
  if (response.status === 416) await rm(part, { force: true })
  const start = resumePoint(response, file)
  const handle = await open(part, start > 0 ? 'r+' : 'w')
  try {
    await store(response, handle, file, start, onProgress)
    await handle.sync()
  } finally {
    await handle.close()
  }
  return start > 0
}

async function store(
  response: HttpResponse, handle: FileHandle, file: Download, start: number, onProgress: DownloadOptions['onProgress'],
): Promise<void> {
  let position = start
  for await (const chunk of response.body) {
    if (position + chunk.length > file.size) throw corrupt(file, false)
    await writeAll(handle, chunk, position)
    position += chunk.length
    onProgress?.(position)
  }
  if (position < file.size) throw hostError('DOWNLOAD_FAILED', `${file.url}: the connection ended after ${position} of ${file.size} bytes: try again`)
}

async function writeAll(handle: FileHandle, chunk: Uint8Array, position: number): Promise<void> {
  for (let written = 0; written < chunk.length;) {
    written += (await handle.write(chunk, written, chunk.length - written, position + written)).bytesWritten
  }
}

/** The offset that the answer's body begins at (RFC 9110 §14.4). */
function resumePoint({ status, header }: HttpResponse, { url, size }: Download): number {
  if (status === 200) return 0
  const [, first, total] = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(header('content-range') ?? '') ?? []
  if (status === 206 && first !== undefined && Number(first) < size && (total === '*' || Number(total) === size)) return Number(first)
  throw httpStatusError(url, status)
}

export function httpStatusError(url: string, status: number): Error {
  const hint = status === 404 ? 'the mirror does not have it (it may be in the middle of an update): try again, or use another mirror' : 'try again, or use another mirror'
  return Object.assign(hostError('DOWNLOAD_FAILED', `${url}: the server answered with status ${status}: ${hint}`), { status })
}

function corrupt({ url }: Download, resumed: boolean): Error {
  const error = hostError('DOWNLOAD_CORRUPT', `${url} is not what the archive's signed index says: try again, or use another mirror`)
  // A part of an earlier attempt may be the culprit, so that a whole one is worth a try.
  return Object.assign(error, { retry: resumed })
}

function isTransient(error: unknown): boolean {
  const { code, status, retry } = error as { code?: string, status?: number, retry?: boolean }
  if (code === 'DOWNLOAD_CORRUPT') return retry === true
  if (code === 'DOWNLOAD_TIMEOUT') return true
  return code === 'DOWNLOAD_FAILED' && (status === undefined || status >= 500 || status === 416 || status === 429)
}

async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size
  } catch {
    return 0
  }
}

async function digestOf(path: string): Promise<string> {
  const hash = createHash('sha256')
  const handle = await open(path)
  for await (const chunk of handle.createReadStream()) hash.update(chunk as Uint8Array)
  return hash.digest('hex')
}

function pause(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = (): void => {
      clearTimeout(timer)
      reject(signal!.reason)
    }
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', abort)
      resolve()
    }, milliseconds)
    signal?.addEventListener('abort', abort, { once: true })
  })
}
