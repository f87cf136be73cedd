import type { BlockBackend, BlockRequest, BlockStatus } from '../../../machine/block.ts'
import type { PlainData } from '../../../machine/lifecycle.ts'
import { StateReader } from '../../../machine/state-reader.ts'
import { packed, unpack } from './guest-part.ts'
import type { SavedBackend } from './guest-part.ts'

/** A disk in memory that answers at once, or when a test says so. */
export class FakeDisk implements BlockBackend, SavedBackend {
  readonly blockSize: number
  readonly readOnly: boolean
  readonly serial = 'fake-disk-0123456789'
  readonly content: Uint8Array
  /** Requests that wait for `answer`. */
  readonly waiting: BlockRequest[] = []
  /** What was asked for, in words. */
  readonly log: string[] = []
  /** Set, requests wait. */
  deferred: boolean
  status: BlockStatus = 'ok'

  constructor(size: number, options: { readonly blockSize?: number, readonly readOnly?: boolean, readonly deferred?: boolean } = {}) {
    this.content = Uint8Array.from({ length: size }, (_, index) => index * 7 + (index >> 9))
    this.blockSize = options.blockSize ?? 512
    this.readOnly = options.readOnly ?? false
    this.deferred = options.deferred ?? false
  }

  get size(): number { return this.content.length }

  submit(request: BlockRequest): void {
    const { operation, offset, length } = request
    const total = request.segments.reduce((sum, segment) => sum + segment.length, 0)
    const moved = operation === 'read' || operation === 'write' ? length : 0
    if (offset + length > this.size || offset % this.blockSize !== 0 || total !== moved) throw new Error('impossible request')
    this.log.push([operation, offset, length, request.forceUnitAccess ? 'fua' : '', request.mayUnmap ? 'unmap' : ''].join(' ').trim())
    if (this.deferred) this.waiting.push(request)
    else this.perform(request)
  }

  save(): PlainData { return { content: packed(this.content) } }

  restore(state: PlainData): void { unpack(new StateReader('fake-disk', state), state, 'content', this.content) }

  reset(): void {
    this.content.fill(0)
    this.waiting.length = 0
  }

  /** Answers the waiting request of this number. */
  answer(index = 0): void {
    const [request] = this.waiting.splice(index, 1)
    if (request !== undefined) this.perform(request)
  }

  private perform(request: BlockRequest): void {
    if (this.status === 'ok') this.transfer(request)
    request.done(this.status)
  }

  private transfer({ operation, offset, length, segments }: BlockRequest): void {
    let at = offset
    for (const segment of segments) {
      if (operation === 'read') segment.set(this.content.subarray(at, at + segment.length))
      else this.content.set(segment, at)
      at += segment.length
    }
    if (operation === 'discard' || operation === 'write-zeroes') this.content.fill(0, offset, offset + length)
  }
}
