import { closeSync, openSync, writeSync } from 'node:fs'
import { hostError } from '../errors.ts'

/** Bytes that are written at once. */
const PORTION = 256 << 10
/** What came is in the file so soon, in milliseconds. */
const LATEST = 200

/** A file that a capture is written to. What cannot be written ends the capture, and nothing else. */
export class CaptureFile {
  readonly #path: string
  readonly #notice: (message: string) => void
  readonly #bytes = new Uint8Array(PORTION)
  #used = 0
  #file: number | undefined
  #timer: NodeJS.Timeout | undefined

  /** Throws TenonError FILE_UNWRITABLE. */
  constructor(path: string, notice: (message: string) => void) {
    this.#path = path
    this.#notice = notice
    try {
      this.#file = openSync(path, 'w', 0o600)
    } catch (error) {
      throw hostError('FILE_UNWRITABLE', `${path} cannot be written: ${(error as Error).message}: name another file for the capture`, error)
    }
  }

  readonly write = (bytes: Uint8Array): void => {
    if (this.#file === undefined) return
    if (this.#used + bytes.length > PORTION) this.flush()
    this.#bytes.set(bytes, this.#used)
    this.#used += bytes.length
    this.#timer ??= setTimeout(() => this.flush(), LATEST)
  }

  flush(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    try {
      for (let done = 0; this.#file !== undefined && done < this.#used;) done += writeSync(this.#file, this.#bytes, done, this.#used - done)
    } catch (error) {
      this.#notice(`${this.#path} cannot be written any more (${(error as Error).message}): it ends here`)
      this.#close()
    }
    this.#used = 0
  }

  close(): void {
    this.flush()
    this.#close()
  }

  #close(): void {
    if (this.#file !== undefined) closeSync(this.#file)
    this.#file = undefined
  }
}
