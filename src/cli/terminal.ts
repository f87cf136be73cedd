import type { ReadStream } from 'node:tty'
import { EscapeKeys } from './escape-keys.ts'
import type { EscapeAction, EscapeActions } from './escape-keys.ts'

/** The user's terminal, given to a guest: raw, with the escape keys taken out. */
export interface TerminalInput extends AsyncIterable<Uint8Array> {
  /** From here on Ctrl-C belongs to the guest; before, it ends the program. */
  passInterrupts(): void
}

export interface TerminalEvents {
  onAction(action: EscapeAction): void
  onInterrupt(): void
}

const CTRL_C = 0x03
/** Keys that wait for a guest that boots. More is no typing. */
const MAXIMUM_WAITING = 64 * 1024

/**
 * Makes the terminal raw and reads it. The terminal is given back as it was when the process exits, in whatever way: `exit` is
 * emitted for all but SIGKILL, for which no program can do anything.
 */
export function openTerminal(stdin: ReadStream, events: TerminalEvents, actions?: EscapeActions): TerminalInput {
  const keys = new EscapeKeys(actions)
  const queue = new ByteQueue()
  let interruptsPass = false
  stdin.setRawMode(true)
  process.on('exit', () => stdin.setRawMode(false))
  stdin.on('data', (typed: Buffer) => {
    if (!interruptsPass && typed.includes(CTRL_C)) return events.onInterrupt()
    const { forGuest, actions } = keys.feed(typed)
    actions.forEach(action => events.onAction(action))
    if (queue.size < MAXIMUM_WAITING) queue.push(forGuest)
  })
  stdin.on('end', () => queue.end())
  return {
    passInterrupts: () => void (interruptsPass = true),
    [Symbol.asyncIterator]: () => queue,
  }
}

/** Bytes between one that pushes and one that waits for them. */
export class ByteQueue implements AsyncIterator<Uint8Array> {
  readonly #waiting: Uint8Array[] = []
  #wake: (() => void) | undefined
  #ended = false
  size = 0

  push(bytes: Uint8Array): void {
    if (bytes.length === 0) return
    this.#waiting.push(bytes)
    this.size += bytes.length
    this.#wake?.()
  }

  end(): void {
    this.#ended = true
    this.#wake?.()
  }

  async next(): Promise<IteratorResult<Uint8Array, undefined>> {
    while (this.#waiting.length === 0) {
      if (this.#ended) return { done: true, value: undefined }
      await new Promise<void>(resolve => { this.#wake = resolve })
    }
    const value = this.#waiting.shift()!
    this.size -= value.length
    return { done: false, value }
  }
}
