/**
 * The seam between IP and TCP: the gateway's IP (gateway/) gives whole, checked segments to a `SegmentTransport` (tcp/), which gives
 * back segments to be sent. Nothing is allocated per segment: packets and headers are objects that are used again.
 */
import type { PlainData, Stateful } from '../machine/lifecycle.ts'
import type { Clock } from '../machine/clock.ts'
import type { HostStream, StreamEvents } from './sockets.ts'

/** A whole IP packet in a buffer. Valid only during the call that it is given to. */
export interface IpPacket {
  bytes: Uint8Array
  version: 4 | 6
  /** Where the IP header starts. */
  header: number
  /** Where the addresses are, 4 or 16 bytes each. */
  source: number
  destination: number
  /** What the payload is, after all extension headers: an Internet protocol number. */
  protocol: number
  payload: number
  payloadLength: number
  /** Time to live or hop limit. */
  hopLimit: number
  /** Type of service or traffic class, ECN in its two low bits. */
  trafficClass: number
  /** The checksum of the payload needs no check: it is known to be right, or is still to be computed. */
  checksumValid: boolean
  /** Bytes in each segment of a payload that is to be cut into several; 0: it is one. */
  segmentSize: number
}

/** What a segment is sent with. Addresses have 4 or 16 bytes. */
export interface SegmentHeader {
  version: 4 | 6
  source: Uint8Array
  destination: Uint8Array
  trafficClass: number
  /** Bytes of payload in each segment, if the link is to cut it (TSO); 0: it is one packet, and fits `mtu`. */
  segmentSize: number
}

export interface SegmentOutput {
  /** The largest IP packet of the link to the guests, in bytes. */
  readonly mtu: number
  /** A segment, TCP header first, is written here from `segmentStart` on; room for 65,495 bytes. Valid until `send` returns. */
  readonly buffer: Uint8Array
  readonly segmentStart: number
  /**
   * Puts IP and Ethernet headers before the segment of `length` bytes and sends it. The checksum field is filled in here. False: the
   * link is full; nothing was sent, and `SegmentTransport.ready` follows. A neighbour that is not known yet counts as sent.
   */
  send(header: SegmentHeader, length: number): boolean
  /** As much of a packet as an ICMP error quotes, to be kept for `unreachable`: at most 128 bytes. */
  quote(packet: IpPacket): Uint8Array
  /** Tells the sender of a quoted packet that its destination cannot be reached. Rate-limited. */
  unreachable(quote: Uint8Array, why: Unreachable): void
}

/** ICMP's reasons; `prohibited`: by rules. */
export type Unreachable = 'network' | 'host' | 'port' | 'prohibited'

/** Where a connection of a guest's may not go, and what the guest hears: RST or an ICMP error. */
export type Refusal = 'reset' | Unreachable

/** What TCP has below and beside it. */
export interface TransportContext {
  readonly clock: Clock
  readonly output: SegmentOutput
  /**
   * Opens what a guest's SYN asks for: a socket of the host's, or a service of the gateway's own, which look the same. `events` hears
   * nothing before this has returned.
   */
  connect(syn: IpPacket, port: number, events: StreamEvents): HostStream | Refusal
}

export interface Endpoint {
  readonly version: 4 | 6
  /** 4 or 16 bytes. */
  readonly address: Uint8Array
  readonly port: number
}

/** TCP towards the guests of one network. */
export interface SegmentTransport extends Stateful<PlainData> {
  /**
   * A segment from a guest. Checked: at least 20 bytes, the checksum, and a source that is a unicast address. Not checked: the data
   * offset, options, flags, ports.
   */
  receive(packet: IpPacket): void
  /**
   * An ICMP error of a guest's about a segment of ours: `quoted` has our source, and at least 8 bytes of our TCP header. `mtu` is
   * that of a `too-big`, else 0.
   */
  failed(quoted: IpPacket, why: 'unreachable' | 'too-big', mtu: number): void
  /**
   * A stream of the host's goes to a guest's port. The guest sees it come from `from`. Null: no room, or the pair of endpoints is in
   * use.
   */
  accept(stream: HostStream, from: Endpoint, to: Endpoint): StreamEvents | null
  /** `SegmentOutput.send` has refused, and has room again. */
  ready(): void
  /** What `endSaved` needs, of the guest that has these addresses. */
  flowsOf(addresses: ReadonlySet<string>): PlainData
  /** The guest that had these addresses is gone: ends its connections. */
  endFlowsOf(addresses: ReadonlySet<string>): void
  /**
   * Tells a guest that connections are gone which it had when `flowsOf` was asked. `found` is called before, for each of its addresses.
   * Throws SNAPSHOT_INVALID.
   */
  endSaved(state: PlainData, found: (address: Uint8Array) => void): void
  /** Ends all connections: the network goes. Resets them towards guests and host. */
  close(): void
}

/** How a gateway gets its TCP. */
export type TransportFactory = (context: TransportContext) => SegmentTransport
