/**
 * A stateful packet filter for one port of a switch. The rules say what may begin (rules.ts); what was allowed once goes on, in both
 * directions, with the errors about it, until it ends or nothing is heard of it for long.
 *
 * Always passed: whatever is no IP packet, neighbour discovery, and DHCP, without which there is no network; who may be a server of it is
 * another question (../switch/source-guard.ts). A fragment passes if the first of its packet did, which has to come before it.
 */
import type { PlainData } from '../../machine/lifecycle.ts'
import type { StateReader } from '../../machine/state-reader.ts'
import { EtherType } from '../packet/ethernet.ts'
import type { CheckedRule } from './rules.ts'
import { matches } from './rules.ts'
import { Flow } from './flow.ts'
import { FlowTable } from './flow-table.ts'

const FRAGMENTS = 64
const FRAGMENT_LIFETIME = 30e9

export class PacketFilter {
  readonly #rules: readonly CheckedRule[]
  readonly #flows: FlowTable
  readonly #flow = new Flow()
  /** Whether any rule is about what was allowed before. */
  readonly #looksAtKnown: boolean
  /** Packets of which the first fragment passed: a number for each, and when. */
  readonly #fragments = new Float64Array(FRAGMENTS)
  readonly #fragmentTimes = new Float64Array(FRAGMENTS).fill(-Infinity)
  #nextFragment = 0

  /** `seed` is any number that nobody can guess. */
  constructor(rules: readonly CheckedRule[], seed: number) {
    this.#rules = rules
    this.#flows = new FlowTable(seed)
    this.#looksAtKnown = rules.some(({ matchesKnown }) => matchesKnown)
  }

  /** Whether the packet from `at` to `end` may pass. `isIn`: to the station behind the port. `now` in nanoseconds. */
  passes(bytes: Uint8Array, at: number, end: number, type: number, isIn: boolean, now: number): boolean {
    if (type !== EtherType.IPV4 && type !== EtherType.IPV6) return true
    const flow = this.#flow
    if (!flow.read(bytes, at, end, type, isIn)) return false
    if (flow.isHousekeeping) return true
    if (flow.isError) return this.#flows.has(flow, now) && this.#decide(true, isIn)
    if (flow.isLaterFragment) return this.#isRemembered(now)
    const isKnown = this.#flows.has(flow, now)
    if (!this.#decide(isKnown, isIn)) return false
    this.#flows.note(flow, isIn, now)
    if (flow.isFirstFragment) this.#remember(now)
    return true
  }

  /** What was allowed and goes on. Fragments that are under way are not kept: their packets are sent again. */
  save(now: number): PlainData { return { flows: this.#flows.save(now) } }

  /** @throws TenonError SNAPSHOT_INVALID */
  restore(reader: StateReader, now: number): void { this.#flows.restore(reader, now) }

  #decide(isKnown: boolean, isIn: boolean): boolean {
    if (isKnown && !this.#looksAtKnown) return true
    for (const rule of this.#rules) if (matches(rule, this.#flow, isIn, isKnown)) return rule.allows
    return isKnown
  }

  #remember(now: number): void {
    this.#fragments[this.#nextFragment] = this.#fragmentName()
    this.#fragmentTimes[this.#nextFragment] = now
    this.#nextFragment = (this.#nextFragment + 1) % FRAGMENTS
  }

  #isRemembered(now: number): boolean {
    const name = this.#fragmentName()
    for (let index = 0; index < FRAGMENTS; index++) {
      if (this.#fragments[index] === name && now - this.#fragmentTimes[index] < FRAGMENT_LIFETIME) return true
    }
    return false
  }

  /** Addresses, identification and protocol, in a number below 2^48: another packet has the same hardly ever. */
  #fragmentName(): number {
    const { bytes, local, remote, addressLength, identification, protocol } = this.#flow
    let hash = protocol
    for (let index = 0; index < addressLength; index++) hash = Math.imul(hash ^ bytes[local + index], 0x01000193) ^ bytes[remote + index]
    return (hash >>> 0) * 0x10000 + identification
  }
}
