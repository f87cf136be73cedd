/**
 * Where stations are: VLAN and MAC address to port. Source: IEEE 802.1Q §8.8 (learning), §8.8.3 (ageing).
 *
 * The table has a fixed size: a bucket of four places for each value of a hash that nobody outside can predict, and a share for each port.
 * A station for which there is no place is not learned, and frames to it go to all. What is *pinned* was not learned, and is not moved.
 */
const BUCKETS = 2048
const WAYS = 4
const PLACES = BUCKETS * WAYS
/** Stations learned behind one port: the rest is a flood, or a network that wants another switch. */
const PORT_SHARE = 512
const AGE_NS = 300e9

export const NO_PORT = -1

export class AddressTable {
  readonly #seed: number
  /** VLAN and the upper 16 bits of the address, then the lower 32. 0 is no VLAN: the place is free. */
  readonly #upper = new Uint32Array(PLACES)
  readonly #lower = new Uint32Array(PLACES)
  readonly #ports = new Int16Array(PLACES)
  /** Time when the station was heard last; Infinity if it is pinned. */
  readonly #heard = new Float64Array(PLACES)
  readonly #counts: Uint32Array

  /** `seed` is any number that nobody can guess. */
  constructor(ports: number, seed: number) {
    this.#seed = seed >>> 0
    this.#counts = new Uint32Array(ports)
  }

  /** Where the station is; NO_PORT if that is not known. */
  find(vlan: number, high: number, low: number, now: number): number {
    const place = this.#place(vlan << 16 | high, low)
    return place >= 0 && now - this.#heard[place] < AGE_NS ? this.#ports[place] : NO_PORT
  }

  /** A frame of the station's came in at a port. False: it is pinned to another one. */
  learn(vlan: number, high: number, low: number, port: number, now: number): boolean {
    const upper = (vlan << 16 | high) >>> 0
    const place = this.#place(upper, low)
    if (place < 0) this.#add(upper, low, port, now)
    else if (this.#heard[place] === Infinity) return this.#ports[place] === port
    else {
      if (this.#ports[place] !== port) this.#move(place, port)
      if (this.#ports[place] === port) this.#heard[place] = now
    }
    return true
  }

  /** The station is at this port, whatever comes in elsewhere. */
  pin(vlan: number, high: number, low: number, port: number): void {
    const upper = (vlan << 16 | high) >>> 0
    const known = this.#place(upper, low)
    const place = known >= 0 ? known : this.#bestPlace(upper, low, Infinity)
    if (place < 0) return
    this.#free(place)
    this.#write(place, upper, low, port, Infinity)
  }

  /** The port is gone, and what was known to be there. */
  forget(port: number): void {
    for (let place = 0; place < PLACES; place++) if (this.#upper[place] !== 0 && this.#ports[place] === port) this.#free(place)
  }

  /** Stations known at a port, old ones included. */
  count(port: number): number { return this.#counts[port] }

  #place(upper: number, low: number): number {
    const first = this.#bucket(upper, low)
    const key = upper >>> 0
    for (let place = first; place < first + WAYS; place++) if (this.#upper[place] === key && this.#lower[place] === low >>> 0) return place
    return -1
  }

  #add(upper: number, low: number, port: number, now: number): void {
    const place = this.#bestPlace(upper, low, now)
    if (place < 0) return
    if (this.#upper[place] !== 0) this.#free(place)
    if (this.#counts[port] < PORT_SHARE) this.#write(place, upper, low, port, now)
  }

  #move(place: number, port: number): void {
    if (this.#counts[port] >= PORT_SHARE) return
    this.#counts[this.#ports[place]]--
    this.#counts[port]++
    this.#ports[place] = port
  }

  /** A free place in the bucket, or that of the station which was not heard for the longest time, if that is old enough; else -1. */
  #bestPlace(upper: number, low: number, now: number): number {
    const first = this.#bucket(upper, low)
    let oldest = -1
    for (let place = first; place < first + WAYS; place++) {
      if (this.#upper[place] === 0) return place
      if (now - this.#heard[place] >= AGE_NS && (oldest < 0 || this.#heard[place] < this.#heard[oldest])) oldest = place
    }
    return oldest
  }

  #write(place: number, upper: number, low: number, port: number, heard: number): void {
    this.#upper[place] = upper
    this.#lower[place] = low
    this.#ports[place] = port
    this.#heard[place] = heard
    this.#counts[port]++
  }

  #free(place: number): void {
    if (this.#upper[place] === 0) return
    this.#upper[place] = 0
    this.#counts[this.#ports[place]]--
  }

  /** MurmurHash3's finalizer over both words. */
  #bucket(upper: number, low: number): number {
    let hash = Math.imul(upper ^ this.#seed, 0x85ebca6b) ^ low
    hash = Math.imul(hash ^ hash >>> 16, 0x85ebca6b)
    hash = Math.imul(hash ^ hash >>> 13 ^ this.#seed, 0xc2b2ae35)
    return ((hash ^ hash >>> 16) & BUCKETS - 1) * WAYS
  }
}
