/** The console's last output, kept for when something goes wrong: a ring of bytes that knows a Linux panic when it sees one. */
export class ConsoleLog {
  readonly #limit: number
  readonly #decoder = new TextDecoder()
  #text = ''

  constructor(limit = 64 * 1024) {
    this.#limit = limit
  }

  append(bytes: Uint8Array): void {
    this.#text += this.#decoder.decode(bytes, { stream: true })
    if (this.#text.length > 2 * this.#limit) this.#text = this.#text.slice(-this.#limit)
  }

  /** What the kernel said as it gave up, or undefined (Linux kernel/panic.c). */
  get panic(): string | undefined {
    return /Kernel panic - not syncing: ([^\r\n]*)/.exec(this.#text)?.[1]
  }

  get isEmpty(): boolean {
    return this.#text === ''
  }
}
