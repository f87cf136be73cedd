/** Bits for the blocks of a disk of any size. Pages of 32 768 bits exist only where one was ever set. */
const PAGE_BITS = 32_768

export class BitMap {
  private readonly pages = new Map<number, Uint32Array>()

  has(at: number): boolean {
    const page = this.pages.get(Math.floor(at / PAGE_BITS))
    return page !== undefined && (page[(at % PAGE_BITS) >>> 5] >>> (at & 31) & 1) === 1
  }

  /** Sets the bits from `first` to before `end`. */
  set(first: number, end: number): void {
    for (let at = first; at < end; at++) {
      const page = this.page(Math.floor(at / PAGE_BITS))
      const bit = at % PAGE_BITS
      // A whole word at a time, where there is one.
      if ((bit & 31) === 0 && end - at >= 32) {
        page[bit >>> 5] = 0xffffffff
        at += 31
      } else page[bit >>> 5] |= 1 << (bit & 31)
    }
  }

  clear(at: number): void {
    const page = this.pages.get(Math.floor(at / PAGE_BITS))
    if (page !== undefined) page[(at % PAGE_BITS) >>> 5] &= ~(1 << (at & 31))
  }

  /** The state of the bit `first`, and the first bit before `end` that is different, or `end`. */
  run(first: number, end: number): { readonly isSet: boolean, readonly end: number } {
    const isSet = this.has(first)
    let at = first + 1
    while (at < end && this.has(at) === isSet) at += this.step(at, end, isSet)
    return { isSet, end: Math.min(at, end) }
  }

  /** How many bits from `at` on are known to be alike: a page that is not there, a word of all the same, or one. */
  private step(at: number, end: number, isSet: boolean): number {
    const page = this.pages.get(Math.floor(at / PAGE_BITS))
    if (page === undefined) return PAGE_BITS - at % PAGE_BITS
    const whole = (at & 31) === 0 && end - at >= 32
    return whole && page[(at % PAGE_BITS) >>> 5] === (isSet ? 0xffffffff : 0) ? 32 : 1
  }

  private page(index: number): Uint32Array {
    let page = this.pages.get(index)
    if (page === undefined) this.pages.set(index, page = new Uint32Array(PAGE_BITS / 32))
    return page
  }
}
