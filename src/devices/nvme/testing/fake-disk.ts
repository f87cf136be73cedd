import type { BlockBackend, BlockRequest, BlockStatus } from '../../../machine/block.ts'

/** A disk in memory that answers at once, or (`isDeferred`) when a test says so. Refuses what no controller may ask for. */
export class FakeDisk implements BlockBackend {
  readonly blockSize: number
  readonly readOnly: boolean
  readonly serial = 'fake-disk'
  readonly content: Uint8Array
  /** Requests that wait for `answer`. */
  readonly waiting: BlockRequest[] = []
  /** What was asked for, in words. */
  readonly log: string[] = []
  isDeferred = false
  status: BlockStatus = 'ok'

  constructor(size: number, options: { readonly blockSize?: number, readonly readOnly?: boolean } = {}) {
    this.content = new Uint8Array(size)
    for (let at = 0; at < size; at++) this.content[at] = at * 7 + (at >> 9)
    this.blockSize = options.blockSize ?? 512
    this.readOnly = options.readOnly ?? false
  }

  get size(): number { return this.content.length }

  submit(request: BlockRequest): void {
    const { operation, offset, length, segments } = request
    const total = segments.reduce((sum, segment) => sum + segment.length, 0)
    const moves = operation === 'read' || operation === 'write'
    const isPossible = offset >= 0 && offset + length <= this.size && offset % this.blockSize === 0 && length % this.blockSize === 0
    const isForbidden = this.readOnly && operation !== 'read' && operation !== 'flush'
    if (!isPossible || isForbidden || total !== (moves ? length : 0)) throw new Error('impossible request')
    this.log.push(`${operation} ${offset} ${length}${request.forceUnitAccess ? ' fua' : ''}${request.mayUnmap ? ' unmap' : ''}`)
    if (this.isDeferred) this.waiting.push(request)
    else this.perform(request)
  }

  /** Answers a waiting request. */
  answer(index = 0): void {
    const [request] = this.waiting.splice(index, 1)
    if (request !== undefined) this.perform(request)
  }

  private perform(request: BlockRequest): void {
    const { status } = this
    if (status === 'ok') this.transfer(request)
    request.done(status)
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
