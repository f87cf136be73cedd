import { gpa } from '../../../base/addresses.ts'
import type { GuestPhysical } from '../../../base/addresses.ts'
import type { BlockStatus } from '../../../machine/block.ts'
import type { DescriptorChain } from '../descriptor-chain.ts'
import { DiskTransfer } from '../disk-transfer.ts'
import type { Virtqueue } from '../virtqueue.ts'
import { RequestStatus } from './block-request.ts'

/** A block device's request under way: where its status goes, and how much of the chain it fills. */
export class BlockTransfer extends DiskTransfer {
  private statusAddress: GuestPhysical = gpa(0)
  private chainLength = 0

  override begin(queue: Virtqueue, chain: DescriptorChain, life: number): void {
    super.begin(queue, chain, life)
    this.chainLength = chain.writableLength
    this.statusAddress = chain.writableAddress(this.chainLength - 1)
  }

  /** Writes the status, the last byte of the chain, and gives the chain back. */
  complete(status: BlockStatus): void {
    this.memory.writeU8(this.statusAddress, statusOf(status))
    this.queue.complete(this.head, this.chainLength)
  }
}

function statusOf(status: BlockStatus): number {
  if (status === 'ok') return RequestStatus.OK
  return status === 'unsupported' ? RequestStatus.UNSUPP : RequestStatus.IOERR
}
