import type { PlainData } from '../../machine/lifecycle.ts'
import type { GuestMemory } from '../../machine/memory.ts'
import type { StateReader } from '../../machine/state-reader.ts'
import { DeviceStatus, Feature } from './bits.ts'
import type { VirtioDevice, VirtioTransport } from './device.ts'
import { Virtqueue } from './virtqueue.ts'
import type { QueueOwner } from './virtqueue.ts'

/**
 * What a virtio device is on any bus: its status, the features agreed on, and its queues. Source: VIRTIO 1.2, §2.1 to §2.4, §3.1.
 *
 *     reset ─ACKNOWLEDGE, DRIVER─▶ features ─FEATURES_OK─▶ queues ─DRIVER_OK─▶ running ─nonsense─▶ DEVICE_NEEDS_RESET
 *       ▲                                                                                                  │
 *       └────────────────────────────── a write of 0, once no transfer is under way ◀──────────────────────┘
 *
 * Left out on purpose: queue reset (RING_RESET), drivers without VERSION_1.
 */

/** The bus's side. */
export interface VirtioBus {
  /** The function may read and write memory. */
  readonly busMaster: boolean
  interruptQueue(queue: Virtqueue): void
  interruptConfiguration(): void
  /** The reset that the driver asked for is complete: the bus's registers of the device go back, too. */
  wasReset(): void
}

const DRIVER_BITS = DeviceStatus.ACKNOWLEDGE | DeviceStatus.DRIVER | DeviceStatus.DRIVER_OK | DeviceStatus.FEATURES_OK | DeviceStatus.FAILED
const ALL_BITS = DRIVER_BITS | DeviceStatus.DEVICE_NEEDS_RESET
const COMMON_FEATURES = [Feature.RING_INDIRECT_DESC, Feature.RING_EVENT_IDX, Feature.VERSION_1]

export class VirtioCore implements VirtioTransport, QueueOwner {
  readonly memory: GuestMemory
  readonly queues: readonly Virtqueue[]
  /** Features offered and those that the driver wants, 32 bits a word. */
  readonly offered: readonly number[]
  readonly wanted = [0, 0]
  status = 0
  generation = 0
  running = false
  indirectDescriptors = false
  eventIndex = false
  private readonly device: VirtioDevice
  private readonly bus: VirtioBus
  /** The driver wrote 0; transfers are still under way. */
  private resetting = false

  constructor(device: VirtioDevice, memory: GuestMemory, bus: VirtioBus) {
    this.device = device
    this.memory = memory
    this.bus = bus
    this.offered = [0, 1].map((word) => featureWord([...COMMON_FEATURES, ...device.features], word))
    this.queues = device.queueSizes.map((size, index) => new Virtqueue(index, size, memory, this))
    device.connect(this)
  }

  agreed(feature: number): boolean { return (this.wanted[feature >> 5] >>> (feature & 31) & 1) !== 0 }

  /** The driver sets bits of the status, never clears any but by a reset: §2.1.1. */
  writeStatus(value: number): void {
    if (value === 0) return this.beginReset()
    if (this.resetting) return
    let added = value & ~this.status & DRIVER_BITS
    if ((added & DeviceStatus.FEATURES_OK) !== 0 && !this.featuresAcceptable) added &= ~DeviceStatus.FEATURES_OK
    if (((this.status | added) & DeviceStatus.FEATURES_OK) === 0) added &= ~DeviceStatus.DRIVER_OK
    this.status |= added
    this.update()
  }

  /** The driver's choice of features; too late once both have agreed. */
  writeFeatures(word: number, value: number): void {
    if (word < this.wanted.length && (this.status & DeviceStatus.FEATURES_OK) === 0) this.wanted[word] = value
  }

  /** §4.1.4.3.2: the driver has set the queue up. */
  enableQueue(queue: Virtqueue): void {
    if (queue.enabled) return
    queue.enabled = true
    if (!queue.wellPlaced) this.needsReset()
  }

  notify(index: number): void {
    if (this.running && index < this.queues.length && this.queues[index].enabled) this.device.notified(this.queues[index])
  }

  /** Something that decides whether the device may run has changed. */
  update(): void {
    const before = this.running
    this.recompute()
    if (this.running && !before) this.queues.forEach((queue) => this.notify(queue.index))
  }

  configChanged(): void {
    this.generation = this.generation + 1 & 0xff
    if ((this.status & DeviceStatus.DRIVER_OK) !== 0) this.bus.interruptConfiguration()
  }

  /** §2.1.2. */
  needsReset(): void {
    if ((this.status & DeviceStatus.DEVICE_NEEDS_RESET) !== 0) return
    this.status |= DeviceStatus.DEVICE_NEEDS_RESET
    this.update()
    if ((this.status & DeviceStatus.DRIVER_OK) !== 0) this.bus.interruptConfiguration()
  }

  interrupt(queue: Virtqueue): void { this.bus.interruptQueue(queue) }

  broken(): void { this.needsReset() }

  drained(): void {
    if (this.resetting && this.idle) this.finishReset()
  }

  /** Back to the state at power-on, whatever is under way. */
  reset(): void {
    this.queues.forEach((queue) => queue.reset())
    this.status = this.generation = 0
    this.wanted.fill(0)
    this.resetting = false
    this.update()
    this.device.reset()
  }

  resume(): void { this.device.resume() }

  save(): Record<string, PlainData> {
    return {
      status: this.status, generation: this.generation, features: [...this.wanted], resetting: this.resetting,
      queues: this.queues.map((queue) => queue.save()),
    }
  }

  /** Before the bus's own registers. */
  restore(state: StateReader): void {
    this.status = state.u8('status') & ALL_BITS
    this.generation = state.u8('generation')
    state.integers('features', this.wanted.length, 0, 0xffffffff).forEach((value, word) => { this.wanted[word] = value })
    if ((this.status & DeviceStatus.FEATURES_OK) !== 0 && !this.featuresAcceptable) {
      throw state.invalid('features', 'are not those of the device')
    }
    state.children('queues', this.queues.length).forEach((each, index) => this.queues[index].restore(each))
    this.resetting = state.boolean('resetting') && !this.idle
  }

  /** What follows from status, features and the bus. After a restore, nobody is notified of it. */
  recompute(): void {
    this.indirectDescriptors = this.agreed(Feature.RING_INDIRECT_DESC)
    this.eventIndex = this.agreed(Feature.RING_EVENT_IDX)
    const { DRIVER_OK, DEVICE_NEEDS_RESET } = DeviceStatus
    this.running = (this.status & (DRIVER_OK | DEVICE_NEEDS_RESET)) === DRIVER_OK && !this.resetting && this.bus.busMaster
  }

  private get featuresAcceptable(): boolean {
    return this.agreed(Feature.VERSION_1) && this.wanted.every((word, index) => (word & ~this.offered[index]) === 0)
  }

  /** No chain is in a back end's hands. */
  private get idle(): boolean { return !this.device.transfers || this.queues.every((queue) => queue.outstanding === 0) }

  private beginReset(): void {
    if (this.idle) return this.finishReset()
    this.resetting = true
    this.update()
  }

  private finishReset(): void {
    this.reset()
    this.bus.wasReset()
  }
}

function featureWord(features: readonly number[], word: number): number {
  return features.filter((feature) => feature >> 5 === word).reduce((bits, feature) => (bits | 1 << (feature & 31)) >>> 0, 0)
}
