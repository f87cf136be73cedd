import type { EntropySource } from '../../machine/entropy.ts'
import type { PlainData } from '../../machine/lifecycle.ts'
import { DeviceId } from './bits.ts'
import { DescriptorChain } from './descriptor-chain.ts'
import type { VirtioDevice, VirtioTransport } from './device.ts'
import type { Virtqueue } from './virtqueue.ts'

/**
 * Entropy device. Source: VIRTIO 1.2, §5.4.
 *
 *   queue 0   buffers that the device fills with random bytes; no configuration, no features
 *
 * A buffer is filled as far as `LARGEST_PORTION`: a driver must live with less than it asked for (§5.4.6.1), and gets no more of the
 * host's time than that for each of its buffers.
 */
const LARGEST_PORTION = 4096

export class VirtioEntropy implements VirtioDevice {
  readonly schema = 'virtio-entropy'
  readonly version = 1
  readonly deviceId = DeviceId.ENTROPY
  readonly classCode = 0x00ff00
  readonly features = []
  readonly queueSizes = [64]
  readonly transfers = false
  private readonly source: EntropySource
  private readonly bytes = new Uint8Array(LARGEST_PORTION)
  private chain!: DescriptorChain

  constructor(source: EntropySource) { this.source = source }

  connect(transport: VirtioTransport): void { this.chain = new DescriptorChain(transport.memory) }

  readConfig(): number { return 0 }
  writeConfig(): void { /* there is none */ }

  notified(queue: Virtqueue): void {
    while (queue.take(this.chain)) {
      const portion = this.bytes.subarray(0, Math.min(this.chain.writableLength, LARGEST_PORTION))
      this.source.fill(portion)
      queue.complete(this.chain.head, this.chain.write(0, portion))
    }
    queue.signal()
  }

  reset(): void { this.bytes.fill(0) }
  save(): PlainData { return null }
  restore(): void { /* it has no state of its own */ }
  resume(): void { /* nothing is ever outstanding */ }
}
