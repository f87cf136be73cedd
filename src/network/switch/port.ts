/**
 * A port of a switch: what comes in is checked here before the switch forwards it, and what goes out waits here while the station does not
 * take it.
 *
 *   station ── receive ▶ rate ▶ length, VLAN, source, storm, rules ▶ Switch.forward
 *           ◀ FrameEnd ◀ rate ◀ fair queue ◀ rules ◀ deliver ────────────┘
 */
import type { Clock, Timer } from '../../machine/clock.ts'
import { ETHERNET_HEADER } from '../../machine/frame.ts'
import type { Frame, FrameBackend, FrameEnd } from '../../machine/frame.ts'
import type { PlainData } from '../../machine/lifecycle.ts'
import { StateReader } from '../../machine/state-reader.ts'
import { PacketFilter } from '../filter/filter.ts'
import type { PortSettings } from './configuration.ts'
import { emptyCounters } from './counters.ts'
import type { DropReason, PortCounters } from './counters.ts'
import { FairQueue } from './fair-queue.ts'
import type { FrameFields } from './frame-fields.ts'
import { objectionTo } from './source-guard.ts'
import { TokenBucket } from './token-bucket.ts'

/** Sees the frames of a port as they come from the station, and as they are given to it. Must not change or keep them. */
export type FrameObserver = (frame: Frame) => void

/** The switch, as its ports see it. */
export interface Forwarder {
  readonly clock: Clock
  forward(port: SwitchPort, frame: Frame): void
}

/** How much may pass at once: some milliseconds' worth, or a few large frames. */
const BURST_NS = 20e6
const SMALLEST_BURST = 16 << 10

export class SwitchPort implements FrameBackend, FrameEnd {
  readonly index: number
  readonly counters: PortCounters = emptyCounters()
  readonly observers: FrameObserver[] = []
  settings: PortSettings
  /** Ports that get copies of this one's frames. */
  mirrors: readonly SwitchPort[] = []
  readonly #switch: Forwarder
  readonly #queue = new FairQueue()
  readonly #inTimer: Timer
  readonly #outTimer: Timer
  readonly #seed: number
  #station: FrameEnd | null = null
  #filter: PacketFilter | null = null
  #in!: TokenBucket
  #out!: TokenBucket
  #storm!: TokenBucket
  #refusing = false

  constructor(index: number, settings: PortSettings, owner: Forwarder, seed: number) {
    this.index = index
    this.settings = settings
    this.#switch = owner
    this.#seed = seed
    this.#inTimer = owner.clock.timer(() => this.#welcome())
    this.#outTimer = owner.clock.timer(() => this.ready())
    this.configure(settings)
  }

  get mtu(): number { return this.settings.mtu }

  get isMirror(): boolean { return this.settings.mirrors.length > 0 }

  /** Frames wait for the station. */
  get isBusy(): boolean { return !this.#queue.isEmpty }

  /** Other settings, from now on. What is known of flows is kept if the rules are the same. */
  configure(settings: PortSettings): void {
    const { rate, stormRate, rules } = settings
    if (rules !== this.settings.rules || this.#filter === null) this.#filter = rules === null ? null : new PacketFilter(rules, this.#seed)
    this.settings = settings
    const burst = Math.max(rate * BURST_NS, SMALLEST_BURST)
    this.#in = new TokenBucket(rate, burst)
    this.#out = new TokenBucket(rate, burst)
    this.#storm = new TokenBucket(stormRate / 1e9, Math.max(1, stormRate / 5))
  }

  connect(station: FrameEnd): FrameEnd {
    this.#station = station
    return this
  }

  disconnect(): void {
    this.#station = null
    this.#queue.clear()
    this.#inTimer.disarm()
    this.#outTimer.disarm()
  }

  /** What a port with the same rules goes on with elsewhere: the flows that were allowed. Addresses are known by the settings. */
  save(): PlainData { return { filter: this.#filter?.save(this.#switch.clock.now()) ?? null } }

  /** @throws TenonError SNAPSHOT_INVALID */
  restore(state: PlainData): void {
    const reader = new StateReader(`the port ${this.settings.name}`, state)
    if (this.#filter !== null && reader.plain('filter') !== null) this.#filter.restore(reader.child('filter'), this.#switch.clock.now())
  }

  /** From the station. */
  receive(frame: Frame): boolean {
    const now = this.#switch.clock.now()
    if (!this.#in.mayBegin(now)) {
      this.#refusing = true
      this.#inTimer.arm(this.#in.beginsAt)
      return false
    }
    this.#in.charge(frame.length)
    this.counters.receivedFrames++
    this.counters.receivedBytes += frame.length
    this.#show(frame)
    if (!this.isMirror) this.#switch.forward(this, frame)
    return true
  }

  /** The station has room again. */
  ready(): void {
    const now = this.#switch.clock.now()
    for (let frame = this.#queue.peek(); frame !== null; frame = this.#queue.peek()) {
      if (!this.#mayGive(now) || !this.#give(frame)) return
      this.#queue.shift()
    }
  }

  /** The VLAN that a frame of the station's belongs to; 0: it may not pass, and was counted. */
  vlanOf(fields: FrameFields): number {
    const { native, tagged } = this.settings
    const vlan = fields.vlan === 0 ? native : fields.vlan
    if (vlan !== 0 && (vlan === native || tagged[vlan] !== 0)) return vlan
    return this.drop('vlan')
  }

  carries(vlan: number): boolean { return vlan === this.settings.native || this.settings.tagged[vlan] !== 0 }

  /** Whether the station's frame may come in, apart from its VLAN. Drops are counted. */
  admits(frame: Frame, fields: FrameFields): boolean {
    const { settings } = this
    if (fields.isGroupSource || fields.isLinkLocalGroup) return this.#refuse('malformed')
    const packet = frame.segmentation === 'none' ? frame.length - ETHERNET_HEADER - fields.tagLength : frame.segmentSize
    if (packet > settings.mtu) return this.#refuse('tooLong')
    const objection = objectionTo(frame.bytes, frame.start, fields, settings)
    if (objection !== null) return this.#refuse(objection)
    return this.#passes(frame, fields, false) || this.#refuse('filtered')
  }

  /** Whether one more frame to all, or to an unknown address, may come in. */
  admitsFlood(now: number): boolean {
    if (!this.#storm.mayBegin(now)) return this.#refuse('storm')
    this.#storm.charge(1)
    return true
  }

  /** To the station, from the one behind port number `sender`. */
  deliver(frame: Frame, fields: FrameFields, sender: number): void {
    if (this.#station === null) return
    if (!this.#passes(frame, fields, true)) this.drop('refused')
    else this.send(frame, sender)
  }

  /** As `deliver`, whatever the rules. */
  send(frame: Frame, sender: number): void {
    const now = this.#switch.clock.now()
    if (this.#queue.isEmpty && this.#mayGive(now) && this.#give(frame)) return
    if (!this.#queue.push(sender, frame)) this.drop('congested')
  }

  drop(reason: DropReason): 0 {
    this.counters.drops[reason]++
    return 0
  }

  #refuse(reason: DropReason): false {
    this.counters.drops[reason]++
    return false
  }

  #passes(frame: Frame, fields: FrameFields, isIn: boolean): boolean {
    if (this.#filter === null) return true
    // The frame may have been moved, when it was given a tag or lost one: its payload is what ends where it ends.
    const end = frame.start + frame.length
    return this.#filter.passes(frame.bytes, end - (fields.end - fields.payload), end, fields.type, isIn, this.#switch.clock.now())
  }

  #mayGive(now: number): boolean {
    if (this.#out.mayBegin(now)) return true
    this.#outTimer.arm(this.#out.beginsAt)
    return false
  }

  #give(frame: Frame): boolean {
    if (this.#station === null || !this.#station.receive(frame)) return false
    this.#out.charge(frame.length)
    this.counters.sentFrames++
    this.counters.sentBytes += frame.length
    if (!this.isMirror) this.#show(frame)
    return true
  }

  #show(frame: Frame): void {
    for (const observer of this.observers) observer(frame)
    for (const mirror of this.mirrors) mirror.send(frame, this.index)
  }

  /** The station may send again. */
  #welcome(): void {
    if (!this.#refusing) return
    this.#refusing = false
    this.#station?.ready()
  }
}
