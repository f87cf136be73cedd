/**
 * Cuts what a guest agent sends into messages: JSON texts, each with a newline at its end. A byte of 255, which no UTF-8 text has, says
 * that what came before it is not meant for us (guest-sync-delimited of the QEMU Guest Agent Protocol).
 *
 * What comes is hostile: a message that does not end takes no more memory than its limit.
 */
export type AgentEvent =
  | { readonly kind: 'message', readonly text: string }
  /** What came before is to be forgotten. */
  | { readonly kind: 'mark' }
  /** A message was longer than the limit; it is left out. */
  | { readonly kind: 'overflow' }

const MARK = 0xff
const NEWLINE = 0x0a
const FIRST_CAPACITY = 4096

export class AgentMessageReader {
  /** Bytes of the longest message that is taken. */
  limit: number
  #buffer = Buffer.alloc(FIRST_CAPACITY)
  #length = 0
  #isTooLong = false

  constructor(limit: number) { this.limit = limit }

  /** What these bytes complete. The array is not kept. */
  read(bytes: Uint8Array): AgentEvent[] {
    const events: AgentEvent[] = []
    let start = 0
    for (let at = 0; at < bytes.length; at++) {
      if (bytes[at] !== NEWLINE && bytes[at] !== MARK) continue
      if (bytes[at] === NEWLINE) this.#append(bytes.subarray(start, at))
      const event = bytes[at] === MARK ? { kind: 'mark' } as const : this.#finish()
      if (event !== undefined) events.push(event)
      this.forget()
      start = at + 1
    }
    this.#append(bytes.subarray(start))
    return events
  }

  /** Drops the message that has begun. */
  forget(): void {
    this.#length = 0
    this.#isTooLong = false
    if (this.#buffer.length > FIRST_CAPACITY) this.#buffer = Buffer.alloc(FIRST_CAPACITY)
  }

  #finish(): AgentEvent | undefined {
    if (this.#isTooLong) return { kind: 'overflow' }
    const text = this.#buffer.toString('utf8', 0, this.#length)
    return text.trim() === '' ? undefined : { kind: 'message', text }
  }

  #append(bytes: Uint8Array): void {
    if (this.#isTooLong || this.#length + bytes.length > this.limit) this.#isTooLong = true
    else {
      this.#reserve(this.#length + bytes.length)
      this.#buffer.set(bytes, this.#length)
      this.#length += bytes.length
    }
  }

  #reserve(size: number): void {
    if (size <= this.#buffer.length) return
    const larger = Buffer.alloc(Math.max(size, Math.min(2 * this.#buffer.length, this.limit)))
    larger.set(this.#buffer.subarray(0, this.#length))
    this.#buffer = larger
  }
}
