/**
 * Where records of places were found last: a direct-mapped table before the code cache's maps, since most lookups come from jump caches
 * that followed a flush of the TLB, and want what is known already.
 */
const ENTRIES = 1 << 15
/** Guest-physical addresses have 40 bits; with a context's number before them keys are exact. */
const CONTEXT = 2 ** 40

export class PlaceTable {
  private readonly keys = new Float64Array(ENTRIES).fill(-1)
  private readonly records = new Uint32Array(ENTRIES)

  /** The record of a place (guest-physical page and offset) in a code context, 0 if it is not here. */
  find(page: number, offset: number, context: number): number {
    const at = index(page, offset)
    return this.keys[at] === key(page, offset, context) ? this.records[at] : 0
  }

  keep(page: number, offset: number, context: number, record: number): void {
    const at = index(page, offset)
    this.keys[at] = key(page, offset, context)
    this.records[at] = record
  }

  clear(): void { this.keys.fill(-1) }
}

const key = (page: number, offset: number, context: number): number => context * CONTEXT + page * 4096 + offset
const index = (page: number, offset: number): number => (offset ^ Math.imul(page, 0x9e3779b1) >>> 12) & (ENTRIES - 1)
