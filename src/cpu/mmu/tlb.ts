import { CONTEXT_COUNT, Block, Context, TLB_ENTRIES } from '../state/layout.ts'

/**
 * The software TLB's upkeep: filling, flushing and the bookkeeping that makes a flush cost no more than what was filled before it.
 *
 * Each context has a read and a write table; slot n of both serves the same pages. An entry is four 32-bit words: tag low, tag
 * high, addend, and bookkeeping. A slot is entered into a journal at its first fill since the last flush: one journal for
 * translations that a CR3 write removes, one for global ones. Bookkeeping of a read entry holds the slot's journal marks as well.
 */

/** Bits of an entry's fourth word. */
const Mark = { GLOBAL: 1, IN_JOURNAL: 2, IN_GLOBAL_JOURNAL: 4 } as const
const INVALID = 0xffffffff
const WORDS_TO_WRITE_ENTRY = (Context.WRITE_TLB - Context.READ_TLB) >> 2
const INDEX_MASK = TLB_ENTRIES - 1
const SLOTS = CONTEXT_COUNT * TLB_ENTRIES

/** Pages larger than 4 KiB are cached in pieces; INVLPG must remove all pieces. Sizes as shifts: 2 MiB, 4 MiB, 1 GiB. */
const LARGE_SHIFTS = [21, 22, 30] as const
const FILTER_SIZE = 1024
/** More slots than this showing the zero frame are emptied at once. */
const MAX_ZERO_SLOTS = 1024

/** What a flush removed: everything, all but global translations, or those of one page of 2^shift bytes. */
export type FlushScope = 'all' | 'non-global' | 'page'
/** Told of every flush. For a page, `low` and `high` are the halves of an address in it. */
export type FlushListener = (scope: FlushScope, low: number, high: number, shift: number) => void

export class Tlb {
  /** Whoever caches something derived from translations (the jump cache) listens here. */
  readonly listeners: FlushListener[] = []
  /** Bumped by every flush, and by those that concern global pages: cheap validity checks for further caches. */
  generation = 1
  globalGeneration = 1
  private readonly words: Uint32Array
  private readonly block: number
  private readonly zeroFrame: number
  private readonly journal = new Uint32Array(SLOTS)
  private readonly globalJournal = new Uint32Array(SLOTS)
  private journalLength = 0
  private globalLength = 0
  /** Slots that may map the zero frame. */
  private readonly zeroSlots: number[] = []
  /** For each large page size, a filter of the pages that had pieces filled. */
  private readonly filters = LARGE_SHIFTS.map(() => new Uint8Array(FILTER_SIZE))
  private largeFilled = false

  constructor(words: Uint32Array, block: number, zeroFrame: number) {
    this.words = words
    this.block = block
    this.zeroFrame = zeroFrame
    this.reset()
  }

  /** Empties all tables, whatever they hold. */
  reset(): void {
    for (let context = 0; context < CONTEXT_COUNT; context++) {
      const from = (this.block + Block.CONTEXTS + context * Context.SIZE) >>> 2
      for (let word = from; word < from + (Context.JUMP_CACHE >> 2); word += 4) {
        this.words[word] = this.words[word + 1] = INVALID
        this.words[word + 2] = this.words[word + 3] = 0
      }
    }
    this.journalLength = this.globalLength = this.zeroSlots.length = 0
    this.clearFilters()
    this.announce('all', 0, 0, 0)
  }

  /**
   * Caches the translation of the page at `low`, `high` to the frame at pool address `frame` in the context at `context`, for reads
   * and, if `writable`, for writes. `shift` is log2 of the page's size.
   */
  fill(context: number, low: number, high: number, frame: number, writable: boolean, global: boolean, shift: number): void {
    const words = this.words
    const slot = (context >>> 2) + ((low >>> 12) & INDEX_MASK) * 4
    const tag = low & ~0xfff
    const marks = words[slot + 3]
    words[slot] = tag
    words[slot + 1] = high
    words[slot + 2] = frame - tag
    if (writable) {
      words[slot + WORDS_TO_WRITE_ENTRY] = tag
      words[slot + WORDS_TO_WRITE_ENTRY + 1] = high
      words[slot + WORDS_TO_WRITE_ENTRY + 2] = frame - tag
      words[slot + WORDS_TO_WRITE_ENTRY + 3] = global ? Mark.GLOBAL : 0
    }
    if (global) {
      if ((marks & Mark.IN_GLOBAL_JOURNAL) === 0) this.globalJournal[this.globalLength++] = slot
      words[slot + 3] = marks | Mark.GLOBAL | Mark.IN_GLOBAL_JOURNAL
    } else {
      if ((marks & Mark.IN_JOURNAL) === 0) this.journal[this.journalLength++] = slot
      words[slot + 3] = (marks & ~Mark.GLOBAL) | Mark.IN_JOURNAL
    }
    if (frame === this.zeroFrame) this.noteZeroFrame(slot)
    if (shift !== 12) this.noteLargePage(low, high, shift)
  }

  /** CR0, CR4 and EFER changes, and whatever must forget global translations too. */
  flushAll(): void {
    const words = this.words
    for (const [journal, length] of [[this.journal, this.journalLength], [this.globalJournal, this.globalLength]] as const) {
      for (let n = 0; n < length; n++) {
        const slot = journal[n]
        words[slot] = words[slot + WORDS_TO_WRITE_ENTRY] = INVALID
        words[slot + 1] = words[slot + WORDS_TO_WRITE_ENTRY + 1] = INVALID
        words[slot + 3] = 0
      }
    }
    this.journalLength = this.globalLength = this.zeroSlots.length = 0
    this.clearFilters()
    this.announce('all', 0, 0, 0)
  }

  /** A write of CR3: global translations stay. */
  flushNonGlobal(): void {
    const words = this.words
    for (let n = 0; n < this.journalLength; n++) {
      const slot = this.journal[n]
      const write = slot + WORDS_TO_WRITE_ENTRY
      if ((words[slot + 3] & Mark.GLOBAL) === 0) words[slot] = words[slot + 1] = INVALID
      if ((words[write + 3] & Mark.GLOBAL) === 0) words[write] = words[write + 1] = INVALID
      words[slot + 3] &= ~Mark.IN_JOURNAL
    }
    this.journalLength = 0
    this.announce('non-global', 0, 0, 0)
  }

  /** INVLPG: the page that holds this address, global or not, whatever its size was when it was cached. */
  flushPage(low: number, high: number): void {
    const shift = this.largeFilled ? this.largestNoted(low, high) : 12
    if (shift !== 12) this.invalidateWhere((slot) => samePage(this.words[slot], this.words[slot + 1], low, high, shift))
    else {
      for (let context = 0; context < CONTEXT_COUNT; context++) this.invalidateExact(context, low & ~0xfff, high)
    }
    this.announce('page', low, high, shift)
  }

  /** A page got its own frame: entries that show the zero frame may be wrong now. */
  dropZeroFrame(): void {
    if (this.zeroSlots.length === 0) return
    for (const slot of this.zeroSlots) if (this.frameOf(slot) === this.zeroFrame) this.words[slot] = this.words[slot + 1] = INVALID
    this.zeroSlots.length = 0
  }

  /** Removes write entries that lead to the frame at `address`. */
  dropWriters(address: number): void {
    const words = this.words
    for (const [journal, length] of [[this.journal, this.journalLength], [this.globalJournal, this.globalLength]] as const) {
      for (let n = 0; n < length; n++) {
        const write = journal[n] + WORDS_TO_WRITE_ENTRY
        if (this.frameOf(write) === address) words[write] = words[write + 1] = INVALID
      }
    }
  }

  /** Pool address of the frame that a valid entry leads to. */
  private frameOf(slot: number): number {
    return (this.words[slot] + this.words[slot + 2]) >>> 0
  }

  private invalidateExact(context: number, tag: number, high: number): void {
    const words = this.words
    const slot = ((this.block + Block.CONTEXTS + context * Context.SIZE) >>> 2) + ((tag >>> 12) & INDEX_MASK) * 4
    for (const entry of [slot, slot + WORDS_TO_WRITE_ENTRY]) {
      if (words[entry] === tag >>> 0 && words[entry + 1] === high >>> 0) words[entry] = words[entry + 1] = INVALID
    }
  }

  private invalidateWhere(matches: (slot: number) => boolean): void {
    for (const [journal, length] of [[this.journal, this.journalLength], [this.globalJournal, this.globalLength]] as const) {
      for (let n = 0; n < length; n++) {
        for (const entry of [journal[n], journal[n] + WORDS_TO_WRITE_ENTRY]) {
          if (matches(entry)) this.words[entry] = this.words[entry + 1] = INVALID
        }
      }
    }
  }

  private noteZeroFrame(slot: number): void {
    if (this.zeroSlots.length === MAX_ZERO_SLOTS) {
      this.zeroSlots.length = 0
      this.invalidateWhere((entry) => entry !== slot && this.frameOf(entry) === this.zeroFrame)
    }
    this.zeroSlots.push(slot)
  }

  /** A translation through a page of 2^shift bytes is cached, here or by whoever listens to flushes. */
  noteLargePage(low: number, high: number, shift: number): void {
    this.largeFilled = true
    this.filters[LARGE_SHIFTS.indexOf(shift as 21 | 22 | 30)][filterIndex(low, high, shift)] = 1
  }

  private largestNoted(low: number, high: number): number {
    for (let size = LARGE_SHIFTS.length - 1; size >= 0; size--) {
      if (this.filters[size][filterIndex(low, high, LARGE_SHIFTS[size])] !== 0) return LARGE_SHIFTS[size]
    }
    return 12
  }

  private clearFilters(): void {
    if (!this.largeFilled) return
    for (const filter of this.filters) filter.fill(0)
    this.largeFilled = false
  }

  private announce(scope: FlushScope, low: number, high: number, shift: number): void {
    this.generation++
    if (scope !== 'non-global') this.globalGeneration++
    for (const listener of this.listeners) listener(scope, low, high, shift)
  }
}

function filterIndex(low: number, high: number, shift: number): number {
  return ((low >>> shift) ^ (high << (32 - shift)) ^ (high >>> 3)) & (FILTER_SIZE - 1)
}

function samePage(lowA: number, highA: number, lowB: number, highB: number, shift: number): boolean {
  return lowA >>> shift === lowB >>> shift && highA === highB >>> 0
}
