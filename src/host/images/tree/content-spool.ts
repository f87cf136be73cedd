import { open, rm } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { explained } from '../../cache/file-errors.ts'
import { hostError } from '../../errors.ts'
import { contentOf } from './content.ts'
import type { FileContent } from './content.ts'

/** Smaller files than a page of the tree's own bookkeeping stay in memory. */
const IN_MEMORY = 128
const BUFFER_SIZE = 4 * 1024 ** 2
const CHUNK_SIZE = 1024 ** 2

/**
 * Keeps the contents of an image's files, which are more than a memory should hold, one behind the other in a temporary file. Contents
 * are valid until `close`.
 */
export class ContentSpool {
  readonly #path: string
  readonly #handle: FileHandle
  readonly #limit: number
  readonly #buffer = new Uint8Array(BUFFER_SIZE)
  #buffered = 0
  #written = 0

  private constructor(path: string, handle: FileHandle, limit: number) {
    this.#path = path
    this.#handle = handle
    this.#limit = limit
  }

  /** Makes the file. `limit` is in bytes. Throws TenonError CACHE_*. */
  static async open(path: string, limit: number): Promise<ContentSpool> {
    return new ContentSpool(path, await explained(path, () => open(path, 'w+', 0o600)), limit)
  }

  /** Keeps a copy of `data`. Throws TenonError IMAGE_TOO_LARGE, CACHE_DISK_FULL or CACHE_UNUSABLE. */
  async add(data: Uint8Array): Promise<FileContent> {
    if (data.length <= IN_MEMORY) return contentOf(data.slice())
    const start = this.#written + this.#buffered
    if (start + data.length > this.#limit) {
      throw hostError('IMAGE_TOO_LARGE', `the image's files are larger than ${this.#limit} bytes, its disk: make the disk larger, or leave out packages`)
    }
    if (this.#buffered + data.length > BUFFER_SIZE) await this.#flush()
    if (data.length > BUFFER_SIZE) await this.#write(data)
    else this.#append(data)
    return { size: data.length, chunks: () => this.#chunks(start, data.length) }
  }

  /** Removes the file. */
  async close(): Promise<void> {
    await this.#handle.close()
    await rm(this.#path, { force: true })
  }

  #append(data: Uint8Array): void {
    this.#buffer.set(data, this.#buffered)
    this.#buffered += data.length
  }

  async #flush(): Promise<void> {
    const whole = this.#buffer.subarray(0, this.#buffered)
    this.#buffered = 0
    await this.#write(whole)
  }

  async #write(data: Uint8Array): Promise<void> {
    await explained(this.#path, async () => {
      for (let at = 0; at < data.length;) {
        at += (await this.#handle.write(data, at, data.length - at, this.#written + at)).bytesWritten
      }
    })
    this.#written += data.length
  }

  async *#chunks(start: number, size: number): AsyncGenerator<Uint8Array> {
    if (start + size > this.#written) await this.#flush()
    const chunk = new Uint8Array(Math.min(size, CHUNK_SIZE))
    for (let at = 0; at < size;) {
      const { bytesRead } = await explained(this.#path, () => this.#handle.read(chunk, 0, Math.min(chunk.length, size - at), start + at))
      if (bytesRead === 0) throw hostError('CACHE_UNUSABLE', `${this.#path} was made shorter by another program: try again`)
      yield chunk.subarray(0, bytesRead)
      at += bytesRead
    }
  }
}
