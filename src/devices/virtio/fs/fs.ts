import { encodeUtf8 } from '../../../base/utf8.ts'
import { FILE_SYSTEM_LIMITS } from '../../../machine/file-system.ts'
import type { FileSystemBackend } from '../../../machine/file-system.ts'
import type { PortSize } from '../../../machine/io.ts'
import type { PlainData } from '../../../machine/lifecycle.ts'
import { DeviceId } from '../bits.ts'
import { ConfigBytes } from '../config-bytes.ts'
import { DescriptorChain } from '../descriptor-chain.ts'
import type { VirtioDevice, VirtioTransport } from '../device.ts'
import type { Virtqueue } from '../virtqueue.ts'
import { FileSystemTransfer } from './fs-transfer.ts'

/**
 * File system device. Source: VIRTIO 1.2, §5.11.
 *
 *   queue 0          high priority: FORGET and INTERRUPT        queue 1   requests
 *   configuration    0x00 tag (36 bytes of UTF-8, zeros behind it)   0x24 num_request_queues (4)
 *
 * A chain is one FUSE message, its readable bytes, with room for the reply in its writable bytes (§5.11.6). The device knows no more of
 * FUSE than the length of the two headers: a server behind it reads the messages (`src/storage/fuse/`). Its own state is the chains
 * that are outstanding. After a restore they are submitted again. Not every FUSE request may be carried out twice, so that a machine is
 * best saved when its servers have answered (`src/storage/fuse/README.md`).
 *
 * Left out on purpose: the notification queue, and the shared memory window (DAX).
 */

/** A queue's size bounds a request: Linux sends as many pages as there are descriptors, four of them for headers; 256 pages at most. */
const REQUEST_QUEUE_SIZE = 512
const PRIORITY_QUEUE_SIZE = 128
const TAG_SIZE = 36
const CONFIGURATION_SIZE = 0x28

/** fuse_in_header and fuse_out_header of the FUSE protocol. */
const IN_HEADER = 40
const OUT_HEADER = 16

export class VirtioFileSystem implements VirtioDevice {
  readonly schema = 'virtio-fs'
  readonly version = 1
  readonly deviceId = DeviceId.FILE_SYSTEM
  readonly classCode = 0x018000
  readonly features = []
  readonly queueSizes = [PRIORITY_QUEUE_SIZE, REQUEST_QUEUE_SIZE]
  readonly transfers = true
  private readonly backend: FileSystemBackend
  private readonly config = new ConfigBytes(CONFIGURATION_SIZE)
  private readonly idle: FileSystemTransfer[] = []
  private readonly whenEnded = (transfer: FileSystemTransfer, length: number): void => this.ended(transfer, length)
  private transport!: VirtioTransport
  private chain!: DescriptorChain
  /** Transfers started before this changed are abandoned: their answers go nowhere. */
  private life = 0

  constructor(backend: FileSystemBackend) {
    this.backend = backend
    encodeUtf8(backend.tag).subarray(0, TAG_SIZE).forEach((byte, index) => this.config.u8(index, byte))
    this.config.u32(TAG_SIZE, 1)
  }

  connect(transport: VirtioTransport): void {
    this.transport = transport
    this.chain = new DescriptorChain(transport.memory)
  }

  readConfig(offset: number, size: PortSize): number { return this.config.read(offset, size) }
  writeConfig(): void { /* the driver may write nothing */ }

  notified(queue: Virtqueue): void {
    while (queue.take(this.chain)) this.handle(queue)
    queue.signal()
  }

  reset(): void { this.life++ }
  save(): PlainData { return null }
  restore(): void { /* it has no state beside what is outstanding */ }

  resume(): void {
    for (const queue of this.transport.queues) {
      queue.retake(this.chain, () => this.handle(queue))
      queue.signal()
    }
  }

  /** What is no FUSE message, or too large for one, breaks the device. */
  private handle(queue: Virtqueue): void {
    const { chain } = this
    if (!isMessage(chain)) return this.refuse(queue, chain.head)
    const transfer = this.idle.pop() ?? new FileSystemTransfer(this.transport.memory, this.whenEnded)
    if (transfer.begin(queue, chain, this.life) && transfer.message.length + transfer.reply.length <= FILE_SYSTEM_LIMITS.PIECES) {
      return transfer.submit(this.backend)
    }
    this.idle.push(transfer)
    this.refuse(queue, chain.head)
  }

  private refuse(queue: Virtqueue, head: number): void {
    queue.complete(head, 0)
    this.transport.needsReset()
  }

  private ended(transfer: FileSystemTransfer, length: number): void {
    if (transfer.life !== this.life) return
    const { queue } = transfer
    this.idle.push(transfer)
    queue.complete(transfer.head, length)
    queue.signal()
  }
}

function isMessage({ readableLength, writableLength }: DescriptorChain): boolean {
  return readableLength >= IN_HEADER && readableLength <= FILE_SYSTEM_LIMITS.LENGTH
    && (writableLength === 0 || writableLength >= OUT_HEADER && writableLength <= FILE_SYSTEM_LIMITS.LENGTH)
}
