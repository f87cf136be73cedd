import { hostError } from '../errors.ts'
import { LARGEST_READ } from './commands.ts'
import type { AgentCaller } from './commands.ts'

/** Bytes in one command; in base64 they are a third more. */
const WRITE_PIECE = 256 * 1024
const READ_PIECE = 512 * 1024

/**
 * A file in the guest, open by its agent. To be closed, whatever happens: the agent has it open otherwise until it ends.
 */
export class GuestFile {
  readonly #caller: AgentCaller
  readonly #path: string
  readonly #handle: number

  private constructor(caller: AgentCaller, path: string, handle: number) {
    this.#caller = caller
    this.#path = path
    this.#handle = handle
  }

  /** `r` reads, `w` makes it empty first, `a` writes at its end. @throws TenonError as `AgentCaller.call`. */
  static async open(caller: AgentCaller, path: string, mode: 'r' | 'w' | 'a'): Promise<GuestFile> {
    return new GuestFile(caller, path, await caller.call('guest-file-open', { path, mode }))
  }

  /** The next bytes; none at the end of the file, which may have more later. */
  async read(limit: number = READ_PIECE): Promise<Buffer> {
    const count = Math.min(limit, LARGEST_READ)
    const reply = await this.#caller.call('guest-file-read', { handle: this.#handle, count })
    const bytes = Buffer.from(reply['buf-b64'], 'base64')
    if (bytes.length !== reply.count || bytes.length > count || bytes.length === 0 && !reply.eof) {
      throw this.#contradiction(`read ${reply.count} bytes of ${count}, and sent ${bytes.length}`)
    }
    return bytes
  }

  async write(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length;) {
      const piece = Buffer.from(bytes.subarray(at, at + WRITE_PIECE))
      const { count } = await this.#caller.call('guest-file-write', { handle: this.#handle, 'buf-b64': piece.toString('base64') })
      if (count < 1 || count > piece.length) {
        throw this.#contradiction(`wrote ${count} bytes of ${piece.length}`)
      }
      at += count
    }
  }

  /** @throws TenonError AGENT_COMMAND_FAILED, such as for a full disk in the guest. */
  async close(): Promise<void> { await this.#caller.call('guest-file-close', { handle: this.#handle }) }

  #contradiction(what: string): Error {
    return hostError('AGENT_PROTOCOL', `the guest's agent contradicts itself about ${this.#path}: it says that it ${what}`)
  }
}

/** Opens a file for `work`, and closes it whatever happens. */
export async function withGuestFile<Result>(
  caller: AgentCaller, path: string, mode: 'r' | 'w' | 'a', work: (file: GuestFile) => Promise<Result>,
): Promise<Result> {
  const file = await GuestFile.open(caller, path, mode)
  let result: Result
  try {
    result = await work(file)
  } catch (error) {
    await file.close().catch(() => {})
    throw error
  }
  await file.close()
  return result
}
