import { LARGEST_FRAME, plainFrame, ETHERNET_HEADER } from '../../../machine/frame.ts'
import type { CardCounters, Frame, FrameBackend, FrameEnd, NetworkCard, Segmentation } from '../../../machine/frame.ts'
import { FrameFinisher, emptyPlan, planSegments } from '../../../machine/frame-offload.ts'
import type { PortSize } from '../../../machine/io.ts'
import type { PlainData } from '../../../machine/lifecycle.ts'
import { StateReader } from '../../../machine/state-reader.ts'
import { DeviceId } from '../bits.ts'
import { ConfigBytes } from '../config-bytes.ts'
import { DescriptorChain } from '../descriptor-chain.ts'
import type { VirtioDevice, VirtioTransport } from '../device.ts'
import type { Virtqueue } from '../virtqueue.ts'
import { GUEST_OFFLOADS, NetFeature, NetStatus } from './bits.ts'
import { carryOut } from './control.ts'
import type { NetSettings } from './control.ts'
import { NET_HEADER_SIZE, NetHeader } from './net-header.ts'
import { ReceiveFilter } from './receive-filter.ts'
import { FrameReceiver } from './receiver.ts'
import { STEERING_PLACES, Steering } from './steering.ts'

/**
 * Network device. Source: VIRTIO 1.2, §5.1.
 *
 *   configuration   0 mac (6)   6 status (2)   8 max_virtqueue_pairs (2)   10 mtu (2)   12 speed (4, Mbit/s)   16 duplex (1)
 *   queues          2 n: receive of pair n; 2 n + 1: transmit of pair n; the last: control. Without MQ, control is queue 2.
 *
 * A frame that the back end has no room for stays in the transmit queue, and one that the driver has no buffers for with the back end,
 * until there is room. Work left on a frame goes on with it where the other side can do it, and is done here where it cannot.
 *
 * Left out on purpose: fragmentation offload (UFO), ECN with segmentation, receive-side scaling and hash reports, standby.
 */
export interface NetworkCardConfig {
  readonly backend: FrameBackend
  /** The card's MAC address, 6 bytes; not a multicast one. */
  readonly address: Uint8Array
  /** Pairs of queues, 1 to 16; 1 if it is left out: one for each vCPU is best. */
  readonly pairs?: number
}

const QUEUE_SIZE = 256
const MOST_PAIRS = 16
const CONFIG_SIZE = 17
const SPEED_MEGABITS = 10_000
const FULL_DUPLEX = 1
const SEGMENT_FEATURES: Readonly<Record<Segmentation, readonly number[]>> = {
  none: [], tcp4: [NetFeature.GUEST_TSO4], tcp6: [NetFeature.GUEST_TSO6], udp: [NetFeature.GUEST_USO4, NetFeature.GUEST_USO6],
}
const HOST_FEATURES: Readonly<Record<Segmentation, number>> = {
  none: NetFeature.CSUM, tcp4: NetFeature.HOST_TSO4, tcp6: NetFeature.HOST_TSO6, udp: NetFeature.HOST_USO,
}

export class VirtioNet implements VirtioDevice, NetworkCard, FrameEnd, NetSettings {
  readonly schema = 'virtio-net'
  readonly version = 1
  readonly deviceId = DeviceId.NETWORK
  readonly classCode = 0x020000
  readonly features: readonly number[]
  readonly queueSizes: readonly number[]
  readonly transfers = false
  readonly mostPairs: number
  readonly filter = new ReceiveFilter()
  readonly counters: CardCounters = {
    receivedFrames: 0, receivedBytes: 0, sentFrames: 0, sentBytes: 0,
    droppedDown: 0, droppedFiltered: 0, droppedTooLong: 0, droppedMalformed: 0,
  }
  pairs = 1
  offloads = ALL_OFFLOADS
  private readonly ownAddress: Uint8Array
  private readonly peer: FrameEnd
  private readonly config = new ConfigBytes(CONFIG_SIZE)
  private readonly header = new NetHeader()
  private readonly bytes = new Uint8Array(LARGEST_FRAME)
  private readonly sent: Frame = plainFrame(this.bytes)
  private readonly plan = emptyPlan()
  private readonly finisher: FrameFinisher
  private readonly steering = new Steering()
  private receiver!: FrameReceiver
  private transport!: VirtioTransport
  private chain!: DescriptorChain
  private linkUp = true
  private announcing = false
  private transmitting = false

  constructor({ backend, address, pairs = 1 }: NetworkCardConfig) {
    this.ownAddress = address.slice()
    this.mostPairs = Math.max(1, Math.min(pairs, MOST_PAIRS))
    this.features = Object.values(NetFeature).filter((feature) => feature !== NetFeature.MQ || this.mostPairs > 1)
    this.queueSizes = Array.from({ length: 2 * this.mostPairs + 1 }, () => QUEUE_SIZE)
    this.finisher = new FrameFinisher(LARGEST_FRAME)
    this.config.u16(8, this.mostPairs)
    this.config.u16(10, backend.mtu)
    this.config.u32(12, SPEED_MEGABITS)
    this.config.u8(16, FULL_DUPLEX)
    this.filter.address.set(address)
    this.updateConfig()
    this.peer = backend.connect(this)
  }

  connect(transport: VirtioTransport): void {
    this.transport = transport
    this.chain = new DescriptorChain(transport.memory)
    this.receiver = new FrameReceiver(transport.memory)
  }

  readonly agreed = (feature: number): boolean => this.transport.agreed(feature)

  readConfig(offset: number, size: PortSize): number { return this.config.read(offset, size) }
  writeConfig(): void { /* a modern driver sets the address by a command */ }

  notified(queue: Virtqueue): void {
    if (queue.index === this.controlIndex) this.takeCommands(queue)
    else if (queue.index >= 2 * this.mostPairs) return
    else if (queue.index % 2 === 0) this.peer.ready()
    else this.transmit(queue)
  }

  setLink(up: boolean): void {
    if (up === this.linkUp) return
    this.linkUp = up
    this.updateConfig()
    this.transport.configChanged()
    if (up) this.peer.ready()
  }

  announce(): void {
    if (!this.transport.running || !this.agreed(NetFeature.GUEST_ANNOUNCE) || this.announcing) return
    this.announcing = true
    this.updateConfig()
    this.transport.configChanged()
  }

  announced(): void {
    this.announcing = false
    this.updateConfig()
  }

  addressChanged(): void { this.updateConfig() }

  /** A frame for the guest. */
  receive(frame: Frame): boolean {
    const { counters, filter } = this
    if (!this.transport.running || !this.linkUp) counters.droppedDown++
    else if (frame.length < ETHERNET_HEADER || frame.length > LARGEST_FRAME) counters.droppedMalformed++
    else if (!filter.accepts(frame.bytes, frame.start, frame.length, this.agreed(NetFeature.CTRL_VLAN))) counters.droppedFiltered++
    else return this.pass(frame)
    return true
  }

  /** The back end has room again. */
  ready(): void {
    if (this.transmitting) return
    for (let pair = 0; pair < this.mostPairs; pair++) this.transmit(this.transport.queues[2 * pair + 1])
  }

  reset(): void {
    this.filter.reset()
    this.filter.address.set(this.ownAddress)
    this.pairs = 1
    this.offloads = ALL_OFFLOADS
    this.announcing = false
    this.steering.places.fill(0)
    this.updateConfig()
  }

  save(): PlainData {
    const { filter, pairs, offloads, announcing, linkUp, steering } = this
    return { filter: filter.save(), pairs, offloads, announcing, linkUp, steering: steering.places.slice() }
  }

  restore(saved: PlainData): void {
    const state = new StateReader(this.schema, saved)
    this.filter.restore(state.child('filter'))
    this.pairs = state.integer('pairs', 1, this.mostPairs)
    this.offloads = state.integer('offloads', 0, ALL_OFFLOADS)
    this.announcing = state.boolean('announcing')
    this.linkUp = state.boolean('linkUp')
    this.steering.places.set(state.bytes('steering', STEERING_PLACES).map((pair) => Math.min(pair, this.mostPairs - 1)))
    this.updateConfig()
  }

  resume(): void { this.ready() }

  /** Without MQ there is one pair, whatever the device could have: §5.1.2. */
  private get controlIndex(): number { return this.agreed(NetFeature.MQ) ? 2 * this.mostPairs : 2 }

  private updateConfig(): void {
    this.filter.address.forEach((byte, index) => this.config.u8(index, byte))
    this.config.u16(6, (this.linkUp ? NetStatus.LINK_UP : 0) | (this.announcing ? NetStatus.ANNOUNCE : 0))
  }

  private takeCommands(queue: Virtqueue): void {
    while (this.agreed(NetFeature.CTRL_VQ) && queue.take(this.chain)) {
      const ack = this.chain.writableLength === 0 ? new Uint8Array(0) : Uint8Array.of(carryOut(this.chain, this))
      queue.complete(this.chain.head, this.chain.write(0, ack))
    }
    queue.signal()
  }

  /** Passes frames of the guest on, until there are no more or the back end has no room. */
  private transmit(queue: Virtqueue): void {
    if (this.transmitting || queue.waiting === 0) return
    this.transmitting = true
    while (queue.peek(this.chain)) {
      if (!this.send(queue.index >> 1)) {
        queue.suppressNotification()
        break
      }
      queue.consume(this.chain)
      queue.complete(this.chain.head, 0)
    }
    this.transmitting = false
    queue.signal()
  }

  /** The frame of the chain. False: it must wait. What cannot be sent at all is dropped. */
  private send(pair: number): boolean {
    const { chain, sent, counters, peer } = this
    sent.length = chain.readableLength - NET_HEADER_SIZE
    if (!this.linkUp) return drop(counters, 'droppedDown')
    if (sent.length < ETHERNET_HEADER || sent.length > LARGEST_FRAME) return drop(counters, 'droppedMalformed')
    chain.read(0, this.header.bytes)
    if (!this.header.describe(sent) || !this.mayAsk(sent)) return drop(counters, 'droppedMalformed')
    const room = peer.reserve?.(sent.length)
    if (room === null) return false
    sent.bytes = room?.bytes ?? this.bytes
    sent.start = room?.start ?? 0
    chain.read(NET_HEADER_SIZE, sent.bytes.subarray(sent.start, sent.start + sent.length))
    if (sent.segmentation !== 'none' && !planSegments(sent, this.plan)) return drop(counters, 'droppedMalformed')
    if (this.pairs > 1) this.steering.note(sent.bytes, sent.start, sent.length, pair)
    if (!peer.receive(sent)) return false
    counters.sentFrames++
    counters.sentBytes += sent.length
    return true
  }

  /** Whether the driver may leave that work to us. */
  private mayAsk({ checksumStart, segmentation }: Frame): boolean {
    return (checksumStart < 0 || this.agreed(NetFeature.CSUM)) && (segmentation === 'none' || this.agreed(HOST_FEATURES[segmentation]))
  }

  private pass(frame: Frame): boolean {
    const takesChecksum = this.offloaded(NetFeature.GUEST_CSUM)
    if (frame.segmentation !== 'none') {
      if (takesChecksum && SEGMENT_FEATURES[frame.segmentation].every((feature) => this.offloaded(feature))) return this.passLong(frame)
      return this.passSegments(frame)
    }
    if (frame.checksumStart < 0 || takesChecksum) return this.deliver(frame, 0)
    if (this.finisher.complete(frame)) return this.deliver(this.finisher.segment, 0)
    return drop(this.counters, 'droppedMalformed')
  }

  /** The driver takes it as it is. */
  private passLong(frame: Frame): boolean {
    if (!planSegments(frame, this.plan)) return drop(this.counters, 'droppedMalformed')
    return this.deliver(frame, this.plan.headerLength)
  }

  /** Segments for which there is no room are lost: the first were already passed on. */
  private passSegments(frame: Frame): boolean {
    const { finisher } = this
    if (!finisher.begin(frame)) return drop(this.counters, 'droppedMalformed')
    for (let index = 0; index < finisher.plan.count; index++) {
      finisher.cut(frame, index)
      if (!this.deliver(finisher.segment, 0)) return index > 0
    }
    return true
  }

  private deliver(frame: Frame, headerLength: number): boolean {
    const { counters } = this
    const pair = this.pairs > 1 ? Math.min(this.steering.pairOf(frame.bytes, frame.start, frame.length), this.pairs - 1) : 0
    const queue = this.transport.queues[2 * pair]
    this.header.fill(frame, this.offloaded(NetFeature.GUEST_CSUM), headerLength)
    const delivery = this.receiver.deliver(queue, this.header, frame, this.agreed(NetFeature.MRG_RXBUF))
    queue.signal()
    if (delivery === 'no-room') return !this.transport.running
    if (delivery === 'too-long') return drop(counters, 'droppedTooLong')
    counters.receivedFrames++
    counters.receivedBytes += frame.length
    return true
  }

  /** Whether the driver takes frames with that work left on them. */
  private offloaded(feature: number): boolean {
    return this.agreed(feature) && (this.offloads >> GUEST_OFFLOADS.indexOf(feature as typeof GUEST_OFFLOADS[number]) & 1) !== 0
  }
}

const ALL_OFFLOADS = (1 << GUEST_OFFLOADS.length) - 1

/** Nothing more is to be done with the frame. */
function drop(counters: CardCounters, why: 'droppedDown' | 'droppedMalformed' | 'droppedTooLong'): true {
  counters[why]++
  return true
}
