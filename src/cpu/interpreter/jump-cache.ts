/**
 * The jump cache: where a computed or far branch goes, without leaving WebAssembly. One table in each translation context, direct-
 * mapped by instruction pointer: tag (u64), record (u32), offset of the instruction in its page (u32). It is derived from translations, so it follows the TLB's flushes.
 */
import type { Tlb } from '../mmu/tlb.ts'
import { Block, CONTEXT_COUNT, Context, JUMP_CACHE_ENTRIES, JUMP_CACHE_ENTRY_SIZE } from '../state/layout.ts'

const INVALID = 0xffffffff
/** Bits of the filter of pages: false positives cost a flush. */
const FILTER_BITS = 1 << 16
/** A context with more entries than this is emptied as a whole. */
const MAXIMUM_JOURNAL = 2048

export class JumpCache {
  private readonly words: Uint32Array
  private readonly block: number
  /** A bit for each hash of a linear page that entries were made for since the last flush. */
  private readonly pages = new Uint32Array(FILTER_BITS / 32)
  /** Code context that each translation context's entries belong to. */
  private readonly owners = new Int32Array(CONTEXT_COUNT).fill(-1)
  /** For each translation context: how many entries were filled since its flush, where the first of them are, and whether some lead to pages
   * that are not global. */
  private readonly filled = new Float64Array(CONTEXT_COUNT).fill(Infinity)
  private readonly journals = Array.from({ length: CONTEXT_COUNT }, () => new Uint32Array(MAXIMUM_JOURNAL))
  private readonly mixed = new Uint8Array(CONTEXT_COUNT)

  constructor(words: Uint32Array, block: number, tlb: Tlb) {
    this.words = words
    this.block = block
    tlb.listeners.push((scope, low, high, shift) => {
      if (scope === 'non-global') this.flushNonGlobal()
      else if (scope === 'all' || this.mayHold(low, high, shift)) this.flush()
    })
    this.flush()
  }

  /** Remembers that the instruction pointer (halves) leads to `record` in the context at `context`; `global`: so does every address space. */
  fill(context: number, low: number, high: number, record: number, pageOffset: number, global: boolean): void {
    const at = (context + Context.JUMP_CACHE + ((low ^ (low >>> 12)) & (JUMP_CACHE_ENTRIES - 1)) * JUMP_CACHE_ENTRY_SIZE) >>> 2
    this.words[at] = low
    this.words[at + 1] = high
    this.words[at + 2] = record
    this.words[at + 3] = pageOffset
    const bit = filterBit(low, high)
    this.pages[bit >>> 5] |= 1 << bit
    const index = this.indexOf(context)
    const count = this.filled[index]
    if (count < MAXIMUM_JOURNAL) this.journals[index][count] = at
    this.filled[index] = count + 1
    if (!global) this.mixed[index] = 1
  }

  flush(): void {
    for (let index = 0; index < CONTEXT_COUNT; index++) this.flushContext(index)
    this.pages.fill(0)
  }

  /** Another address space: entries of global pages stay, if no others are among them. */
  private flushNonGlobal(): void {
    for (let index = 0; index < CONTEXT_COUNT; index++) if (this.mixed[index] !== 0) this.flushContext(index)
  }

  private indexOf(context: number): number { return (context - this.block - Block.CONTEXTS) / Context.SIZE }

  /** Entries of the translation context at `context` are about to be used by a code context: others' must go. */
  claim(context: number, codeContext: number): void {
    const index = this.indexOf(context)
    if (this.owners[index] === codeContext) return
    // The two supervisor contexts alternate without notice (STAC, CLAC), so they have one owner.
    for (const shared of index === 0 ? [0] : [1, 2]) {
      this.owners[shared] = codeContext
      this.flushContext(shared)
    }
  }

  private flushContext(index: number): void {
    const count = this.filled[index]
    this.filled[index] = this.mixed[index] = 0
    if (count > MAXIMUM_JOURNAL) {
      const from = (this.block + Block.CONTEXTS + index * Context.SIZE + Context.JUMP_CACHE) >>> 2
      this.words.fill(INVALID, from, from + ((JUMP_CACHE_ENTRIES * JUMP_CACHE_ENTRY_SIZE) >>> 2))
      return
    }
    for (let n = 0; n < count; n++) {
      const at = this.journals[index][n]
      this.words[at] = this.words[at + 1] = INVALID
    }
  }

  /** Entries are keyed by instruction pointer; outside 64-bit mode with a CS.base they may lie in any page. */
  private mayHold(low: number, high: number, shift: number): boolean {
    const bit = filterBit(low, high)
    return shift > 12 || (this.pages[bit >>> 5] >>> bit & 1) !== 0
  }
}

const filterBit = (low: number, high: number): number => ((low >>> 12) ^ Math.imul(high, 0x9e3779b1) >>> 16) & (FILTER_BITS - 1)
