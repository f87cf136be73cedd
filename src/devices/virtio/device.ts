import type { PortSize } from '../../machine/io.ts'
import type { PlainData } from '../../machine/lifecycle.ts'
import type { GuestMemory } from '../../machine/memory.ts'
import type { Virtqueue } from './virtqueue.ts'

/**
 * What a type of virtio device is, apart from the bus that carries it: numbers, features, queues, configuration space, and what it
 * does with a notification. `VirtioPciFunction` is the bus's side.
 *
 * A device touches its queues only while it is notified, or while something that it asked for is done.
 */
export interface VirtioDevice {
  /** Names the part's schema in snapshots: `virtio-block`. */
  readonly schema: string
  readonly version: number
  /** VIRTIO 1.2 §5. */
  readonly deviceId: number
  /** PCI class, sub-class and programming interface. */
  readonly classCode: number
  /** Numbers of the feature bits of this type that the device offers. */
  readonly features: readonly number[]
  /** Largest size of each queue; powers of two. */
  readonly queueSizes: readonly number[]
  /**
   * What the device takes from its queues is in a back end's hands until it is completed: a reset waits for that, because the memory
   * is still being read or written.
   */
  readonly transfers: boolean
  /** Called once, by the transport, before anything else. */
  connect(transport: VirtioTransport): void
  /** Device-specific configuration; what is not there reads as 0. */
  readConfig(offset: number, size: PortSize): number
  writeConfig(offset: number, size: PortSize, value: number): void
  /** The driver has made chains available, or may have. */
  notified(queue: Virtqueue): void
  /** The driver is gone, and nothing is outstanding any more. */
  reset(): void
  /** The device's own state; queues and features are the transport's. */
  save(): PlainData
  restore(state: PlainData): void
  /** The machine was restored: takes up what is outstanding (`Virtqueue.retake`). */
  resume(): void
}

/** What a device gets from its transport. */
export interface VirtioTransport {
  readonly memory: GuestMemory
  readonly queues: readonly Virtqueue[]
  /** The driver is ready, and no queue is broken. */
  readonly running: boolean
  /** Whether driver and device have agreed on a feature. */
  agreed(feature: number): boolean
  /** The configuration space has changed: the driver is told. */
  configChanged(): void
  /** The driver has broken the protocol; it must reset the device. */
  needsReset(): void
}
