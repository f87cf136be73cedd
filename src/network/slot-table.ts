/**
 * A table from keys of a fixed number of bytes to slots, for what is looked up for every packet: no allocation, bounded, grown by
 * doubling. A slot is a small number; the owner keeps what belongs to it in arrays of its own.
 *
 * Slots are also in an order of use: `touch` makes one the newest, `oldest` is the first that may go.
 */
import { copyBytes, equalBytes } from './packet/bytes.ts'

const NONE = -1
const FIRST_CAPACITY = 64

export class SlotTable {
  readonly keyLength: number
  readonly capacity: number
  /** Slots that were ever in use are below this. */
  limit = 0
  count = 0
  keys: Uint8Array
  oldest = NONE
  private newest = NONE
  private free = NONE
  private readonly seed: number
  /** Hash to first slot; slot to next of the same hash, or to the next free one. */
  private heads: Int32Array
  private next: Int32Array
  private older: Int32Array
  private younger: Int32Array
  private used: Uint8Array

  /** @param seed unknown to whoever chooses the keys, so that they cannot be made to collide */
  constructor(keyLength: number, capacity: number, seed: number) {
    this.keyLength = keyLength
    this.capacity = capacity
    this.seed = seed
    const size = Math.min(FIRST_CAPACITY, capacity)
    this.keys = new Uint8Array(size * keyLength)
    this.heads = new Int32Array(powerOfTwo(size)).fill(NONE)
    this.next = new Int32Array(size)
    this.older = new Int32Array(size)
    this.younger = new Int32Array(size)
    this.used = new Uint8Array(size)
  }

  /** The key's slot, or -1. */
  find(key: Uint8Array, at = 0): number {
    for (let slot = this.heads[this.hash(key, at)]; slot !== NONE; slot = this.next[slot]) {
      if (equalBytes(this.keys, slot * this.keyLength, key, at, this.keyLength)) return slot
    }
    return NONE
  }

  /** A slot for a key that has none; -1: the table is full. It is the newest. */
  insert(key: Uint8Array, at = 0): number {
    const slot = this.takeSlot()
    if (slot === NONE) return NONE
    copyBytes(key, at, this.keys, slot * this.keyLength, this.keyLength)
    this.used[slot] = 1
    this.count++
    this.chain(slot)
    this.append(slot)
    return slot
  }

  remove(slot: number): void {
    const hash = this.hash(this.keys, slot * this.keyLength)
    if (this.heads[hash] === slot) this.heads[hash] = this.next[slot]
    else {
      let before = this.heads[hash]
      while (this.next[before] !== slot) before = this.next[before]
      this.next[before] = this.next[slot]
    }
    this.unlink(slot)
    this.next[slot] = this.free
    this.free = slot
    this.used[slot] = 0
    this.count--
  }

  has(slot: number): boolean { return this.used[slot] === 1 }

  touch(slot: number): void {
    if (this.newest === slot) return
    this.unlink(slot)
    this.append(slot)
  }

  /** The slot used next after this one; -1 after the newest. */
  after(slot: number): number { return this.younger[slot] }

  private takeSlot(): number {
    if (this.free !== NONE) {
      const slot = this.free
      this.free = this.next[slot]
      return slot
    }
    if (this.limit === this.capacity) return NONE
    if (this.limit === this.next.length) this.grow(Math.min(this.capacity, this.limit * 2))
    return this.limit++
  }

  private grow(size: number): void {
    const keys = new Uint8Array(size * this.keyLength)
    keys.set(this.keys)
    this.keys = keys
    this.next = grown(this.next, size)
    this.older = grown(this.older, size)
    this.younger = grown(this.younger, size)
    const used = new Uint8Array(size)
    used.set(this.used)
    this.used = used
    this.heads = new Int32Array(powerOfTwo(size)).fill(NONE)
    for (let slot = 0; slot < this.limit; slot++) this.chain(slot)
  }

  private chain(slot: number): void {
    const hash = this.hash(this.keys, slot * this.keyLength)
    this.next[slot] = this.heads[hash]
    this.heads[hash] = slot
  }

  private append(slot: number): void {
    this.older[slot] = this.newest
    this.younger[slot] = NONE
    if (this.newest === NONE) this.oldest = slot
    else this.younger[this.newest] = slot
    this.newest = slot
  }

  private unlink(slot: number): void {
    const older = this.older[slot]
    const younger = this.younger[slot]
    if (older === NONE) this.oldest = younger
    else this.younger[older] = younger
    if (younger === NONE) this.newest = older
    else this.older[younger] = older
  }

  /** FNV-1a from a secret start, its upper bits mixed in at the end. */
  private hash(key: Uint8Array, at: number): number {
    let hash = this.seed ^ 0x811c9dc5
    for (let index = 0; index < this.keyLength; index++) hash = Math.imul(hash ^ key[at + index], 0x01000193)
    hash ^= hash >>> 15
    return (Math.imul(hash, 0x2c1b3c6d) >>> 12) & this.heads.length - 1
  }
}

function powerOfTwo(atLeast: number): number {
  return 2 ** Math.ceil(Math.log2(atLeast))
}

function grown(array: Int32Array, size: number): Int32Array {
  const larger = new Int32Array(size)
  larger.set(array)
  return larger
}
