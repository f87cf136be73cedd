import type { IpPacket } from '../transport.ts'
import type { Flow } from './flow.ts'
import type { KeyedHash } from './keyed-hash.ts'

const BUCKETS_MINIMUM = 64

/**
 * Flows by both endpoints. A segment's flow is found from the bytes of its packet, without an allocation. Which bucket a flow falls into
 * depends on a secret, so that no guest can fill one.
 */
export class FlowTable {
  private readonly hasher: KeyedHash
  private buckets: (Flow | null)[] = Array.from({ length: BUCKETS_MINIMUM }, () => null)
  private flows = 0

  constructor(hasher: KeyedHash) { this.hasher = hasher }

  get size(): number { return this.flows }

  /** The hash of two endpoints: addresses of `size` bytes at two places of `bytes`. */
  hash(bytes: Uint8Array, size: number, guest: number, other: number, ports: number): number {
    const { hasher } = this
    hasher.start()
    for (let at = 0; at < size; at += 4) {
      hasher.add(word(bytes, guest + at))
      hasher.add(word(bytes, other + at))
    }
    hasher.add(ports)
    return hasher.finish()
  }

  /** `guest` and `other` are the places of the addresses in the packet's bytes. */
  find(packet: IpPacket, hash: number, guest: number, guestPort: number, other: number, otherPort: number): Flow | null {
    let flow = this.buckets[this.bucket(hash)]
    while (flow !== null && !(flow.hash === hash && matches(flow, packet, guest, guestPort, other, otherPort))) flow = flow.nextInBucket
    return flow
  }

  add(flow: Flow): void {
    if (this.flows >= this.buckets.length) this.resize(2 * this.buckets.length)
    this.flows++
    this.link(flow)
  }

  remove(flow: Flow): void {
    const bucket = this.bucket(flow.hash)
    let before = this.buckets[bucket]
    if (before === flow) this.buckets[bucket] = flow.nextInBucket
    while (before !== null && before.nextInBucket !== flow) before = before.nextInBucket
    if (before !== null) before.nextInBucket = flow.nextInBucket
    flow.nextInBucket = null
    this.flows--
    if (this.flows * 8 < this.buckets.length && this.buckets.length > BUCKETS_MINIMUM) this.resize(this.buckets.length / 2)
  }

  all(): Flow[] {
    const flows: Flow[] = []
    for (const first of this.buckets) for (let flow = first; flow !== null; flow = flow.nextInBucket) flows.push(flow)
    return flows
  }

  private bucket(hash: number): number { return hash & (this.buckets.length - 1) }

  private link(flow: Flow): void {
    const bucket = this.bucket(flow.hash)
    flow.nextInBucket = this.buckets[bucket]
    this.buckets[bucket] = flow
  }

  private resize(length: number): void {
    const flows = this.all()
    this.buckets = Array.from({ length }, () => null)
    for (const flow of flows) this.link(flow)
  }
}

function matches(flow: Flow, packet: IpPacket, guest: number, guestPort: number, other: number, otherPort: number): boolean {
  const { pair } = flow.connection
  return pair.remotePort === guestPort && pair.localPort === otherPort && pair.version === packet.version
    && equal(pair.remoteAddress, packet.bytes, guest) && equal(pair.localAddress, packet.bytes, other)
}

function equal(address: Uint8Array, bytes: Uint8Array, at: number): boolean {
  for (let index = 0; index < address.length; index++) if (address[index] !== bytes[at + index]) return false
  return true
}

function word(bytes: Uint8Array, at: number): number {
  return bytes[at] << 24 | bytes[at + 1] << 16 | bytes[at + 2] << 8 | bytes[at + 3]
}
