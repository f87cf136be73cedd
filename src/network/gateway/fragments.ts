/**
 * Reassembly of IPv4 and IPv6 fragments. RFC 791 section 3.2, RFC 815, RFC 8200 section 4.5; a datagram with overlapping fragments is
 * dropped as a whole in both (RFC 5722).
 *
 * Bounded in datagrams, in bytes, in fragments of one, and in time; the oldest datagram makes room.
 */
import { copyBytes, setU16 } from '../packet/bytes.ts'
import { writeIpv4 } from '../packet/ipv4.ts'
import { IPV6_HEADER } from '../packet/ipv6.ts'
import { addressLength, type ParsedPacket } from '../packet/packet.ts'
import { SECOND, type Ager, type Ageing } from './ager.ts'
import type { Counters } from './counters.ts'

const DATAGRAMS = 64
const DATAGRAMS_OF_ONE = 16
const FRAGMENTS = 128
const TOTAL_BYTES = 2 << 20
/** RFC 1122 section 3.3.2 has 60 to 120 s, Linux 30; RFC 8200 has 60. */
const PATIENCE = 30 * SECOND
const HEADER_ROOM = 40

interface Datagram {
  readonly key: string
  readonly source: string
  readonly version: 4 | 6
  readonly since: number
  /** The header of what is whole, then the payload. */
  bytes: Uint8Array
  /** Pairs of start and end, in order, without overlaps. */
  ranges: number[]
  /** -1 until the last fragment is here. */
  total: number
  /** The first fragment as it came, for an error. */
  first: Uint8Array | null
  trafficClass: number
  hopLimit: number
  /** IPv6 has it in the fragment header, which may lie anywhere: the parser's. */
  protocol: number
}

/** What a datagram that never became whole leaves to be told of: its first fragment, from its IP header on. */
export type Expired = (version: 4 | 6, first: Uint8Array) => void

export class Fragments implements Ageing {
  private readonly datagrams = new Map<string, Datagram>()
  private held = 0
  private readonly ager: Ager
  private readonly counters: Counters
  private readonly expired: Expired

  constructor(ager: Ager, counters: Counters, expired: Expired) {
    this.ager = ager
    this.counters = counters
    this.expired = expired
    ager.add(this)
  }

  /** Takes a fragment. Returns the whole packet, from its header on, when this was the last that was missing. */
  add(packet: ParsedPacket): Uint8Array | null {
    const key = keyOf(packet)
    const datagram = this.datagrams.get(key) ?? this.open(key, packet)
    if (datagram === null || !this.put(datagram, packet)) {
      this.counters.drop('fragments')
      if (datagram !== null) this.close(datagram)
      return null
    }
    if (datagram.ranges.length !== 2 || datagram.ranges[0] !== 0 || datagram.ranges[1] !== datagram.total) return null
    this.close(datagram)
    return finish(datagram)
  }

  age(now: number): number {
    for (const datagram of this.datagrams.values()) {
      if (now - datagram.since < PATIENCE) return datagram.since + PATIENCE
      this.close(datagram)
      this.counters.drop('fragments')
      if (datagram.first !== null) this.expired(datagram.version, datagram.first)
    }
    return Infinity
  }

  private open(key: string, packet: ParsedPacket): Datagram | null {
    const source = key.slice(0, key.indexOf('/'))
    const same = [...this.datagrams.values()].filter(each => each.source === source)
    if (same.length >= DATAGRAMS_OF_ONE) this.evict(same[0])
    else if (this.datagrams.size >= DATAGRAMS) this.evict(this.datagrams.values().next().value!)
    const now = this.ager.now()
    const datagram: Datagram = {
      key, source, version: packet.version, since: now, bytes: new Uint8Array(0), ranges: [], total: -1, first: null,
      trafficClass: packet.trafficClass, hopLimit: packet.hopLimit, protocol: packet.protocol,
    }
    this.datagrams.set(key, datagram)
    this.ager.wake(now + PATIENCE)
    return datagram
  }

  private evict(datagram: Datagram): void {
    this.counters.drop('fragments')
    this.close(datagram)
  }

  /** False: the datagram cannot become whole any more. */
  private put(datagram: Datagram, packet: ParsedPacket): boolean {
    const start = packet.fragmentOffset
    const end = start + packet.payloadLength
    if (end > 0xffff - 20 || packet.payloadLength === 0 || (packet.moreFragments && (packet.payloadLength & 7) !== 0)) return false
    if (datagram.total >= 0 && (packet.moreFragments ? end > datagram.total : end !== datagram.total)) return false
    if (!packet.moreFragments && datagram.ranges.length > 0 && datagram.ranges.at(-1)! > end) return false
    const placed = insertRange(datagram.ranges, start, end)
    if (placed === 'repeated') return true
    if (placed === 'overlaps' || datagram.ranges.length > FRAGMENTS * 2 || !this.reserve(datagram, HEADER_ROOM + end)) return false
    if (!packet.moreFragments) datagram.total = end
    if (start === 0) {
      datagram.first = packet.bytes.slice(packet.header, packet.payload + packet.payloadLength)
      datagram.protocol = packet.protocol
    }
    copyBytes(packet.bytes, packet.payload, datagram.bytes, HEADER_ROOM + start, packet.payloadLength)
    copyBytes(packet.bytes, packet.source, datagram.bytes, datagram.version === 4 ? 32 : 8, addressLength(packet) * 2)
    return true
  }

  private reserve(datagram: Datagram, length: number): boolean {
    if (length <= datagram.bytes.length) return true
    const size = Math.min(HEADER_ROOM + 0xffff, Math.max(length, datagram.bytes.length * 2))
    if (this.held + size - datagram.bytes.length > TOTAL_BYTES) return false
    this.held += size - datagram.bytes.length
    const larger = new Uint8Array(size)
    larger.set(datagram.bytes)
    datagram.bytes = larger
    return true
  }

  private close(datagram: Datagram): void {
    this.datagrams.delete(datagram.key)
    this.held -= datagram.bytes.length
  }
}

/** Source first, then all that tells datagrams apart. */
function keyOf(packet: ParsedPacket): string {
  const text = (at: number) => packet.bytes.subarray(at, at + addressLength(packet)).join('.')
  return `${text(packet.source)}/${text(packet.destination)}/${packet.identification}/${packet.version === 4 ? packet.protocol : ''}`
}

/** Puts a range among others, joined with its neighbours. One that is there already, as a whole, is a repetition. */
function insertRange(ranges: number[], start: number, end: number): 'placed' | 'repeated' | 'overlaps' {
  let index = 0
  while (index < ranges.length && ranges[index + 1] < start) index += 2
  // `index` is the first range that touches or follows.
  const joinsBefore = index < ranges.length && ranges[index + 1] === start
  const following = joinsBefore ? index + 2 : index
  if (index < ranges.length && !joinsBefore && ranges[index] <= start && end <= ranges[index + 1]) return 'repeated'
  if (following < ranges.length && ranges[following] < end) return 'overlaps'
  const joinsAfter = following < ranges.length && ranges[following] === end
  if (joinsBefore && joinsAfter) ranges.splice(index + 1, 2)
  else if (joinsBefore) ranges[index + 1] = end
  else if (joinsAfter) ranges[following] = start
  else ranges.splice(index, 0, start, end)
  return 'placed'
}

/** The whole packet, with a header that says so. */
function finish(datagram: Datagram): Uint8Array {
  const { bytes, total } = datagram
  if (datagram.version === 4) {
    writeIpv4(bytes, 20, 20 + total, datagram.protocol, datagram.trafficClass, 0, 0, datagram.hopLimit)
    return bytes.subarray(20, HEADER_ROOM + total)
  }
  bytes[0] = 0x60 | datagram.trafficClass >>> 4
  bytes[1] = datagram.trafficClass << 4
  setU16(bytes, 4, total)
  bytes[6] = datagram.protocol
  bytes[7] = datagram.hopLimit
  return bytes.subarray(0, IPV6_HEADER + total)
}
