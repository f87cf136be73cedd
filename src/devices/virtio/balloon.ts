import type { Balloon, BalloonBackend, BalloonStatistics, ReleasableMemory } from '../../machine/balloon.ts'
import type { PortSize } from '../../machine/io.ts'
import type { PlainData } from '../../machine/lifecycle.ts'
import { StateReader } from '../../machine/state-reader.ts'
import { DeviceId } from './bits.ts'
import { ConfigBytes } from './config-bytes.ts'
import { DescriptorChain } from './descriptor-chain.ts'
import type { VirtioDevice, VirtioTransport } from './device.ts'
import type { Virtqueue } from './virtqueue.ts'

/**
 * Memory balloon device, the traditional one. Source: VIRTIO 1.2, §5.5.
 *
 *   configuration   0 num_pages (4, what the host wants)   4 actual (4, what the driver has)
 *   queues          0 inflate, 1 deflate: lists of page numbers (4 bytes each)
 *                   2 statistics: one buffer of { tag (2), value (8) }, which the device holds until it wants the next
 *                   3 reporting: buffers that are themselves the free pages; 2 for a driver without statistics
 *
 * A page in the balloon is released at once and comes back by being used, so that deflating has nothing to do, and a guest that takes
 * pages out in need (DEFLATE_ON_OOM) needs not tell before.
 *
 * Left out on purpose: MUST_TELL_HOST (there is no need), free page hints (for migration), page poisoning.
 */
export const BalloonFeature = { STATS_VQ: 1, DEFLATE_ON_OOM: 2, PAGE_REPORTING: 5 } as const

const [INFLATE, DEFLATE, STATISTICS] = [0, 1, 2]
const QUEUE_SIZE = 128
const PAGE = 4096
const ACTUAL = 4
/** Page numbers of a list that are looked at, and pages of a report: far more than drivers put into one. */
const MOST_NUMBERS = 4096
const MOST_REPORTED = 1 << 18
const STATISTIC_SIZE = 10
/** Statistics in the order of their tags. */
const TAGS = [
  'swapIn', 'swapOut', 'majorFaults', 'minorFaults', 'free', 'total', 'available', 'caches', 'hugePageAllocations', 'hugePageFailures',
] as const
const MOST_STATISTICS = 64

export class VirtioBalloon implements VirtioDevice, Balloon {
  readonly schema = 'virtio-balloon'
  readonly version = 1
  readonly deviceId = DeviceId.BALLOON
  readonly classCode = 0x00ff00
  readonly features = Object.values(BalloonFeature)
  readonly queueSizes = [QUEUE_SIZE, QUEUE_SIZE, QUEUE_SIZE, QUEUE_SIZE]
  readonly transfers = false
  private readonly memory: ReleasableMemory
  private readonly backend: BalloonBackend
  private readonly config = new ConfigBytes(8)
  private readonly bytes = new Uint8Array(4 * MOST_NUMBERS)
  private readonly numbers = new DataView(this.bytes.buffer)
  private transport!: VirtioTransport
  private chain!: DescriptorChain
  private target = 0
  private actual = 0

  constructor(memory: ReleasableMemory, backend: BalloonBackend = {}) {
    this.memory = memory
    this.backend = backend
  }

  get size(): number { return this.actual * PAGE }

  connect(transport: VirtioTransport): void {
    this.transport = transport
    this.chain = new DescriptorChain(transport.memory)
  }

  setTarget(bytes: number): void {
    const pages = Math.min(Math.floor(bytes / PAGE), 0xffffffff)
    if (pages === this.target) return
    this.target = pages
    this.config.u32(0, pages)
    this.transport.configChanged()
  }

  requestStatistics(): boolean {
    const queue = this.transport.queues[STATISTICS]
    if (!this.transport.agreed(BalloonFeature.STATS_VQ) || !this.transport.running || queue.outstanding === 0) return false
    this.giveBackStatistics(queue)
    queue.signal()
    return true
  }

  readConfig(offset: number, size: PortSize): number { return this.config.read(offset, size) }

  writeConfig(offset: number, size: PortSize, value: number): void {
    if (offset !== ACTUAL || size !== 4 || value === this.actual) return
    this.setActual(value)
    this.backend.resized?.(this.size)
  }

  notified(queue: Virtqueue): void {
    const hasStatistics = this.transport.agreed(BalloonFeature.STATS_VQ)
    if (queue.index === STATISTICS && hasStatistics) return this.takeStatistics(queue)
    while (queue.take(this.chain)) {
      if (queue.index === INFLATE) this.inflate()
      else if (queue.index !== DEFLATE) this.takeReport()
      queue.complete(this.chain.head, 0)
    }
    queue.signal()
  }

  reset(): void { this.setActual(0) }

  save(): PlainData { return { target: this.target, actual: this.actual } }

  restore(saved: PlainData): void {
    const state = new StateReader(this.schema, saved)
    this.target = state.u32('target')
    this.config.u32(0, this.target)
    this.setActual(state.u32('actual'))
  }

  /** The statistics' buffer stays with the device, as it was. */
  resume(): void { this.backend.resized?.(this.size) }

  private setActual(pages: number): void {
    this.actual = pages
    this.config.u32(ACTUAL, pages)
  }

  /** Page numbers, those that follow each other as one range. */
  private inflate(): void {
    const count = this.chain.read(0, this.bytes) >> 2
    const ranges: number[] = []
    for (let index = 0; index < count; index++) {
      const page = this.numbers.getUint32(4 * index, true)
      const last = ranges.length - 2
      if (last >= 0 && ranges[last] + ranges[last + 1] === page) ranges[last + 1]++
      else ranges.push(page, 1)
    }
    this.release(ranges)
  }

  private takeReport(): void {
    if (this.transport.agreed(BalloonFeature.PAGE_REPORTING)) this.release(this.chain.writablePages(PAGE, MOST_REPORTED))
  }

  private release(ranges: readonly number[]): void { if (ranges.length > 0) this.memory.releasePages(ranges) }

  /** §5.5.6.3: a new buffer takes the place of the one that the device had. */
  private takeStatistics(queue: Virtqueue): void {
    while (queue.peek(this.chain)) {
      this.giveBackStatistics(queue)
      if (!queue.take(this.chain)) break
      this.backend.statistics?.(this.readStatistics())
    }
    queue.signal()
  }

  private giveBackStatistics(queue: Virtqueue): void { queue.retake(this.chain, () => queue.complete(this.chain.head, 0)) }

  private readStatistics(): BalloonStatistics {
    const length = this.chain.read(0, this.bytes.subarray(0, MOST_STATISTICS * STATISTIC_SIZE))
    const found: Partial<Record<typeof TAGS[number], bigint>> = {}
    for (let at = 0; at + STATISTIC_SIZE <= length; at += STATISTIC_SIZE) {
      const tag = TAGS[this.numbers.getUint16(at, true)]
      if (tag !== undefined) found[tag] = this.numbers.getBigUint64(at + 2, true)
    }
    return found
  }
}
