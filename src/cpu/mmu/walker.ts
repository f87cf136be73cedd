import { FrameState, frameAddress } from '../../machine/frame-map.ts'
import type { FrameMap } from '../../machine/frame-map.ts'

/**
 * The page walker: linear address to guest-physical page, in every paging mode (SDM Vol. 3A chapter 4, "Paging").
 *
 * `walk` finds the page and what its entries allow; the caller judges that against the access (`permits`) and then calls
 * `markUsed`, so that an access that faults leaves the accessed and dirty flags alone. Results are fields and entries are read as
 * 32-bit halves: this runs millions of times in a boot.
 */

export const PagingMode = { NONE: 0, LEGACY: 1, PAE: 2, FOUR_LEVEL: 3 } as const
export type PagingMode = typeof PagingMode[keyof typeof PagingMode]

/** Bits of a paging-structure entry's low half. */
export const Entry = { P: 1, RW: 2, US: 4, A: 0x20, D: 0x40, PS: 0x80, G: 0x100 } as const
/** Execute-disable, in the high half. */
const XD_HIGH = 0x80000000
/** Bits of a page fault's error code (SDM Vol. 3A §4.7). */
export const PageFault = { P: 1, W: 2, U: 4, RSVD: 8, ID: 16 } as const

/** Reserved bits of the high half: physical addresses have 40 bits. PAE reserves bits 52 to 62 too. */
const RESERVED_HIGH_FOUR_LEVEL = 0x000fff00
const RESERVED_HIGH_PAE = 0x7fffff00
const RESERVED_2M = 0x001fe000
const RESERVED_1G = 0x3fffe000
/** With PSE-36, bits 13 to 20 of a 4 MiB page's entry are bits 32 to 39 of its address; bit 21 is reserved. */
const RESERVED_4M = 0x00200000
/** Reserved in a PDPTE of PAE paging: bits 1, 2 and 5 to 8, and 40 to 63. */
const RESERVED_PDPTE_LOW = 0x1e6
const RESERVED_PDPTE_HIGH = 0xffffff00

export class Walker {
  mode: PagingMode = PagingMode.NONE
  /** Page of the top-level structure (CR3). */
  private rootPage = 0
  /** EFER.NXE, CR4.PSE. */
  private executeDisable = false
  private pageSizeExtension = false
  private reservedHigh = 0
  /** The four PDPTEs that PAE paging keeps in registers: low and high halves. */
  readonly pdptes = new Uint32Array(8)

  /** Results: guest-physical page number, R/W and U/S of all levels together, execute-disable, global, log2 of the page's size. */
  page = 0
  rights = 0
  noExecute = false
  global = false
  shift = 12
  /** The leaf's dirty flag was set already. */
  dirty = false
  /** Pool addresses of the entries used (0: none), for the accessed and dirty flags; and the AND of their low halves. */
  private leafAt = 0
  private leafPage = 0
  private readonly upperAt = new Uint32Array(3)
  private readonly upperPage = new Uint32Array(3)
  private levels = 0
  private combined = 0
  /** Page of the entry that `entryAt` found last. */
  private tablePage = 0

  private readonly frames: FrameMap
  private readonly words: Uint32Array

  constructor(frames: FrameMap) {
    this.frames = frames
    this.words = frames.pool.u32
  }

  /** Takes over what CR3, CR4 and EFER say. `cr3` as its two halves. */
  configure(mode: PagingMode, cr3Low: number, cr3High: number, executeDisable: boolean, pageSizeExtension: boolean): void {
    this.mode = mode
    this.setRoot(cr3Low, cr3High)
    this.executeDisable = executeDisable
    this.pageSizeExtension = pageSizeExtension
    const reserved = mode === PagingMode.PAE ? RESERVED_HIGH_PAE : RESERVED_HIGH_FOUR_LEVEL
    this.reservedHigh = executeDisable ? reserved : reserved | XD_HIGH
  }

  setRoot(cr3Low: number, cr3High: number): void {
    this.rootPage = (cr3Low >>> 12) | (this.mode === PagingMode.FOUR_LEVEL ? (cr3High & 0xff) << 20 : 0)
  }

  /**
   * Reads the four PDPTEs as MOV to CR3 does with PAE paging.
   * @returns false (and changes nothing) if one is present and has reserved bits set: #GP(0).
   */
  loadPdptes(cr3Low: number): boolean {
    const loaded = new Uint32Array(8)
    const page = this.frames.entry(cr3Low >>> 12)
    const from = (frameAddress(page) + (cr3Low & 0xfe0)) >>> 2
    for (let n = 0; n < 8; n++) loaded[n] = (page & FrameState.PRESENT) === 0 ? 0xffffffff : this.words[from + n]
    for (let n = 0; n < 8; n += 2) {
      if ((loaded[n] & Entry.P) === 0) continue
      if ((loaded[n] & RESERVED_PDPTE_LOW) !== 0 || (loaded[n + 1] & RESERVED_PDPTE_HIGH) !== 0) return false
    }
    this.pdptes.set(loaded)
    return true
  }

  /**
   * Walks to the page at a canonical linear address.
   * @returns -1 when found; otherwise the P and RSVD bits of the page fault's error code.
   */
  walk(low: number, high: number): number {
    this.levels = 0
    this.shift = 12
    this.global = false
    this.noExecute = false
    if (this.mode === PagingMode.FOUR_LEVEL) return this.walkFourLevel(low, high)
    if (this.mode === PagingMode.NONE) return this.identity(low)
    return this.mode === PagingMode.PAE ? this.walkPae(low) : this.walkLegacy(low)
  }

  /** Sets the accessed flags of the entries used by the last walk and, for a write, the dirty flag of the leaf. */
  markUsed(write: boolean): void {
    if (this.mode === PagingMode.NONE) return
    if ((this.combined & Entry.A) === 0) {
      for (let n = 0; n < this.levels; n++) this.setBits(this.upperAt[n], this.upperPage[n], Entry.A)
      this.setBits(this.leafAt, this.leafPage, Entry.A)
    }
    if (!write || this.dirty) return
    this.setBits(this.leafAt, this.leafPage, Entry.D)
    this.dirty = true
  }

  private identity(low: number): number {
    this.page = low >>> 12
    this.rights = Entry.RW | Entry.US
    this.dirty = true
    return -1
  }

  private walkFourLevel(low: number, high: number): number {
    const words = this.words
    let at = this.entryAt(this.rootPage, ((high >>> 7) & 511) * 8)
    let entryLow = at === 0 ? -1 : words[at]
    let entryHigh = at === 0 ? -1 : words[at + 1]
    if ((entryLow & Entry.P) === 0) return 0
    if ((entryHigh & this.reservedHigh) !== 0 || (entryLow & Entry.PS) !== 0) return PageFault.P | PageFault.RSVD
    this.upper(at)
    const combined = entryLow
    const disable = entryHigh

    at = this.entryAt((entryLow >>> 12) | ((entryHigh & 0xff) << 20), (((high & 0x7f) << 2) | (low >>> 30)) * 8)
    entryLow = at === 0 ? -1 : words[at]
    entryHigh = at === 0 ? -1 : words[at + 1]
    if ((entryLow & Entry.P) === 0) return 0
    if ((entryHigh & this.reservedHigh) !== 0) return PageFault.P | PageFault.RSVD
    if ((entryLow & Entry.PS) !== 0) {
      if ((entryLow & RESERVED_1G) !== 0) return PageFault.P | PageFault.RSVD
      return this.leaf(at, entryLow, entryHigh, combined, disable, 30, (low >>> 12) & 0x3ffff)
    }
    this.upper(at)
    return this.walkDirectory(low, entryLow, entryHigh, combined & entryLow, disable | entryHigh)
  }

  private walkPae(low: number): number {
    const n = (low >>> 30) * 2
    const entryLow = this.pdptes[n]
    if ((entryLow & Entry.P) === 0) return 0
    return this.walkDirectory(low, entryLow, this.pdptes[n + 1], -1, 0)
  }

  /** The page directory and page table of 64-bit entries, below the entry given. */
  private walkDirectory(low: number, tableLow: number, tableHigh: number, combined: number, disable: number): number {
    const words = this.words
    let at = this.entryAt((tableLow >>> 12) | ((tableHigh & 0xff) << 20), ((low >>> 21) & 511) * 8)
    let entryLow = at === 0 ? -1 : words[at]
    let entryHigh = at === 0 ? -1 : words[at + 1]
    if ((entryLow & Entry.P) === 0) return 0
    if ((entryHigh & this.reservedHigh) !== 0) return PageFault.P | PageFault.RSVD
    if ((entryLow & Entry.PS) !== 0) {
      if ((entryLow & RESERVED_2M) !== 0) return PageFault.P | PageFault.RSVD
      return this.leaf(at, entryLow, entryHigh, combined, disable, 21, (low >>> 12) & 511)
    }
    this.upper(at)
    combined &= entryLow
    disable |= entryHigh

    at = this.entryAt((entryLow >>> 12) | ((entryHigh & 0xff) << 20), ((low >>> 12) & 511) * 8)
    entryLow = at === 0 ? -1 : words[at]
    entryHigh = at === 0 ? -1 : words[at + 1]
    if ((entryLow & Entry.P) === 0) return 0
    if ((entryHigh & this.reservedHigh) !== 0) return PageFault.P | PageFault.RSVD
    return this.leaf(at, entryLow, entryHigh, combined, disable, 12, 0)
  }

  private walkLegacy(low: number): number {
    const words = this.words
    let at = this.entryAt(this.rootPage, (low >>> 22) * 4)
    const directory = at === 0 ? -1 : words[at]
    if ((directory & Entry.P) === 0) return 0
    if ((directory & Entry.PS) !== 0 && this.pageSizeExtension) {
      if ((directory & RESERVED_4M) !== 0) return PageFault.P | PageFault.RSVD
      const high = (directory >>> 13) & 0xff
      return this.leaf(at, directory & 0xffc00fff, high, -1, 0, 22, (low >>> 12) & 0x3ff)
    }
    this.upper(at)
    at = this.entryAt(directory >>> 12, ((low >>> 12) & 0x3ff) * 4)
    const entry = at === 0 ? -1 : words[at]
    if ((entry & Entry.P) === 0) return 0
    return this.leaf(at, entry, 0, directory, 0, 12, 0)
  }

  /** Word index in the pool of the entry at `offset` in the table at a guest-physical page; 0 where there is no memory. */
  private entryAt(page: number, offset: number): number {
    this.tablePage = page
    const entry = page < this.frames.length ? this.frames.entries[page] : 0
    return (entry & FrameState.PRESENT) === 0 ? 0 : ((entry & ~0xfff) + offset) >>> 2
  }

  private upper(at: number): void {
    this.upperAt[this.levels] = at
    this.upperPage[this.levels++] = this.tablePage
  }

  private leaf(
    at: number, low: number, high: number, combined: number, disable: number, shift: number, pieceOfPage: number,
  ): number {
    this.leafAt = at
    this.leafPage = this.tablePage
    this.combined = combined & low
    this.rights = this.combined & (Entry.RW | Entry.US)
    this.noExecute = this.executeDisable && ((disable | high) & XD_HIGH) !== 0
    this.global = (low & Entry.G) !== 0
    this.dirty = (low & Entry.D) !== 0
    this.shift = shift
    // Bit 12 of a large page's entry is PAT, not address.
    const base = shift === 12 ? low >>> 12 : (low >>> 12) & ~1
    this.page = (base | ((high & 0xff) << 20)) + pieceOfPage
    return -1
  }

  /** Sets bits of the entry at a word index, which lies in the given guest-physical page. */
  private setBits(at: number, page: number, bits: number): void {
    if (at === 0 || (this.frames.entries[page] & FrameState.READ_ONLY) !== 0) return
    Atomics.or(this.words, at, bits)
    if ((this.frames.entries[page] & FrameState.WATCHED) !== 0) this.frames.codeWritten(page, (at << 2) & 0xfff, 4)
  }
}
