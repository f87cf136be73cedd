import type { BlockBackend, BlockStatus } from '../../../machine/block.ts'
import type { PortSize } from '../../../machine/io.ts'
import type { PlainData } from '../../../machine/lifecycle.ts'
import { StateReader } from '../../../machine/state-reader.ts'
import { DeviceId } from '../bits.ts'
import { ConfigBytes } from '../config-bytes.ts'
import { DescriptorChain } from '../descriptor-chain.ts'
import { DISK_LIMITS } from '../disk-limits.ts'
import type { VirtioDevice, VirtioTransport } from '../device.ts'
import type { DiskTransfer } from '../disk-transfer.ts'
import type { Virtqueue } from '../virtqueue.ts'
import { BlockTransfer } from './block-transfer.ts'
import { HEADER_SIZE, RequestStatus, RequestType, SECTOR, readSegments } from './block-request.ts'

/**
 * Block device. Source: VIRTIO 1.2, §5.2.
 *
 *   configuration   0x00 capacity (8, sectors of 512)   0x08 size_max   0x0c seg_max   0x14 blk_size
 *     0x18 physical_block_exp (1) alignment_offset (1) min_io_size (2)   0x1c opt_io_size   0x20 writeback (1)   0x22 num_queues (2)
 *     0x24 max_discard_sectors, max_discard_seg, discard_sector_alignment
 *     0x30 max_write_zeroes_sectors, max_write_zeroes_seg   0x38 write_zeroes_may_unmap (1)
 *
 * Requests go to the back end as they come and are answered as they are done, in any order. Those under way at a snapshot are
 * submitted again after a restore.
 *
 * Left out on purpose: geometry (nobody needs it), lifetime, secure erase, zones, SCSI commands (legacy).
 */
export const BlockFeature = {
  SIZE_MAX: 1, SEG_MAX: 2, RO: 5, BLK_SIZE: 6, FLUSH: 9, TOPOLOGY: 10, CONFIG_WCE: 11, MQ: 12, DISCARD: 13, WRITE_ZEROES: 14,
} as const

const QUEUE_SIZE = 256
const CONFIGURATION_SIZE = 0x3c
const WRITEBACK = 0x20
const ID_LENGTH = 20

export class VirtioBlock implements VirtioDevice {
  readonly schema = 'virtio-block'
  readonly version = 1
  readonly deviceId = DeviceId.BLOCK
  readonly classCode = 0x018000
  readonly features: readonly number[]
  readonly queueSizes: readonly number[]
  readonly transfers = true
  private readonly backend: BlockBackend
  private readonly config: ConfigBytes
  private readonly idle: BlockTransfer[] = []
  private readonly whenEnded = (transfer: DiskTransfer, status: BlockStatus): void => this.ended(transfer as BlockTransfer, status)
  private transport!: VirtioTransport
  private chain!: DescriptorChain
  /** Transfers started before this changed are abandoned: their answers go nowhere. */
  private life = 0
  private writeback = true

  /** `queues` is 1 to 64. */
  constructor(backend: BlockBackend, { queues = 1 }: { readonly queues?: number } = {}) {
    this.backend = backend
    this.queueSizes = Array.from({ length: queues }, () => QUEUE_SIZE)
    this.features = [
      BlockFeature.SIZE_MAX, BlockFeature.SEG_MAX, BlockFeature.BLK_SIZE, BlockFeature.FLUSH, BlockFeature.TOPOLOGY,
      BlockFeature.CONFIG_WCE, BlockFeature.MQ, ...backend.readOnly ? [BlockFeature.RO] : [BlockFeature.DISCARD, BlockFeature.WRITE_ZEROES],
    ]
    this.config = blockConfiguration(backend, queues)
  }

  connect(transport: VirtioTransport): void {
    this.transport = transport
    this.chain = new DescriptorChain(transport.memory)
  }

  /** The back end has another size now: the driver is told. */
  resized(): void {
    this.config.u64(0x00, this.backend.size / SECTOR)
    this.transport.configChanged()
  }

  readConfig(offset: number, size: PortSize): number { return this.config.read(offset, size) }

  writeConfig(offset: number, _size: PortSize, value: number): void {
    if (offset === WRITEBACK && this.transport.agreed(BlockFeature.CONFIG_WCE)) this.setWriteback((value & 0xff) !== 0)
  }

  notified(queue: Virtqueue): void {
    while (queue.take(this.chain)) this.handle(queue)
    queue.signal()
  }

  reset(): void {
    this.life++
    this.setWriteback(true)
  }

  resume(): void {
    for (const queue of this.transport.queues) {
      queue.retake(this.chain, () => this.handle(queue))
      queue.signal()
    }
  }

  save(): PlainData { return { writeback: this.writeback } }

  restore(state: PlainData): void { this.setWriteback(new StateReader(this.schema, state).boolean('writeback')) }

  private setWriteback(on: boolean): void {
    this.writeback = on
    this.config.u8(WRITEBACK, on ? 1 : 0)
  }

  /** One request: §5.2.6. What cannot even be answered breaks the queue. */
  private handle(queue: Virtqueue): void {
    const { chain } = this
    if (chain.readableLength < HEADER_SIZE || chain.writableLength < 1) {
      queue.complete(chain.head, 0)
      return this.transport.needsReset()
    }
    const offset = chain.readU64(8) * SECTOR
    switch (chain.readU32(0)) {
      case RequestType.IN: return this.transfer(queue, 'read', offset, chain.writableLength - 1)
      case RequestType.OUT: return this.transfer(queue, 'write', offset, chain.readableLength - HEADER_SIZE)
      case RequestType.FLUSH: return this.begin(queue).submit(this.backend, 'flush', 0, 0)
      case RequestType.DISCARD: return this.transferSegments(queue, 'discard')
      case RequestType.WRITE_ZEROES: return this.transferSegments(queue, 'write-zeroes')
      case RequestType.GET_ID: return this.giveId(queue)
      default: return this.answer(queue, RequestStatus.UNSUPP)
    }
  }

  private transfer(queue: Virtqueue, operation: 'read' | 'write', offset: number, length: number): void {
    const { size, blockSize, readOnly } = this.backend
    const impossible = offset % blockSize !== 0 || length % blockSize !== 0 || length > DISK_LIMITS.TRANSFER || offset + length > size
    if (impossible || operation === 'write' && readOnly) return this.answer(queue, RequestStatus.IOERR)
    const transfer = this.begin(queue)
    if (!transfer.collect(this.chain, operation, operation === 'read' ? 0 : HEADER_SIZE, length)) {
      this.ended(transfer, 'io-error')
      return this.transport.needsReset()
    }
    transfer.forceUnitAccess = operation === 'write' && this.writesThrough
    transfer.submit(this.backend, operation, offset, length)
  }

  private transferSegments(queue: Virtqueue, operation: 'discard' | 'write-zeroes'): void {
    const segments = readSegments(this.chain, this.backend, operation)
    if (typeof segments === 'number') return this.answer(queue, segments)
    this.begin(queue).submitRanges(this.backend, operation, segments)
  }

  private giveId(queue: Virtqueue): void {
    const { chain } = this
    const id = Uint8Array.from({ length: ID_LENGTH }, (_, index) => this.backend.serial.charCodeAt(index) || 0)
    const length = Math.min(ID_LENGTH, chain.writableLength - 1)
    chain.write(0, id.subarray(0, length))
    this.answer(queue, RequestStatus.OK)
  }

  private answer(queue: Virtqueue, status: number): void {
    const { chain } = this
    this.transport.memory.writeU8(chain.writableAddress(chain.writableLength - 1), status)
    queue.complete(chain.head, chain.writableLength)
  }

  private begin(queue: Virtqueue): BlockTransfer {
    const transfer = this.idle.pop() ?? new BlockTransfer(this.transport.memory, this.whenEnded)
    transfer.begin(queue, this.chain, this.life)
    return transfer
  }

  private ended(transfer: BlockTransfer, status: BlockStatus): void {
    if (transfer.life !== this.life) return
    const { queue } = transfer
    this.idle.push(transfer)
    transfer.complete(status)
    queue.signal()
  }

  /** §5.2.6.2: without a cache that the driver knows how to flush, a write is stable when it is done. */
  private get writesThrough(): boolean {
    return this.transport.agreed(BlockFeature.CONFIG_WCE) ? !this.writeback : !this.transport.agreed(BlockFeature.FLUSH)
  }
}

function blockConfiguration({ size, blockSize }: BlockBackend, queues: number): ConfigBytes {
  const config = new ConfigBytes(CONFIGURATION_SIZE)
  config.u64(0x00, size / SECTOR)
  config.u32(0x08, DISK_LIMITS.SEGMENT)
  config.u32(0x0c, DISK_LIMITS.SEGMENTS)
  config.u32(0x14, blockSize)
  config.u8(0x18, Math.log2(DISK_LIMITS.GOOD_TRANSFER / blockSize))
  config.u16(0x1a, DISK_LIMITS.GOOD_TRANSFER / blockSize)
  config.u8(WRITEBACK, 1)
  config.u16(0x22, queues)
  for (const at of [0x24, 0x30]) {
    config.u32(at, DISK_LIMITS.DISCARD / SECTOR)
    config.u32(at + 4, DISK_LIMITS.DISCARD_SEGMENTS)
  }
  config.u32(0x2c, DISK_LIMITS.GOOD_TRANSFER / SECTOR)
  config.u8(0x38, 1)
  return config
}
