/**
 * The jump cache: where a computed or far branch goes, without leaving WebAssembly. One table in each translation context, direct-
 * mapped by instruction pointer: tag (u64), record (u32). It is derived from translations, so it follows the TLB's flushes.
 */
import type { Tlb } from '../mmu/tlb.ts'
import { Block, CONTEXT_COUNT, Context, TLB_ENTRIES, TLB_ENTRY_SIZE } from '../state/layout.ts'

const INVALID = 0xffffffff

export class JumpCache {
  private readonly words: Uint32Array
  private readonly block: number
  /** Linear pages (low 32 bits of their number) that entries were made for since the last flush. */
  private readonly pages = new Set<number>()
  /** Code context that each translation context's entries belong to. */
  private readonly owners = new Int32Array(CONTEXT_COUNT).fill(-1)
  private empty = false

  constructor(words: Uint32Array, block: number, tlb: Tlb) {
    this.words = words
    this.block = block
    tlb.listeners.push((scope, low, high, shift) => {
      if (scope !== 'page') this.flush()
      else if (this.mayHold(low, high, shift)) this.flush()
    })
    this.flush()
  }

  /** Remembers that the instruction pointer (halves) leads to `record` in the context at `context`. */
  fill(context: number, low: number, high: number, record: number): void {
    const at = (context + Context.JUMP_CACHE + ((low ^ (low >>> 12)) & (TLB_ENTRIES - 1)) * TLB_ENTRY_SIZE) >>> 2
    this.words[at] = low
    this.words[at + 1] = high
    this.words[at + 2] = record
    this.pages.add(pageNumber(low, high))
    this.empty = false
  }

  flush(): void {
    if (this.empty) return
    for (let context = 0; context < CONTEXT_COUNT; context++) this.flushContext(context)
    this.pages.clear()
    this.empty = true
  }

  /** Entries of the translation context at `context` are about to be used by a code context: others' must go. */
  claim(context: number, codeContext: number): void {
    const index = (context - this.block - Block.CONTEXTS) / Context.SIZE
    if (this.owners[index] === codeContext) return
    // The two supervisor contexts alternate without notice (STAC, CLAC), so they have one owner.
    for (const shared of index === 0 ? [0] : [1, 2]) {
      this.owners[shared] = codeContext
      this.flushContext(shared)
    }
  }

  private flushContext(index: number): void {
    const from = (this.block + Block.CONTEXTS + index * Context.SIZE + Context.JUMP_CACHE) >>> 2
    this.words.fill(INVALID, from, from + ((TLB_ENTRIES * TLB_ENTRY_SIZE) >>> 2))
  }

  /** Entries are keyed by instruction pointer; outside 64-bit mode with a CS.base they may lie in any page. */
  private mayHold(low: number, high: number, shift: number): boolean {
    return shift > 12 || this.pages.has(pageNumber(low, high))
  }
}

/** Page number without the bits that canonical addresses repeat: exact in a double. */
const pageNumber = (low: number, high: number): number => (high & 0xffff) * 2 ** 20 + (low >>> 12)
