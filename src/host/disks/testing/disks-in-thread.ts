import type { BlockBackend, BlockOperation, BlockStatus } from '../../../machine/block.ts'
import type { BlockNode } from '../../../storage/block-node.ts'
import { DiskChannel } from '../disk-channel.ts'
import { DiskQueue } from '../disk-queue.ts'
import { DiskServer } from '../disk-server.ts'

/** Both sides of a channel in one thread, as a machine and its disks have them, and a memory as a pool. */
export class DisksInThread {
  readonly channel = new DiskChannel()
  readonly pool = new SharedArrayBuffer(16 << 20)
  readonly memory = new Uint8Array(this.pool)
  readonly queue: DiskQueue
  readonly server: DiskServer
  readonly served: Promise<void>
  /** How often the machine's bell was rung. */
  rings = 0
  onRing: () => void = () => {}

  constructor(nodes: readonly BlockNode[]) {
    const other = new DiskChannel(this.channel.memory)
    const infos = nodes.map(({ size, readOnly }, disk) => ({ size, readOnly, blockSize: 512, serial: `disk-${disk}`, bus: 'nvme' as const }))
    this.queue = new DiskQueue(this.channel, infos)
    const ring = (): void => {
      this.rings++
      this.onRing()
    }
    this.server = new DiskServer({ channel: other, pool: this.pool, disks: nodes, ring })
    this.served = this.server.run()
  }

  get disk(): BlockBackend { return this.queue.disks[0] }

  /** A request whose segments are ranges of the memory. Its status comes when somebody settles. */
  request(operation: BlockOperation, offset: number, ranges: readonly Range[], options: RequestOptions = {}): Promise<BlockStatus> {
    const segments = ranges.map(([address, length]) => this.memory.subarray(address, address + length))
    const length = options.length ?? segments.reduce((sum, segment) => sum + segment.length, 0)
    return new Promise(done => (options.disk ?? this.disk).submit({ operation, offset, length, segments, ...options, done }))
  }

  /** As a machine's loop does it: until the disks owe nothing. */
  async settle(): Promise<void> {
    while (this.queue.busy) {
      await new Promise(resolve => setImmediate(resolve))
      if (this.queue.ready) this.queue.settle()
    }
  }

  async stop(): Promise<void> {
    this.server.stop()
    await this.served
  }
}

type Range = readonly [address: number, length: number]

interface RequestOptions {
  readonly disk?: BlockBackend
  readonly length?: number
  readonly mayUnmap?: boolean
  readonly forceUnitAccess?: boolean
}
