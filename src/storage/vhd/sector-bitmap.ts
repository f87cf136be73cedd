/** Which sectors of a block are in it: one bit each, the highest of a byte first. */
export class SectorBitmap {
  readonly bytes: Uint8Array
  private readonly sectors: number
  /** Sectors that are not in the block. */
  private missing: number

  /** `bytes` may be longer than the sectors need. */
  constructor(bytes: Uint8Array, sectors: number) {
    this.bytes = bytes
    this.sectors = sectors
    this.missing = 0
    for (let sector = 0; sector < sectors; sector++) if (!this.has(sector)) this.missing++
  }

  get isFull(): boolean { return this.missing === 0 }

  has(sector: number): boolean { return (this.bytes[sector >>> 3] & 0x80 >> (sector & 7)) !== 0 }

  /** How many sectors from `sector` on, up to `limit`, are as it is. */
  run(sector: number, limit: number): number {
    if (this.missing === 0 || this.missing === this.sectors) return limit
    const state = this.has(sector)
    const whole = state ? 0xff : 0
    let end = sector + 1
    while (end < sector + limit) {
      if ((end & 7) === 0 && end + 8 <= sector + limit && this.bytes[end >>> 3] === whole) end += 8
      else if (this.has(end) === state) end++
      else break
    }
    return end - sector
  }

  /** Returns whether that changed anything. */
  set(start: number, end: number): boolean {
    const before = this.missing
    for (let sector = start; sector < end; sector++) {
      if (this.has(sector)) continue
      this.bytes[sector >>> 3] |= 0x80 >> (sector & 7)
      this.missing--
    }
    return this.missing !== before
  }
}
