import { closeSync, openSync, renameSync, statSync, writeSync } from 'node:fs'

const DEFAULT_LIMIT = 4 * 1024 ** 2

/**
 * A log that is kept to a size: at its limit the file is renamed to `NAME.1`, in place of the one before, and a new one begins. What
 * cannot be written (a full disk) is lost, and the guest goes on; `onLoss` is told once each time it begins.
 *
 * Writes are synchronous: a console says little, and in order.
 */
export class ConsoleFile {
  readonly #path: string
  readonly #onLoss: (reason: string) => void
  readonly #limit: number
  #descriptor: number | undefined
  #size = 0
  #isLosing = false

  constructor(path: string, onLoss: (reason: string) => void, limit = DEFAULT_LIMIT) {
    this.#path = path
    this.#onLoss = onLoss
    this.#limit = limit
  }

  write(bytes: Uint8Array): void {
    try {
      if (this.#size >= this.#limit) this.#rotate()
      this.#descriptor ??= this.#open()
      for (let done = 0; done < bytes.length;) done += writeSync(this.#descriptor, bytes, done)
      this.#size += bytes.length
      this.#isLosing = false
    } catch (error) {
      if (!this.#isLosing) this.#onLoss((error as Error).message)
      this.#isLosing = true
    }
  }

  close(): void {
    if (this.#descriptor !== undefined) closeSync(this.#descriptor)
    this.#descriptor = undefined
  }

  #open(): number {
    this.#size = statSync(this.#path, { throwIfNoEntry: false })?.size ?? 0
    return openSync(this.#path, 'a', 0o600)
  }

  #rotate(): void {
    this.close()
    renameSync(this.#path, `${this.#path}.1`)
    this.#size = 0
  }
}
