import type { ConsoleFile } from './console-file.ts'

export type ConsoleListener = (bytes: Uint8Array) => void

/** What somebody who attaches sees first: all since the guest was started, or the line that its console stands in. */
export type Backlog = 'start' | 'line'

const KEPT = 256 * 1024
const NEW_LINE = 0x0a

/**
 * A guest's console on its way to its readers: the log, and whoever is attached. Nobody of them holds the guest back: a listener that is
 * slow must drop what it cannot take.
 */
export class GuestConsole {
  readonly #file: ConsoleFile
  readonly #listeners = new Set<ConsoleListener>()
  #recent: Uint8Array[] = []
  #recentSize = 0

  constructor(file: ConsoleFile) { this.#file = file }

  /** Bytes from the guest. */
  output(bytes: Uint8Array): void {
    this.#file.write(bytes)
    this.#remember(bytes.slice())
    for (const listener of this.#listeners) listener(bytes)
  }

  /** Gives a listener what was before, and from then on what comes. Returns what ends it. */
  attach(listener: ConsoleListener, backlog: Backlog): () => void {
    const before = this.#backlog(backlog)
    if (before.length > 0) listener(before)
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  close(): void { this.#file.close() }

  #remember(bytes: Uint8Array): void {
    this.#recent.push(bytes)
    this.#recentSize += bytes.length
    while (this.#recentSize - this.#recent[0].length >= KEPT) this.#recentSize -= this.#recent.shift()!.length
  }

  #backlog(backlog: Backlog): Uint8Array {
    this.#recent = [Buffer.concat(this.#recent)]
    const [all] = this.#recent
    return backlog === 'start' ? all : all.subarray(all.lastIndexOf(NEW_LINE) + 1)
  }
}
