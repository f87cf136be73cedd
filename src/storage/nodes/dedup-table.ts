/**
 * Slots by the hash of their content: a hint where the same content may be. Bounded: what is new pushes out what is old, and then the
 * same content is stored again. A hint is never believed; whoever takes it compares the bytes.
 */
const WAYS = 4

export class DedupTable {
  private readonly tags: Uint32Array
  private readonly slots: Uint32Array
  private readonly mask: number
  private turn = 0

  /** Keeps up to `capacity` slots, a power of two; 8 bytes each. */
  constructor(capacity: number) {
    this.tags = new Uint32Array(capacity)
    this.slots = new Uint32Array(capacity)
    this.mask = capacity / WAYS - 1
  }

  get capacity(): number { return this.tags.length }

  /** The slots that may have this content: at most four. The hash is given by its first two words. */
  candidates(bucket: number, tag: number): number[] {
    const first = ((bucket & this.mask) >>> 0) * WAYS
    const found = []
    for (let at = first; at < first + WAYS; at++) if (this.tags[at] === tag && this.slots[at] !== 0) found.push(this.slots[at] - 1)
    return found
  }

  add(bucket: number, tag: number, slot: number): void {
    const first = ((bucket & this.mask) >>> 0) * WAYS
    let place = first + this.turn++ % WAYS
    for (let at = first; at < first + WAYS; at++) if (this.slots[at] === 0 || this.slots[at] === slot + 1) place = at
    this.tags[place] = tag
    this.slots[place] = slot + 1
  }
}
