/**
 * Who has which address on the link: the cache of ARP (RFC 826) and of neighbour discovery (RFC 4861 section 7.3, simplified).
 *
 *   incomplete ──answer──▶ known ──60 s old and used──▶ probed ──answer──▶ known
 *        └── 3 questions, a second apart, without an answer ──┴──▶ gone, and what was held for it
 *
 * Bounded: the entry that was used least recently makes room. What waits for an answer is bounded too, for each neighbour and in all.
 */
import { StateReader } from '../../machine/state-reader.ts'
import type { PlainData } from '../../machine/lifecycle.ts'
import { KEY_LENGTH, formatKey, formatMac, isUnicastSource, keyAddressLength, parseAddress, writeKey } from '../packet/addresses.ts'
import { copyBytes, equalBytes } from '../packet/bytes.ts'
import { MAC_LENGTH } from '../packet/ethernet.ts'
import { SlotTable } from '../slot-table.ts'
import { SECOND, type Ager, type Ageing } from './ager.ts'
import type { Counters } from './counters.ts'

const CAPACITY = 1024
const FRESH = 60 * SECOND
const QUESTIONS = 3
const HELD_FRAMES = 4
const HELD_BYTES = 1 << 20

const State = { INCOMPLETE: 0, KNOWN: 1, PROBED: 2 } as const

/** What asks: `key` holds the address, `mac` whom to ask; null: everybody. */
export type Solicit = (key: Uint8Array, keyAt: number, mac: Uint8Array | null) => void
/** What sends a frame that was held, its destination now filled in. */
export type Release = (frame: HeldFrame) => void

export interface HeldFrame {
  readonly bytes: Uint8Array
  readonly checksumStart: number
  readonly checksumOffset: number
  readonly segmentation: 'none' | 'tcp4' | 'tcp6' | 'udp'
  readonly segmentSize: number
}

export interface Neighbour {
  readonly address: string
  readonly mac: string
}

export class Neighbours implements Ageing {
  private readonly table: SlotTable
  private readonly macs = new Uint8Array(CAPACITY * MAC_LENGTH)
  private readonly states = new Uint8Array(CAPACITY)
  private readonly questions = new Uint8Array(CAPACITY)
  /** When it was last confirmed, or asked for. */
  private readonly times = new Float64Array(CAPACITY)
  private readonly asking = new Set<number>()
  private readonly held = new Map<number, HeldFrame[]>()
  private heldBytes = 0
  private readonly key = new Uint8Array(KEY_LENGTH)
  private readonly ager: Ager
  private readonly counters: Counters
  private readonly solicit: Solicit
  private readonly release: Release

  constructor(ager: Ager, counters: Counters, seed: number, solicit: Solicit, release: Release) {
    this.table = new SlotTable(KEY_LENGTH, CAPACITY, seed)
    this.ager = ager
    this.counters = counters
    this.solicit = solicit
    this.release = release
    ager.add(this)
  }

  /**
   * Notes who has an address of 4 or 16 bytes. `create` false: only what is in the table is brought up to date (an answer that nobody
   * asked for makes no entry).
   */
  learn(address: Uint8Array, at: number, length: number, mac: Uint8Array, macAt: number, create: boolean): void {
    writeKey(address, at, length, this.key, 0)
    let slot = this.table.find(this.key)
    if (slot < 0 && !create) return
    if (slot < 0) slot = this.create()
    copyBytes(mac, macAt, this.macs, slot * MAC_LENGTH, MAC_LENGTH)
    this.states[slot] = State.KNOWN
    this.times[slot] = this.ager.now()
    this.asking.delete(slot)
    this.releaseHeld(slot)
  }

  /** Writes the neighbour's MAC address, or returns false and asks for it: the frame may then be given to `hold`. */
  resolve(address: Uint8Array, at: number, length: number, into: Uint8Array, intoAt: number): boolean {
    writeKey(address, at, length, this.key, 0)
    let slot = this.table.find(this.key)
    if (slot < 0) {
      slot = this.create()
      this.ask(slot)
    } else this.table.touch(slot)
    if (this.states[slot] === State.INCOMPLETE) return false
    if (this.states[slot] === State.KNOWN && this.ager.now() - this.times[slot] > FRESH) this.probe(slot)
    copyBytes(this.macs, slot * MAC_LENGTH, into, intoAt, MAC_LENGTH)
    return true
  }

  /** Keeps a copy of a frame for the neighbour that `resolve` did not know, right after that. */
  hold(bytes: Uint8Array, start: number, length: number, offload: Omit<HeldFrame, 'bytes'>): void {
    const slot = this.table.find(this.key)
    const frames = this.held.get(slot) ?? []
    if (slot < 0 || frames.length === HELD_FRAMES || this.heldBytes + length > HELD_BYTES) {
      this.counters.drop('unresolved')
      return
    }
    this.held.set(slot, [...frames, { ...offload, bytes: bytes.slice(start, start + length) }])
    this.heldBytes += length
  }

  /** A unicast IPv6 address, inside the prefix, of a card; for DNS. */
  addressOf(mac: Uint8Array, matches: (key: Uint8Array, at: number) => boolean): Uint8Array | null {
    for (let slot = 0; slot < this.table.limit; slot++) {
      if (!this.table.has(slot) || this.states[slot] === State.INCOMPLETE) continue
      const at = slot * KEY_LENGTH
      if (equalBytes(this.macs, slot * MAC_LENGTH, mac, 0, MAC_LENGTH) && keyAddressLength(this.table.keys, at) === 16
        && matches(this.table.keys, at)) return this.table.keys.slice(at, at + KEY_LENGTH)
    }
    return null
  }

  age(now: number): number {
    for (const slot of this.asking) {
      if (now - this.times[slot] < SECOND) continue
      if (this.questions[slot] >= QUESTIONS) this.forget(slot)
      else this.ask(slot)
    }
    return this.asking.size === 0 ? Infinity : now + SECOND
  }

  list(): Neighbour[] {
    const slots = Array.from({ length: this.table.limit }, (_, slot) => slot)
    return slots.filter(slot => this.table.has(slot) && this.states[slot] !== State.INCOMPLETE)
      .map(slot => ({ address: formatKey(this.table.keys, slot * KEY_LENGTH), mac: formatMac(this.macs, slot * MAC_LENGTH) }))
  }

  save(): PlainData {
    return this.list().map(({ address, mac }) => ({ address, mac: mac.split(':').map(part => Number.parseInt(part, 16)) }))
  }

  restore(reader: StateReader): void {
    for (const entry of reader.childrenAtMost('neighbours', CAPACITY)) {
      const address = parseAddress(entry.text('address', 45))
      if (address === undefined || !isUnicastSource(address, 0, address.length)) throw entry.invalid('address', 'is no unicast address')
      this.learn(address, 0, address.length, Uint8Array.from(entry.integers('mac', MAC_LENGTH, 0, 255)), 0, true)
    }
  }

  private create(): number {
    if (this.table.count === CAPACITY) this.forget(this.table.oldest)
    const slot = this.table.insert(this.key)
    this.states[slot] = State.INCOMPLETE
    this.questions[slot] = 0
    return slot
  }

  private probe(slot: number): void {
    this.states[slot] = State.PROBED
    this.questions[slot] = 0
    this.ask(slot)
  }

  private ask(slot: number): void {
    const mac = this.states[slot] === State.PROBED ? this.macs.subarray(slot * MAC_LENGTH, (slot + 1) * MAC_LENGTH) : null
    this.questions[slot]++
    this.times[slot] = this.ager.now()
    this.asking.add(slot)
    this.ager.wake(this.times[slot] + SECOND)
    this.solicit(this.table.keys, slot * KEY_LENGTH, mac)
  }

  private releaseHeld(slot: number): void {
    const frames = this.held.get(slot)
    if (frames === undefined) return
    this.dropHeld(slot)
    for (const frame of frames) {
      copyBytes(this.macs, slot * MAC_LENGTH, frame.bytes, 0, MAC_LENGTH)
      this.release(frame)
    }
  }

  private forget(slot: number): void {
    for (let count = this.held.get(slot)?.length ?? 0; count > 0; count--) this.counters.drop('unresolved')
    this.dropHeld(slot)
    this.asking.delete(slot)
    this.table.remove(slot)
  }

  private dropHeld(slot: number): void {
    for (const frame of this.held.get(slot) ?? []) this.heldBytes -= frame.bytes.length
    this.held.delete(slot)
  }
}
