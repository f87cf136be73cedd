import type { FileSystemBackend, FileSystemRequest } from '../../machine/file-system.ts'
import { SLOTS, type ShareChannel } from './share-channel.ts'
import type { ShareInfo } from './share-order.ts'

/**
 * The shares of a machine on its own thread: their requests go to the share thread through a channel, and are answered in `settle`, which
 * the run loop calls when the bell was rung for them. What finds no free slot waits here, in order.
 */
export class ShareQueue {
  /** By the order of the shares. */
  readonly shares: readonly FileSystemBackend[]
  readonly #channel: ShareChannel
  readonly #free = Array.from({ length: SLOTS }, (_, slot) => SLOTS - 1 - slot)
  readonly #underWay: (FileSystemRequest | undefined)[] = Array.from({ length: SLOTS }, () => undefined)
  readonly #waiting: { readonly share: number, readonly request: FileSystemRequest }[] = []
  #settled = 0

  constructor(channel: ShareChannel, shares: readonly ShareInfo[]) {
    this.#channel = channel
    this.shares = shares.map(({ tag }, share) => ({ tag, submit: request => this.#submit(share, request) }))
  }

  /** Whether a share still owes an answer. */
  get busy(): boolean { return this.#free.length < SLOTS }

  /** Answers what the share thread has done. */
  settle(): void {
    while (this.#settled !== this.#channel.rings.completed) {
      const { slot, length } = this.#channel.completion(this.#settled)
      this.#settled = this.#settled + 1 | 0
      const request = this.#underWay[slot]!
      this.#underWay[slot] = undefined
      this.#free.push(slot)
      request.done(length)
      this.#fill()
    }
    if (this.#channel.rings.failed) this.#failAll()
  }

  #submit(share: number, request: FileSystemRequest): void {
    if (this.#channel.rings.failed) return request.done(0)
    this.#waiting.push({ share, request })
    this.#fill()
  }

  #fill(): void {
    while (this.#waiting.length > 0 && this.#free.length > 0) {
      const { share, request } = this.#waiting.shift()!
      const slot = this.#free.pop()!
      this.#underWay[slot] = request
      this.#channel.describe(slot, share, request)
      this.#channel.submit(slot)
    }
  }

  /** To a driver, a reply of no length is an error of the device: EIO. */
  #failAll(): void {
    const requests = [...this.#underWay.filter(request => request !== undefined), ...this.#waiting.splice(0).map(({ request }) => request)]
    this.#underWay.fill(undefined)
    this.#free.length = 0
    this.#free.push(...Array.from({ length: SLOTS }, (_, slot) => slot))
    for (const request of requests) request.done(0)
  }
}
