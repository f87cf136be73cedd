/** Reads guest code for the region former: instructions by their distance from an anchor, through the pages that the interpreter knows. */
import { PAGE_SIZE } from '../../base/addresses.ts'
import { Instruction } from '../decode/instruction.ts'
import { addToLinear } from '../interpreter/code-cache.ts'
import type { CodeCache, CodePage, CodePlace } from '../interpreter/code-cache.ts'
import type { CodeContext } from '../interpreter/code-context.ts'
import { Flow } from '../interpreter/record-writer.ts'
import type { RecordWriter } from '../interpreter/record-writer.ts'
import { tlbLookup } from '../mmu/mmu.ts'
import type { Mmu } from '../mmu/mmu.ts'
import { Context, Slot } from '../state/layout.ts'
import { MAXIMUM_REGION_PAGES } from './plan.ts'
import type { Translatable } from './translatable.ts'

const MAXIMUM_LENGTH = 15
/** Base register number that stands for RIP. */
const RIP = 16

/** An instruction, and where control goes from it. */
export interface Step {
  /** 0 if it cannot be fetched or decoded. */
  readonly length: number
  /** One that is not, the interpreter does. */
  readonly isTranslated: boolean
  readonly flow: number
  /** Of a direct branch or call, relative to the anchor. */
  readonly target: number | undefined
  readonly isCall: boolean
  readonly isReturn: boolean
  /** A jump or call to a computed address; and where it, or a return, probably goes. */
  readonly isComputed: boolean
  readonly expected: readonly number[]
}

const NOTHING: Step = {
  length: 0, isTranslated: false, flow: Flow.AWAY, target: undefined, isCall: false, isReturn: false, isComputed: false, expected: [],
}

/** Low halves of where a computed jump went, by the low half of the address behind it. */
export type WentTo = (low: number) => readonly number[]

export interface FormerParts {
  readonly cache: CodeCache
  readonly writer: RecordWriter
  readonly mmu: Mmu
  readonly translatable: Translatable
}

export class CodeReader {
  private readonly parts: FormerParts
  private readonly instruction = new Instruction()
  private anchorLow = 0
  private anchorHigh = 0
  private context!: CodeContext
  private steps = new Map<number, Step>()
  private sizes = new Map<number, { readonly size: number; readonly limit: number; readonly callsItself: boolean }>()
  private wentTo: WentTo = () => []
  /** Code pages by their distance from the anchor's page. */
  pages = new Map<number, CodePage>()
  /** All pages were reached through global translations. */
  global = true

  constructor(parts: FormerParts) { this.parts = parts }

  get cache(): CodeCache { return this.parts.cache }

  begin(place: CodePlace, context: CodeContext, wentTo: WentTo): void {
    this.anchorLow = place.linearLow & ~(PAGE_SIZE - 1)
    this.anchorHigh = place.linearHigh
    this.context = context
    this.wentTo = wentTo
    this.steps = new Map()
    this.sizes = new Map()
    this.pages = new Map()
    this.global = true
  }

  /** The interpreter has jumped to the address. */
  isKnown(at: number): boolean {
    const page = this.pageAt(at >> 12)
    return page !== undefined && this.parts.cache.isKnown(page, at & (PAGE_SIZE - 1))
  }

  stepAt(at: number): Step {
    const known = this.steps.get(at)
    if (known !== undefined) return known
    const step = this.readStep(at)
    this.steps.set(at, step)
    return step
  }

  /**
   * Of the function that begins at an address, as far as the interpreter knows it: its instructions, more than `limit` if it is larger,
   * and whether it calls itself.
   */
  measure(entry: number, limit: number): { readonly size: number; readonly callsItself: boolean } {
    const known = this.sizes.get(entry)
    if (known !== undefined && (known.size <= known.limit || limit <= known.limit)) return known
    const seen = new Set<number>()
    const work = [entry]
    let callsItself = false
    for (let at = work.pop(); at !== undefined && seen.size <= limit; at = work.pop()) {
      if (this.walk(at, seen, work, limit).includes(entry)) callsItself = true
    }
    const found = { size: seen.size, limit, callsItself }
    this.sizes.set(entry, found)
    return found
  }

  /** Returns what is called on the way. */
  private walk(start: number, seen: Set<number>, work: number[], limit: number): number[] {
    const called: number[] = []
    for (let at = start; !seen.has(at) && seen.size <= limit;) {
      const step = this.stepAt(at)
      if (step.length === 0) break
      seen.add(at)
      if (step.target !== undefined && step.isCall) called.push(step.target)
      else if (step.target !== undefined && this.isKnown(step.target)) work.push(step.target)
      if (step.flow !== Flow.NEXT && step.flow !== Flow.CONDITIONAL && !step.isCall) break
      at += step.length
    }
    return called
  }

  private readStep(at: number): Step {
    const page = this.pageAt(at >> 12)
    if (page === undefined || page.frame === 0) return NOTHING
    const { writer, translatable } = this.parts
    const { instruction } = this
    const length = this.decode(page, at, at & (PAGE_SIZE - 1))
    if (length <= 0) return NOTHING
    const isTranslated = writer.refusal(instruction, this.context) === 0 && translatable.has(instruction)
    const target = writer.branches(instruction) ? at + length + instruction.immediate : undefined
    const isComputed = writer.isComputed(instruction)
    const isReturn = writer.isReturn(instruction)
    return {
      length, isTranslated, flow: writer.flow(instruction), target, isComputed, isReturn,
      isCall: writer.isCall(instruction), expected: isComputed || isReturn ? this.predict(at + length, isReturn) : [],
    }
  }

  private decode(page: CodePage, at: number, offset: number): number {
    const { cache } = this.parts
    const length = cache.decodeInto(this.instruction, page, offset)
    if (length !== 0 || offset <= PAGE_SIZE - MAXIMUM_LENGTH) return length
    const next = this.pageAt((at >> 12) + 1)
    return next === undefined || next.frame === 0 ? 0 : cache.decodeAcross(this.instruction, page, next, offset)
  }

  /** Where the computed jump that was just decoded, and ends at `next`, probably goes: to where it went, or what its pointer says now. */
  private predict(next: number, isReturn: boolean): readonly number[] {
    const { instruction } = this
    const seen = this.wentTo((this.anchorLow + next) | 0)
    if (seen.length > 0 || isReturn) return seen.map((low) => (low - this.anchorLow) | 0)
    const low = instruction.base === RIP && instruction.index < 0 ? this.pointerAt(next) : undefined
    return low === undefined ? [] : [(low - this.anchorLow) | 0]
  }

  /** Low half of the pointer at the instruction's RIP-relative address, if a translation of it is at hand. */
  private pointerAt(next: number): number | undefined {
    const { state } = this.parts.mmu
    const linear = addToLinear(this.anchorLow, this.anchorHigh, next + this.instruction.displacement)
    const at = tlbLookup(state.u32, state.slotU32(Slot.CONTEXT) + Context.READ_TLB, linear.low, linear.high, 8)
    return at === 0 || (at & 3) !== 0 || state.u32[(at >>> 2) + 1] !== this.anchorHigh >>> 0 ? undefined : state.u32[at >>> 2]
  }

  /** The code page at a distance from the anchor's, if it is mapped and there is room for it. */
  private pageAt(delta: number): CodePage | undefined {
    const known = this.pages.get(delta)
    if (known !== undefined) return known
    if (this.pages.size >= MAXIMUM_REGION_PAGES) return undefined
    const { mmu, cache } = this.parts
    const linear = addToLinear(this.anchorLow, this.anchorHigh, delta * PAGE_SIZE)
    const page = mmu.translateFetch(linear.low, linear.high)
    const codePage = page < 0 ? undefined : cache.knownPage(page, this.context)
    if (codePage === undefined) return undefined
    if (!mmu.fetchedGlobal) this.global = false
    this.pages.set(delta, codePage)
    return codePage
  }
}
