/**
 * UDP between guests and the outside: network address translation by sockets. A flow is a guest's address and port and a peer's; it has
 * a connected socket of the host's, so that the peer's ICMP errors come back to the guest. RFC 4787, with mapping and filtering that
 * depend on address and port.
 *
 * Bounded: when there are too many, the guest with the most of them loses the one it has used least recently.
 */
import type { IpPacket, Unreachable } from '../transport.ts'
import type { SocketFailure, UdpEvents, UdpSocket } from '../sockets.ts'
import { KEY_LENGTH, formatAddress, keyAddressLength, writeKey } from '../packet/addresses.ts'
import { copyBytes, getU16, setU16 } from '../packet/bytes.ts'
import { writeIpv4, DONT_FRAGMENT, IPV4_HEADER } from '../packet/ipv4.ts'
import { IPV6_HEADER, writeIpv6 } from '../packet/ipv6.ts'
import { Protocol, addressLength } from '../packet/packet.ts'
import { UDP_CHECKSUM, UDP_HEADER, writeUdp } from '../packet/udp.ts'
import { SlotTable } from '../slot-table.ts'
import { SECOND, type Ager, type Ageing } from './ager.ts'
import type { Counters } from './counters.ts'
import { PAYLOAD } from './link.ts'
import type { Output } from './output.ts'

/** RFC 4787 section 4.3: two minutes at least. Questions to name servers are over with their answer (RFC 5452 has a port for each). */
const PATIENCE = 120 * SECOND
const DNS_PATIENCE = 20 * SECOND
const DNS_PORT = 53
const SWEEP = 5 * SECOND
const LARGEST_DATA = 65_507

/** Guest's address, peer's address, guest's port, peer's port. */
const FLOW_KEY = KEY_LENGTH * 2 + 4
const PEER = KEY_LENGTH
const GUEST_PORT = KEY_LENGTH * 2
const PEER_PORT = GUEST_PORT + 2

/** A guest's card, and its flows in order of use. */
interface Owner {
  readonly key: string
  readonly flows: Set<Flow>
}

export interface FlowDescription {
  readonly guest: string
  readonly peer: string
  readonly guestPort: number
  readonly peerPort: number
  readonly published: boolean
}

export class UdpFlows implements Ageing {
  private readonly table: SlotTable
  private readonly flows: (Flow | null)[] = []
  private readonly owners = new Map<string, Owner>()
  private readonly key = new Uint8Array(FLOW_KEY)
  private readonly ager: Ager
  private readonly counters: Counters
  private readonly output: Output
  private readonly connect: (address: string, port: number, events: UdpEvents) => UdpSocket

  constructor(
    ager: Ager, counters: Counters, output: Output, limit: number, seed: number,
    connect: (address: string, port: number, events: UdpEvents) => UdpSocket) {
    this.table = new SlotTable(FLOW_KEY, limit, seed)
    this.ager = ager
    this.counters = counters
    this.output = output
    this.connect = connect
    ager.add(this)
  }

  get count(): number { return this.table.count }

  /** The flow of a guest's datagram, if there is one. */
  find(packet: IpPacket): Flow | null {
    this.writeKey(packet)
    const slot = this.table.find(this.key)
    return slot < 0 ? null : this.flows[slot]
  }

  /** A new flow for a guest's datagram to `address`, as the host knows it; `owner` is the guest's card. */
  open(packet: IpPacket, owner: string, address: string): Flow {
    this.writeKey(packet)
    const flow = this.create(owner, false)
    flow.socket = this.connect(address, getU16(packet.bytes, packet.payload + 2), flow)
    return flow
  }

  /**
   * A new flow from the outside, for a published port: `peer` is what the guest sees. Null: there is such a flow already.
   *
   * @param owner the publication, which stands for a guest when flows are to be evicted
   */
  accept(owner: string, guest: Uint8Array, guestPort: number, peer: Uint8Array, peerPort: number, socket: UdpSocket): Flow | null {
    writeKey(guest, 0, guest.length, this.key, 0)
    writeKey(peer, 0, peer.length, this.key, PEER)
    setU16(this.key, GUEST_PORT, guestPort)
    setU16(this.key, PEER_PORT, peerPort)
    if (this.table.find(this.key) >= 0) return null
    const flow = this.create(owner, true)
    flow.socket = socket
    return flow
  }

  /** Sends a guest's datagram on; a batch (USO) as the datagrams that it is. */
  send(flow: Flow, packet: IpPacket, dataLength: number): void {
    this.use(flow)
    const start = packet.payload + UDP_HEADER
    const step = packet.segmentSize === 0 ? Math.max(1, dataLength) : packet.segmentSize
    for (let at = 0; at < Math.max(1, dataLength); at += step) {
      flow.socket!.send(packet.bytes.subarray(start + at, start + Math.min(dataLength, at + step)))
      if (flow.slot < 0) return
    }
  }

  /** Sends a peer's datagram to the guest. */
  deliver(flow: Flow, bytes: Uint8Array): void {
    if (flow.slot < 0) return
    if (bytes.length > LARGEST_DATA) return this.counters.drop('malformed')
    this.use(flow)
    const { output } = this
    output.buffer.set(bytes, PAYLOAD + UDP_HEADER)
    const { keys } = this.table
    const at = flow.slot * FLOW_KEY
    writeUdp(output.buffer, PAYLOAD, getU16(keys, at + PEER_PORT), getU16(keys, at + GUEST_PORT), bytes.length)
    const length = keyAddressLength(keys, at)
    output.address(length === 4 ? 4 : 6, keys, at + PEER + KEY_LENGTH - length, keys, at + KEY_LENGTH - length)
    output.packet.protocol = Protocol.UDP
    output.packet.checksumField = UDP_CHECKSUM
    output.packet.partial = true
    output.transmit(UDP_HEADER + bytes.length)
  }

  /** The host's socket says that the peer cannot be reached. */
  fail(flow: Flow, failure: SocketFailure): void {
    if (flow.slot < 0) return
    const why = REASONS[failure]
    if (why === undefined) {
      this.counters.drop('flows')
      if (failure === 'too-long') return
    } else this.output.unreachable(this.quote(flow.slot * FLOW_KEY), why)
    this.close(flow)
  }

  close(flow: Flow): void {
    if (flow.slot < 0) return
    this.table.remove(flow.slot)
    this.flows[flow.slot] = null
    flow.slot = -1
    flow.owner.flows.delete(flow)
    if (flow.owner.flows.size === 0) this.owners.delete(flow.owner.key)
    flow.socket?.close()
    flow.closed?.()
  }

  closeAll(): void {
    for (const flow of this.flows) {
      if (flow !== null) this.close(flow)
    }
  }

  /** A guest is gone that had these addresses. */
  closeOf(addresses: ReadonlySet<string>): void {
    for (const flow of this.flows) {
      if (flow !== null && addresses.has(addressText(this.table.keys, flow.slot * FLOW_KEY))) this.close(flow)
    }
  }

  age(now: number): number {
    for (const flow of this.flows) {
      if (flow !== null && now - flow.lastUsed > this.patience(flow)) this.close(flow)
    }
    return this.table.count === 0 ? Infinity : now + SWEEP
  }

  list(): FlowDescription[] {
    return this.flows.filter(flow => flow !== null).map((flow) => {
      const at = flow.slot * FLOW_KEY
      const { keys } = this.table
      return {
        guest: addressText(keys, at), peer: addressText(keys, at + PEER), guestPort: getU16(keys, at + GUEST_PORT), peerPort: getU16(keys, at + PEER_PORT),
        published: flow.published,
      }
    })
  }

  private writeKey(packet: IpPacket): void {
    const length = addressLength(packet)
    writeKey(packet.bytes, packet.source, length, this.key, 0)
    writeKey(packet.bytes, packet.destination, length, this.key, PEER)
    copyBytes(packet.bytes, packet.payload, this.key, GUEST_PORT, 4)
  }

  /** A flow for `this.key`. */
  private create(ownerKey: string, published: boolean): Flow {
    if (this.table.count === this.table.capacity) this.evict()
    const owner = this.owners.get(ownerKey) ?? { key: ownerKey, flows: new Set<Flow>() }
    this.owners.set(ownerKey, owner)
    const flow = new Flow(this, owner, published, this.table.insert(this.key), this.ager.now())
    this.flows[flow.slot] = flow
    owner.flows.add(flow)
    if (this.table.count === 1) this.ager.wake(this.ager.now() + SWEEP)
    return flow
  }

  private evict(): void {
    let largest: Owner | undefined
    for (const owner of this.owners.values()) {
      if (owner.flows.size > (largest?.flows.size ?? 0)) largest = owner
    }
    this.counters.drop('flows')
    this.close(largest!.flows.values().next().value!)
  }

  /** The set's order is the order of use, a quarter of a second roughly: moving an entry costs more than a look. */
  private use(flow: Flow): void {
    const now = this.ager.now()
    if (now - flow.lastUsed > SECOND / 4) {
      flow.owner.flows.delete(flow)
      flow.owner.flows.add(flow)
    }
    flow.lastUsed = now
  }

  private patience(flow: Flow): number {
    return getU16(this.table.keys, flow.slot * FLOW_KEY + PEER_PORT) === DNS_PORT ? DNS_PATIENCE : PATIENCE
  }

  /** The head of a datagram of the flow, as the guest has sent it: what an ICMP error quotes. */
  private quote(at: number): Uint8Array {
    const { keys } = this.table
    const length = keyAddressLength(keys, at)
    const header = length === 4 ? IPV4_HEADER : IPV6_HEADER
    const bytes = new Uint8Array(header + UDP_HEADER)
    const addresses = length === 4 ? 12 : 8
    copyBytes(keys, at + KEY_LENGTH - length, bytes, addresses, length)
    copyBytes(keys, at + PEER + KEY_LENGTH - length, bytes, addresses + length, length)
    if (length === 4) writeIpv4(bytes, 0, header + UDP_HEADER, Protocol.UDP, 0, 0, DONT_FRAGMENT)
    else writeIpv6(bytes, 0, UDP_HEADER, Protocol.UDP, 0)
    writeUdp(bytes, header, getU16(keys, at + GUEST_PORT), getU16(keys, at + PEER_PORT), 0)
    return bytes
  }
}

const REASONS: Partial<Record<SocketFailure, Unreachable>> = {
  refused: 'port', 'unreachable-host': 'host', 'timed-out': 'host', 'unreachable-net': 'network', 'no-address': 'network',
  denied: 'prohibited', failed: 'host',
}

/** One flow; its socket's events come here. */
export class Flow implements UdpEvents {
  readonly owner: Owner
  readonly published: boolean
  socket: UdpSocket | null = null
  /** Told when the flow is gone. */
  closed: (() => void) | null = null
  /** -1: closed. */
  slot: number
  lastUsed: number
  private readonly flows: UdpFlows

  constructor(flows: UdpFlows, owner: Owner, published: boolean, slot: number, now: number) {
    this.flows = flows
    this.owner = owner
    this.published = published
    this.slot = slot
    this.lastUsed = now
  }

  end(): void { this.flows.close(this) }

  message(bytes: Uint8Array): void { this.flows.deliver(this, bytes) }

  failed(failure: SocketFailure): void { this.flows.fail(this, failure) }
}

/** The address in a key. */
function addressText(keys: Uint8Array, at: number): string {
  const length = keyAddressLength(keys, at)
  return formatAddress(keys, at + KEY_LENGTH - length, length)
}
