import type { BlockBackend } from '../../../machine/block.ts'
import { DISK_LIMITS } from '../disk-limits.ts'
import type { DescriptorChain } from '../descriptor-chain.ts'
import type { DiskRange } from '../disk-transfer.ts'

/**
 * A block device's requests. Source: VIRTIO 1.2, §5.2.6.
 *
 *   readable   0 type (4), 4 reserved (4), 8 sector (8), 16 data to write, or segments
 *   writable   data that was read, then status (1)
 *   segment    0 sector (8), 8 num_sectors (4), 12 flags (4): unmap 0
 */
export const RequestType = { IN: 0, OUT: 1, FLUSH: 4, GET_ID: 8, DISCARD: 11, WRITE_ZEROES: 13 } as const
export const RequestStatus = { OK: 0, IOERR: 1, UNSUPP: 2 } as const

export const SECTOR = 512
export const HEADER_SIZE = 16
export const SEGMENT_SIZE = 16
const UNMAP = 1

/** The ranges that a discard or write-zeroes names, or the status that refuses them. §5.2.6.2. */
export function readSegments(chain: DescriptorChain, backend: BlockBackend, operation: 'discard' | 'write-zeroes'): DiskRange[] | number {
  const length = chain.readableLength - HEADER_SIZE
  if (backend.readOnly || length % SEGMENT_SIZE !== 0 || length > DISK_LIMITS.DISCARD_SEGMENTS * SEGMENT_SIZE) return RequestStatus.IOERR
  const ranges: DiskRange[] = []
  for (let at = HEADER_SIZE; at < chain.readableLength; at += SEGMENT_SIZE) {
    const flags = chain.readU32(at + 12)
    if ((flags & ~UNMAP) !== 0 || flags !== 0 && operation === 'discard') return RequestStatus.UNSUPP
    const range = { offset: chain.readU64(at) * SECTOR, length: chain.readU32(at + 8) * SECTOR, mayUnmap: flags !== 0 }
    if (!isPossible(range, backend)) return RequestStatus.IOERR
    ranges.push(range)
  }
  return ranges
}

function isPossible({ offset, length }: DiskRange, { size, blockSize }: BlockBackend): boolean {
  return offset % blockSize === 0 && length % blockSize === 0 && length <= DISK_LIMITS.DISCARD && offset + length <= size
}
