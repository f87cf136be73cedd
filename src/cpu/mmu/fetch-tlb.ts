const ENTRIES = 512

/**
 * Translations of instruction fetches, direct-mapped, user and supervisor apart. An entry is good until the next flush of the TLB that
 * concerns it: each remembers the count of flushes (of those that take global pages, if its page is global).
 */
export class FetchTlb {
  private readonly low = new Int32Array(2 * ENTRIES)
  private readonly high = new Int32Array(2 * ENTRIES)
  private readonly page = new Uint32Array(2 * ENTRIES)
  private readonly isGlobal = new Uint8Array(2 * ENTRIES)
  private readonly flushes = new Float64Array(2 * ENTRIES)
  /** The entry that `find` found, or `keep` made, last is for a global page. */
  global = false

  /** Guest-physical page of the linear address, or -1. `all` and `global` count the flushes so far. */
  find(low: number, high: number, user: boolean, all: number, global: number): number {
    const at = place(low, user)
    this.global = this.isGlobal[at] !== 0
    const valid = this.flushes[at] === (this.global ? global : all)
    return valid && this.low[at] === (low & ~0xfff) && this.high[at] === (high | 0) ? this.page[at] : -1
  }

  keep(low: number, high: number, user: boolean, page: number, isGlobal: boolean, flushes: number): void {
    const at = place(low, user)
    this.low[at] = low & ~0xfff
    this.high[at] = high
    this.page[at] = page
    this.isGlobal[at] = Number(isGlobal)
    this.flushes[at] = flushes
    this.global = isGlobal
  }
}

function place(low: number, user: boolean): number {
  return ((low >>> 12) & (ENTRIES - 1)) | (user ? ENTRIES : 0)
}
