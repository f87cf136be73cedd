/**
 * The flows that were allowed at a port, and until when they are remembered. Limits of time: RFC 5382 REQ-5 (TCP), RFC 4787 REQ-5 (UDP),
 * RFC 5508 REQ-2 (ICMP).
 *
 * The table has a fixed size, in buckets of eight. Where a bucket is full, the flow that would be forgotten first makes room, and one that
 * was never answered before one that was: so a station that opens thousands of flows forgets its own attempts.
 */
import type { PlainData } from '../../machine/lifecycle.ts'
import type { StateReader } from '../../machine/state-reader.ts'
import { equalBytes } from '../packet/bytes.ts'
import { Protocol } from '../packet/packet.ts'
import { FLOW_KEY_LENGTH, TcpFlag } from './flow.ts'
import type { Flow } from './flow.ts'

const BUCKETS = 512
const WAYS = 8
const PLACES = BUCKETS * WAYS

const Mark = { ANSWERED: 1, STARTED_INSIDE: 2, FIN_OUT: 4, FIN_IN: 8, RESET: 16 } as const
const ALL_MARKS = Object.values(Mark).reduce((all, mark) => all | mark, 0)
const SECOND = 1e9
const LONGEST_LIFETIME = 7440 * SECOND
/** Until an answer comes, and once it came. */
const LIFETIMES: Readonly<Record<number, readonly [number, number] | undefined>> = {
  [Protocol.TCP]: [60 * SECOND, LONGEST_LIFETIME],
  [Protocol.UDP]: [60 * SECOND, 300 * SECOND],
  [Protocol.ICMP]: [60 * SECOND, 60 * SECOND],
  [Protocol.ICMPV6]: [60 * SECOND, 60 * SECOND],
}
const OTHER_LIFETIME = [60 * SECOND, 600 * SECOND] as const
/** Of a TCP connection that was closed from both sides, or reset. */
const CLOSED_LIFETIME = 10 * SECOND

export class FlowTable {
  readonly #seed: number
  readonly #keys = new Uint8Array(PLACES * FLOW_KEY_LENGTH)
  /** 0: the place is free. */
  readonly #deadlines = new Float64Array(PLACES)
  readonly #marks = new Uint8Array(PLACES)

  /** `seed` is any number that nobody can guess. */
  constructor(seed: number) { this.#seed = seed >>> 0 }

  /** Whether the flow is known. */
  has(flow: Flow, now: number): boolean { return this.#find(flow.key, now) >= 0 }

  /** A packet of the flow passes, which becomes known by it if it was not. Not for errors about a flow. */
  note(flow: Flow, isIn: boolean, now: number): void {
    let place = this.#find(flow.key, now)
    if (place < 0) {
      place = this.#make(flow.key, now)
      this.#marks[place] = isIn ? 0 : Mark.STARTED_INSIDE
    }
    this.#mark(place, flow, isIn)
    this.#deadlines[place] = now + this.#lifetime(place, flow.protocol)
  }

  /** The flows that are remembered: each its key, how long it has left in nanoseconds, and what was seen of it. */
  save(now: number): PlainData {
    const places = Array.from({ length: PLACES }, (_, place) => place).filter((place) => this.#deadlines[place] > now)
    return places.map((place) => {
      const key = this.#keys.slice(place * FLOW_KEY_LENGTH, (place + 1) * FLOW_KEY_LENGTH)
      return { key, left: this.#deadlines[place] - now, marks: this.#marks[place] }
    })
  }

  /** Remembers what `save` gave, the field `flows`, beside what is known already. @throws TenonError SNAPSHOT_INVALID */
  restore(reader: StateReader, now: number): void {
    for (const each of reader.childrenAtMost('flows', PLACES)) {
      const [key, left, marks] = [each.bytes('key', FLOW_KEY_LENGTH), each.time('left'), each.integer('marks', 0, ALL_MARKS)]
      const place = this.#make(key, now)
      this.#marks[place] = marks
      this.#deadlines[place] = now + Math.min(left, LONGEST_LIFETIME)
    }
  }

  #mark(place: number, flow: Flow, isIn: boolean): void {
    const startedInside = (this.#marks[place] & Mark.STARTED_INSIDE) !== 0
    if (startedInside === isIn) this.#marks[place] |= Mark.ANSWERED
    if (flow.protocol !== Protocol.TCP) return
    if ((flow.tcpFlags & TcpFlag.FIN) !== 0) this.#marks[place] |= isIn ? Mark.FIN_IN : Mark.FIN_OUT
    if ((flow.tcpFlags & TcpFlag.RST) !== 0) this.#marks[place] |= Mark.RESET
    // The same ports are used for a new connection.
    if ((flow.tcpFlags & TcpFlag.SYN) !== 0) this.#marks[place] &= ~(Mark.FIN_IN | Mark.FIN_OUT | Mark.RESET)
  }

  #lifetime(place: number, protocol: number): number {
    const marks = this.#marks[place]
    const closed = (marks & Mark.RESET) !== 0 || (marks & Mark.FIN_IN) !== 0 && (marks & Mark.FIN_OUT) !== 0
    if (closed) return CLOSED_LIFETIME
    return (LIFETIMES[protocol] ?? OTHER_LIFETIME)[(marks & Mark.ANSWERED) === 0 ? 0 : 1]
  }

  #find(key: Uint8Array, now: number): number {
    const first = this.#bucket(key)
    for (let place = first; place < first + WAYS; place++) {
      if (this.#deadlines[place] > now && equalBytes(this.#keys, place * FLOW_KEY_LENGTH, key, 0, FLOW_KEY_LENGTH)) return place
    }
    return -1
  }

  #make(key: Uint8Array, now: number): number {
    const first = this.#bucket(key)
    let best = first
    for (let place = first; place < first + WAYS; place++) if (this.#worth(place, now) < this.#worth(best, now)) best = place
    this.#keys.set(key, best * FLOW_KEY_LENGTH)
    return best
  }

  /** How much would be lost: nothing of a flow that is over, more by one that was answered than by any other. */
  #worth(place: number, now: number): number {
    if (this.#deadlines[place] <= now) return 0
    return this.#deadlines[place] + ((this.#marks[place] & Mark.ANSWERED) === 0 ? 0 : 1e15)
  }

  /** FNV-1a, with the seed as its basis and a last mix. */
  #bucket(key: Uint8Array): number {
    let hash = this.#seed ^ 0x811c9dc5
    for (let index = 0; index < FLOW_KEY_LENGTH; index++) hash = Math.imul(hash ^ key[index], 0x01000193)
    hash = Math.imul(hash ^ hash >>> 15, 0x85ebca6b)
    return ((hash ^ hash >>> 13) & BUCKETS - 1) * WAYS
  }
}
