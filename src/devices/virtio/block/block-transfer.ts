import { gpa } from '../../../base/addresses.ts'
import type { GuestPhysical } from '../../../base/addresses.ts'
import type { BlockBackend, BlockOperation, BlockRequest, BlockStatus } from '../../../machine/block.ts'
import type { GuestMemory } from '../../../machine/memory.ts'
import type { DescriptorChain } from '../descriptor-chain.ts'
import type { Virtqueue } from '../virtqueue.ts'
import { HEADER_SIZE, RequestStatus } from './block-request.ts'
import type { DiskRange } from './block-request.ts'

/**
 * A request in its back end's hands: what must be kept from the chain until it is done. Used again for the next request.
 *
 * It is itself the request that the back end sees. Several segments (to discard) are one transfer after the other.
 */
export class BlockTransfer implements BlockRequest {
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
  /** Bytes of the chain that were written, with the status. */
  written = 0
  private readonly memory: GuestMemory
  private readonly ended: (transfer: BlockTransfer, status: number) => void
  private statusAddress: GuestPhysical = gpa(0)
  /** Where a read goes: pairs of address and length. */
  private readonly places: number[] = []
  private backend: BlockBackend | null = null
  private ranges: readonly DiskRange[] = []
  private nextRange = 0
  private transferNumber = 0

  constructor(memory: GuestMemory, ended: (transfer: BlockTransfer, status: number) => void) {
    this.memory = memory
    this.ended = ended
  }

  begin(queue: Virtqueue, chain: DescriptorChain, life: number): void {
    this.queue = queue
    this.head = chain.head
    this.life = life
    this.written = 1
    this.statusAddress = chain.writableAddress(chain.writableLength - 1)
    this.segments = []
    this.places.length = 0
    this.ranges = NO_RANGES
    this.mayUnmap = this.forceUnitAccess = false
  }

  /** Finds the memory. False: some of it cannot be used. */
  collectRead(chain: DescriptorChain, length: number): boolean {
    this.written = length + 1
    return chain.collect(true, 0, length, this.segments, this.places)
  }

  collectWrite(chain: DescriptorChain, length: number): boolean { return chain.collect(false, HEADER_SIZE, length, this.segments) }

  transfer(backend: BlockBackend, operation: 'read' | 'write', offset: number, length: number, forceUnitAccess: boolean): void {
    this.forceUnitAccess = operation === 'write' && forceUnitAccess
    this.submit(backend, operation, offset, length)
  }

  flush(backend: BlockBackend): void { this.submit(backend, 'flush', 0, 0) }

  transferSegments(backend: BlockBackend, operation: 'discard' | 'write-zeroes', ranges: readonly DiskRange[]): void {
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
    this.ended(this, status === 'ok' ? RequestStatus.OK : status === 'unsupported' ? RequestStatus.UNSUPP : RequestStatus.IOERR)
  }

  /** It never reached the back end. */
  fail(): void { this.ended(this, RequestStatus.IOERR) }

  /** Gives the chain back. */
  complete(status: number): void {
    this.memory.writeU8(this.statusAddress, status)
    this.queue.complete(this.head, this.written)
  }

  private submitRange({ offset, length, mayUnmap }: DiskRange): void {
    this.mayUnmap = mayUnmap
    this.submit(this.backend!, this.operation, offset, length)
  }

  private submit(backend: BlockBackend, operation: BlockOperation, offset: number, length: number): void {
    this.operation = operation
    this.offset = offset
    this.length = length
    this.transferNumber = this.memory.transfers.begin()
    backend.submit(this)
  }
}

const NO_RANGES: readonly DiskRange[] = []
