import type { FileSystemBackend, FileSystemRequest } from '../../../machine/file-system.ts'
import { FILE_SYSTEM_LIMITS } from '../../../machine/file-system.ts'
import type { PlainData } from '../../../machine/lifecycle.ts'
import { StateReader } from '../../../machine/state-reader.ts'
import type { SavedBackend } from './guest-part.ts'

/** A server that gives each message back as its reply, as far as there is room, at once or when a test says so. */
export class FakeFileSystem implements FileSystemBackend, SavedBackend {
  readonly tag = 'fake'
  /** Requests that wait for `answer`. */
  readonly waiting: FileSystemRequest[] = []
  /** Requests answered so far. */
  served = 0
  /** Sum of all bytes of all messages. */
  sum = 0
  private readonly deferred: boolean

  constructor({ deferred = false }: { readonly deferred?: boolean } = {}) { this.deferred = deferred }

  submit(request: FileSystemRequest): void {
    const { message, reply } = request
    const [length, room] = [message, reply].map((views) => views.reduce((sum, view) => sum + view.length, 0))
    const isPossible = length >= 40 && length <= FILE_SYSTEM_LIMITS.LENGTH && room <= FILE_SYSTEM_LIMITS.LENGTH
    if (!isPossible || message.length + reply.length > FILE_SYSTEM_LIMITS.PIECES) throw new Error('impossible request')
    if (this.deferred) this.waiting.push(request)
    else this.perform(request)
  }

  save(): PlainData { return { sum: this.sum } }
  restore(state: PlainData): void { this.sum = new StateReader('fake-file-system', state).u32('sum') }

  reset(): void {
    this.sum = 0
    this.waiting.length = 0
  }

  /** Answers the waiting request of this number. */
  answer(index = 0): void {
    const [request] = this.waiting.splice(index, 1)
    if (request !== undefined) this.perform(request)
  }

  private perform(request: FileSystemRequest): void {
    const bytes = request.message.flatMap((view) => Array.from(view))
    this.served++
    this.sum = bytes.reduce((sum, byte) => sum + byte >>> 0, this.sum)
    let done = 0
    for (const view of request.reply) {
      const count = Math.min(view.length, bytes.length - done)
      view.set(bytes.slice(done, done + count))
      done += count
    }
    request.done(done)
  }
}
