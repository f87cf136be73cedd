import { gpa } from '../../base/addresses.ts'
import type { BlockBackend, BlockOperation, BlockRequest, BlockStatus } from '../../machine/block.ts'
import type { GuestMemory } from '../../machine/memory.ts'
import type { DescriptorChain } from './descriptor-chain.ts'
import type { Virtqueue } from './virtqueue.ts'

/**
 * A request in its back end's hands: what must be kept from the chain until it is done. It is itself the request that the back end sees,
 * and is used again for the next one. Several ranges (to discard) are one transfer after the other.
 */
export interface DiskRange {
  /** Bytes. */
  readonly offset: number
  readonly length: number
  readonly mayUnmap: boolean
}

export class DiskTransfer implements BlockRequest {
  operation: BlockOperation = 'flush'
  offset = 0
  length = 0
  segments: Uint8Array[] = []
  mayUnmap = false
  forceUnitAccess = false
  queue!: Virtqueue
  head = 0
  /** Which life of its device it belongs to. */
  life = 0
  protected readonly memory: GuestMemory
  /** Where a read goes: pairs of address and length. */
  private readonly places: number[] = []
  private backend: BlockBackend | null = null
  private ranges: readonly DiskRange[] = NO_RANGES
  private nextRange = 0
  private transferNumber = 0
  private readonly ended: (transfer: DiskTransfer, status: BlockStatus) => void

  /** `ended` is called once for each request that was submitted. */
  constructor(memory: GuestMemory, ended: (transfer: DiskTransfer, status: BlockStatus) => void) {
    this.memory = memory
    this.ended = ended
  }

  begin(queue: Virtqueue, chain: DescriptorChain, life: number): void {
    this.queue = queue
    this.head = chain.head
    this.life = life
    this.segments = []
    this.places.length = 0
    this.ranges = NO_RANGES
    this.mayUnmap = this.forceUnitAccess = false
  }

  /** Finds the memory of a read's or a write's data in the chain. False: some of it cannot be used. */
  collect(chain: DescriptorChain, operation: 'read' | 'write', offset: number, length: number): boolean {
    const reads = operation === 'read'
    return chain.collect(reads, offset, length, this.segments, reads ? this.places : undefined)
  }

  submit(backend: BlockBackend, operation: BlockOperation, offset: number, length: number): void {
    this.operation = operation
    this.offset = offset
    this.length = length
    this.transferNumber = this.memory.transfers.begin()
    backend.submit(this)
  }

  submitRanges(backend: BlockBackend, operation: 'discard' | 'write-zeroes', ranges: readonly DiskRange[]): void {
    this.backend = backend
    this.operation = operation
    this.ranges = ranges
    this.nextRange = 0
    this.proceed('ok')
  }

  done(status: BlockStatus): void {
    this.memory.transfers.end(this.transferNumber)
    this.proceed(status)
  }

  private proceed(status: BlockStatus): void {
    if (status === 'ok' && this.nextRange < this.ranges.length) return this.submitRange(this.ranges[this.nextRange++])
    for (let place = 0; place < this.places.length; place += 2) this.memory.written(gpa(this.places[place]), this.places[place + 1])
    this.segments = []
    this.ended(this, status)
  }

  private submitRange({ offset, length, mayUnmap }: DiskRange): void {
    this.mayUnmap = mayUnmap
    this.submit(this.backend!, this.operation, offset, length)
  }
}

const NO_RANGES: readonly DiskRange[] = []
