const ENTRIES = 512

/**
 * Translations of instruction fetches, direct-mapped, user and supervisor apart. An entry is good for one generation of the TLB:
 * every flush ends them all.
 */
export class FetchTlb {
  private readonly low = new Int32Array(2 * ENTRIES)
  private readonly high = new Int32Array(2 * ENTRIES)
  private readonly page = new Uint32Array(2 * ENTRIES)
  private readonly generation = new Float64Array(2 * ENTRIES)

  /** Guest-physical page of the linear address, or -1. */
  find(low: number, high: number, user: boolean, generation: number): number {
    const at = place(low, user)
    const hit = this.generation[at] === generation && this.low[at] === (low & ~0xfff) && this.high[at] === (high | 0)
    return hit ? this.page[at] : -1
  }

  keep(low: number, high: number, user: boolean, page: number, generation: number): void {
    const at = place(low, user)
    this.low[at] = low & ~0xfff
    this.high[at] = high
    this.page[at] = page
    this.generation[at] = generation
  }
}

function place(low: number, user: boolean): number {
  return ((low >>> 12) & (ENTRIES - 1)) | (user ? ENTRIES : 0)
}
