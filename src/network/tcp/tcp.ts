/**
 * TCP towards the guests of one network: the `SegmentTransport` of the gateway. Whatever address a guest connects to, the connection ends
 * here, and is spliced with a stream of the host's (flow.ts).
 *
 * A guest's SYN is answered when the host's own connection is there, so that the guest hears what really happens: a refusal is RST, an
 * unreachable host an ICMP error. What belongs to no flow is answered with RST (RFC 9293, section 3.10.7.1).
 *
 * Bounds, none of which a guest can stretch: flows, flows of one guest, openings of one guest at a time (SYN beyond that are dropped, and
 * come again), flows in TIME-WAIT (the oldest goes), bytes of data (buffer-pool.ts).
 */
import type { Timer } from '../../machine/clock.ts'
import type { PlainData } from '../../machine/lifecycle.ts'
import { StateReader } from '../../machine/state-reader.ts'
import { formatAddress } from '../packet/addresses.ts'
import type { HostStream, StreamEvents } from '../sockets.ts'
import type { Endpoint, IpPacket, SegmentHeader, SegmentTransport, TransportContext, TransportFactory, Unreachable } from '../transport.ts'
import { BufferPool } from './buffer-pool.ts'
import type { ConnectionLink, ConnectionPair } from './connection-link.ts'
import { DeadlineHeap } from './deadline-heap.ts'
import { Flow } from './flow.ts'
import type { FlowOwner } from './flow.ts'
import { FlowTable } from './flow-table.ts'
import { GuestCounts } from './guest-counts.ts'
import { KeyedHash } from './keyed-hash.ts'
import { ResetWriter } from './reset-writer.ts'
import { Control, Segment } from './segment.ts'
import { isAfter } from './sequence.ts'
import { readFlows, saveFlow } from './saved-flow.ts'
import type { SavedFlow } from './saved-flow.ts'

export interface TcpOptions {
  /** 32 random bits that no guest can guess, or know from others. */
  random(): number
  limits?: Partial<TcpLimits>
}

export interface TcpLimits {
  flows: number
  flowsOfGuest: number
  openingsOfGuest: number
  timeWaits: number
  /** Bytes of data in all flows, both directions. */
  memory: number
}

export const TCP_LIMITS: TcpLimits = { flows: 16_384, flowsOfGuest: 12_288, openingsOfGuest: 1024, timeWaits: 4096, memory: 48 << 20 }

const NANOSECONDS = 1e6

/** Makes a gateway's TCP. */
export function tcpFactory(options: TcpOptions): TransportFactory {
  return context => new Tcp(context, options)
}

export class Tcp implements SegmentTransport, FlowOwner, ConnectionLink {
  readonly schema = 'network-tcp'
  readonly version = 1
  readonly pool: BufferPool
  /** Milliseconds, as of the event that is being handled. */
  now = 0

  private readonly context: TransportContext
  private readonly limits: TcpLimits
  private readonly sequenceHash: KeyedHash
  private readonly table: FlowTable
  private readonly counts = new GuestCounts()
  private readonly timer: Timer
  private readonly heap = new DeadlineHeap<Flow>()
  private readonly timeWaits = new Set<Flow>()
  private blocked: Flow[] = []
  private restored: SavedFlow[] = []

  private readonly segment = new Segment()
  private readonly resets: ResetWriter
  private readonly header: { -readonly [Key in keyof SegmentHeader]: SegmentHeader[Key] } = {
    version: 4, source: new Uint8Array(4), destination: new Uint8Array(4), trafficClass: 0, segmentSize: 0,
  }

  constructor(context: TransportContext, options: TcpOptions) {
    this.context = context
    this.limits = { ...TCP_LIMITS, ...options.limits }
    this.pool = new BufferPool(this.limits.memory)
    this.table = new FlowTable(new KeyedHash(options.random(), options.random()))
    this.sequenceHash = new KeyedHash(options.random(), options.random())
    this.resets = new ResetWriter(context.output)
    this.timer = context.clock.timer(() => this.wake())
    this.begin()
  }

  /** Flows of all states. */
  get flows(): number { return this.table.size }

  // ── SegmentTransport ──

  receive(packet: IpPacket): void {
    const { segment } = this
    if (!segment.parse(packet.bytes, packet.payload, packet.payloadLength)) return
    if (segment.sourcePort === 0 || segment.destinationPort === 0) return
    this.begin()
    const hash = this.hash(packet, packet.source, segment.sourcePort, packet.destination, segment.destinationPort)
    const flow = this.table.find(packet, hash, packet.source, segment.sourcePort, packet.destination, segment.destinationPort)
    if (flow !== null && !this.isReplaced(flow)) {
      flow.connection.receive(segment)
      this.settle(flow)
    } else this.receiveNew(packet, hash)
  }

  failed(quoted: IpPacket, why: 'unreachable' | 'too-big', mtu: number): void {
    const { bytes, payload } = quoted
    const view = new DataView(bytes.buffer, bytes.byteOffset + payload)
    const [ourPort, guestPort, sequence] = [view.getUint16(0), view.getUint16(2), view.getInt32(4)]
    const hash = this.hash(quoted, quoted.destination, guestPort, quoted.source, ourPort)
    const flow = this.table.find(quoted, hash, quoted.destination, guestPort, quoted.source, ourPort)
    if (flow === null) return
    this.begin()
    if (why === 'too-big') flow.connection.packetTooBig(sequence, mtu)
    else flow.connection.unreachable(sequence)
    this.settle(flow)
  }

  accept(stream: HostStream, from: Endpoint, to: Endpoint): StreamEvents | null {
    this.begin()
    const pair = pairOf(from, to)
    const packet = packetOf(pair)
    const hash = this.hash(packet, packet.source, to.port, packet.destination, from.port)
    const old = this.table.find(packet, hash, packet.source, to.port, packet.destination, from.port)
    if (old !== null && old.connection.state !== 'TIME-WAIT') return null
    if (old !== null) this.drop(old)
    if (!this.hasRoom(to.address)) return null
    const flow = this.addFlow(pair, hash)
    flow.publish(stream)
    this.settle(flow)
    return flow
  }

  ready(): void {
    this.begin()
    const waiting = this.blocked
    this.blocked = []
    let served = 0
    while (served < waiting.length && this.blocked.length === 0) this.serve(waiting[served++])
    this.blocked.unshift(...waiting.slice(served))
  }

  flowsOf(addresses: ReadonlySet<string>): PlainData { return saveFlows(this.flowsTo(addresses)) }

  endFlowsOf(addresses: ReadonlySet<string>): void {
    this.begin()
    for (const flow of this.flowsTo(addresses)) this.drop(flow)
  }

  endSaved(state: PlainData, found: (address: Uint8Array) => void): void {
    for (const flow of readFlows(new StateReader('network-tcp', state), this.limits.flows)) {
      found(flow.remoteAddress)
      this.resets.end(flow)
    }
  }

  close(): void {
    this.begin()
    for (const flow of this.table.all()) this.drop(flow)
    this.timer.disarm()
  }

  // ── Stateful ──

  /** What is needed to end the flows decently elsewhere: the host's sockets cannot move. */
  save(): PlainData { return saveFlows(this.table.all()) }

  restore(state: PlainData): void {
    this.restored = readFlows(new StateReader('network-tcp', state), this.limits.flows)
  }

  resume(): void {
    for (const flow of this.restored) this.resets.end(flow)
    this.restored = []
  }

  reset(): void { this.close() }

  // ── FlowOwner, ConnectionLink ──

  get link(): ConnectionLink { return this }
  get mtu(): number { return this.context.output.mtu }
  get buffer(): Uint8Array { return this.context.output.buffer }
  get segmentStart(): number { return this.context.output.segmentStart }

  begin(): void { this.now = this.context.clock.now() / NANOSECONDS }

  send(pair: ConnectionPair, length: number, segmentSize: number): boolean {
    const { header, context: { output } } = this
    header.version = pair.version
    header.source = pair.localAddress
    header.destination = pair.remoteAddress
    header.segmentSize = segmentSize
    return output.send(header, length)
  }

  settle(flow: Flow): void {
    const { connection } = flow
    if (connection.state === 'CLOSED') {
      this.remove(flow)
      return
    }
    if (connection.state === 'TIME-WAIT') this.noteTimeWait(flow)
    if (connection.waitsForLink && !flow.isBlocked) {
      flow.isBlocked = true
      this.blocked.push(flow)
    }
    this.counts.setOpening(flow, connection.state === 'OPENING')
    this.heap.wakeBy(flow, connection.deadline)
    this.armTimer()
  }

  unreachable(quote: Uint8Array, why: Unreachable): void { this.context.output.unreachable(quote, why) }

  // ── new flows ──

  private receiveNew(packet: IpPacket, hash: number): void {
    const { segment } = this
    if (segment.has(Control.RST)) return
    if (!segment.has(Control.SYN) || segment.has(Control.ACK)) this.resets.answer(packet, segment)
    else if (segment.has(Control.FIN)) return
    else this.open(packet, hash)
  }

  private open(packet: IpPacket, hash: number): void {
    const { segment } = this
    const pair = this.pairOfSyn(packet)
    if (this.counts.openings(pair.remoteAddress) >= this.limits.openingsOfGuest) return
    if (!this.hasRoom(pair.remoteAddress)) {
      this.resets.answer(packet, segment)
      return
    }
    const flow = this.addFlow(pair, hash)
    flow.connection.noteSyn(segment)
    this.counts.setOpening(flow, true)
    const stream = this.context.connect(packet, segment.destinationPort, flow)
    if (typeof stream === 'object') flow.opening(stream, this.context.output.quote(packet))
    else if (stream === 'reset') flow.connection.refuse()
    else {
      flow.abort()
      this.unreachable(this.context.output.quote(packet), stream)
    }
    this.settle(flow)
  }

  /** RFC 9293, section 3.6.1: a new SYN ends TIME-WAIT, if it cannot be an old one. */
  private isReplaced(flow: Flow): boolean {
    const { connection } = flow
    const { segment } = this
    if (connection.state !== 'TIME-WAIT' || !segment.has(Control.SYN) || segment.has(Control.ACK | Control.RST)) return false
    if (!isAfter(segment.sequence, connection.receiver.next) || connection.receiver.queue.length > 0) return false
    this.drop(flow)
    return true
  }

  private addFlow(pair: ConnectionPair, hash: number): Flow {
    const flow = new Flow(this, pair, this.initialSequence(hash), hash)
    this.table.add(flow)
    this.counts.add(flow)
    return flow
  }

  private hasRoom(guest: Uint8Array): boolean {
    if (this.counts.flows(guest) >= this.limits.flowsOfGuest) return false
    if (this.table.size < this.limits.flows) return true
    const [oldest] = this.timeWaits
    if (oldest !== undefined) this.drop(oldest)
    return oldest !== undefined
  }

  /** RFC 6528, with a clock of 4 µs: later connections of the same endpoints have later numbers. */
  private initialSequence(hash: number): number {
    this.sequenceHash.start()
    this.sequenceHash.add(hash)
    return (this.sequenceHash.finish() + Math.floor(this.now * 250)) | 0
  }

  /** A flow that waited for the link. */
  private serve(flow: Flow): void {
    flow.isBlocked = false
    flow.connection.linkReady()
    this.settle(flow)
  }

  // ── the end of flows, and time ──

  private noteTimeWait(flow: Flow): void {
    this.timeWaits.add(flow)
    const [oldest] = this.timeWaits
    if (this.timeWaits.size > this.limits.timeWaits) this.drop(oldest)
  }

  /** Ends a flow now: nothing is left of it, on either side. In TIME-WAIT, nobody notices. */
  private drop(flow: Flow): void {
    if (flow.connection.state === 'TIME-WAIT') flow.connection.forget()
    else flow.abort()
    this.remove(flow)
  }

  private remove(flow: Flow): void {
    if (flow.isRemoved) return
    flow.isRemoved = true
    this.table.remove(flow)
    this.heap.remove(flow)
    this.timeWaits.delete(flow)
    this.counts.setOpening(flow, false)
    this.counts.remove(flow)
  }

  private flowsTo(addresses: ReadonlySet<string>): Flow[] {
    return this.table.all().filter(({ connection: { pair: { remoteAddress } } }) =>
      addresses.has(formatAddress(remoteAddress, 0, remoteAddress.length)))
  }

  private wake(): void {
    this.begin()
    while (this.heap.next <= this.now) {
      const flow = this.heap.pop() as Flow
      if (flow.connection.deadline <= this.now) flow.connection.expire()
      this.settle(flow)
    }
    this.armTimer()
  }

  private armTimer(): void {
    const deadline = this.heap.next * NANOSECONDS
    if (deadline < this.timer.deadline) this.timer.arm(deadline)
  }

  private hash(packet: IpPacket, guest: number, guestPort: number, other: number, otherPort: number): number {
    return this.table.hash(packet.bytes, packet.version === 4 ? 4 : 16, guest, other, guestPort << 16 | otherPort)
  }

  private pairOfSyn(packet: IpPacket): ConnectionPair {
    const { bytes, version, source, destination } = packet
    const size = version === 4 ? 4 : 16
    return {
      version, localAddress: copyOf(bytes, destination, size), localPort: this.segment.destinationPort,
      remoteAddress: this.counts.addressOf(copyOf(bytes, source, size)), remotePort: this.segment.sourcePort,
    }
  }
}

function saveFlows(flows: readonly Flow[]): PlainData {
  return { flows: flows.filter(flow => flow.connection.isSynchronized).map(flow => saveFlow(flow.connection)) }
}

function pairOf(from: Endpoint, to: Endpoint): ConnectionPair {
  return {
    version: to.version, localAddress: new Uint8Array(from.address), localPort: from.port,
    remoteAddress: new Uint8Array(to.address), remotePort: to.port,
  }
}

/** Not `slice`, which for a Buffer of Node's is a view. */
function copyOf(bytes: Uint8Array, start: number, size: number): Uint8Array { return new Uint8Array(bytes.subarray(start, start + size)) }

/** A pair of endpoints as a packet from the guest would have it. */
function packetOf(pair: ConnectionPair): IpPacket {
  const { version, localAddress, remoteAddress } = pair
  const bytes = new Uint8Array(2 * localAddress.length)
  bytes.set(remoteAddress)
  bytes.set(localAddress, localAddress.length)
  return {
    bytes, version, header: 0, source: 0, destination: localAddress.length, protocol: 6, payload: bytes.length, payloadLength: 0,
    hopLimit: 64, trafficClass: 0, checksumValid: true, segmentSize: 0,
  }
}
