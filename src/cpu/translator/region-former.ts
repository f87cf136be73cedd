/**
 * Decides what a region is made of: from a hot door on, along direct branches, calls and fall-through, over what the interpreter has
 * been to, within limits. Targets that were never jumped to are left out: there the region is left.
 */
import { PAGE_SIZE } from '../../base/addresses.ts'
import { Instruction } from '../decode/instruction.ts'
import { addToLinear } from '../interpreter/code-cache.ts'
import type { CodeCache, CodePage, CodePlace } from '../interpreter/code-cache.ts'
import type { CodeContext } from '../interpreter/code-context.ts'
import { Flow } from '../interpreter/record-writer.ts'
import type { RecordWriter } from '../interpreter/record-writer.ts'
import type { Mmu } from '../mmu/mmu.ts'
import { MAXIMUM_REGION_PAGES } from './plan.ts'
import type { PlannedBlock, RegionPlan } from './plan.ts'
import type { Translatable } from './translatable.ts'

const MAXIMUM_INSTRUCTIONS = 600
const MAXIMUM_BLOCKS = 120
const MAXIMUM_LENGTH = 15

export interface FormedRegion {
  readonly plan: RegionPlan
  /** By position in the plan. */
  readonly codePages: readonly CodePage[]
  /** Whether all pages were reached through global translations. */
  readonly global: boolean
}

/** A step of the walk: an instruction, and where control goes from it. */
interface Step {
  readonly length: number
  readonly flow: number
  /** Of a direct branch or call, relative to the anchor. */
  readonly target: number | undefined
  readonly isCall: boolean
}

export interface FormerParts {
  readonly cache: CodeCache
  readonly writer: RecordWriter
  readonly mmu: Mmu
  readonly translatable: Translatable
}

export class RegionFormer {
  private readonly parts: FormerParts
  private readonly instruction = new Instruction()
  private anchorLow = 0
  private anchorHigh = 0
  private context!: CodeContext
  private pages = new Map<number, CodePage>()
  private global = true
  private steps = new Map<number, Step>()
  private leaders = new Set<number>()
  private resumed = new Set<number>()
  private work: number[] = []

  constructor(parts: FormerParts) { this.parts = parts }

  /** A region that begins at a place, or undefined if its first instruction is not translated. */
  form(id: number, place: CodePlace, context: CodeContext): FormedRegion | undefined {
    this.anchorLow = place.linearLow & ~(PAGE_SIZE - 1)
    this.anchorHigh = place.linearHigh
    this.context = context
    this.pages = new Map()
    this.global = true
    this.steps = new Map()
    this.leaders = new Set()
    this.resumed = new Set()
    this.work = [place.offset]
    while (this.work.length > 0 && this.leaders.size < MAXIMUM_BLOCKS) this.walk(this.work.shift() ?? 0)
    if (!this.steps.has(place.offset)) return undefined
    return this.finish(id, place.offset)
  }

  private walk(start: number): void {
    if (this.leaders.has(start) || (this.leaders.size > 0 && this.isTranslated(start))) return
    this.leaders.add(start)
    for (let at = start; !this.steps.has(at) && this.steps.size < MAXIMUM_INSTRUCTIONS;) {
      const step = this.stepAt(at)
      if (step === undefined) return
      this.steps.set(at, step)
      const next = at + step.length
      if (step.target !== undefined) this.follow(at, step, next)
      else if (step.isCall && this.isKnown(next)) this.work.push(next)
      if (step.flow === Flow.AWAY || step.flow === Flow.BARRIER || step.flow === Flow.CONDITIONAL) {
        if (step.flow === Flow.CONDITIONAL) this.work.push(next)
        return
      }
      at = next
    }
    // The walk ran into code that is there already, or into the limit.
  }

  private follow(at: number, step: Step, next: number): void {
    const target = step.target ?? at
    if (this.isKnown(target)) this.work.push(target)
    if (step.isCall && this.isKnown(next)) this.work.push(next)
  }

  /** The interpreter has jumped to the address. */
  private isKnown(at: number): boolean {
    const page = this.pageAt(at >> 12)
    return page !== undefined && this.parts.cache.isKnown(page, at & (PAGE_SIZE - 1))
  }

  /** Another region begins there. */
  private isTranslated(at: number): boolean {
    const page = this.pageAt(at >> 12)
    return page !== undefined && this.parts.cache.isTranslated(page, at & (PAGE_SIZE - 1))
  }

  private stepAt(at: number): Step | undefined {
    const page = this.pageAt(at >> 12)
    if (page === undefined || page.frame === 0) return undefined
    const { writer, translatable } = this.parts
    const { instruction } = this
    const offset = at & (PAGE_SIZE - 1)
    const length = this.decode(page, at, offset)
    if (length <= 0) return undefined
    if (writer.refusal(instruction, this.context) !== 0 || !translatable.has(instruction)) {
      this.resume(at + length, writer.flow(instruction))
      return undefined
    }
    const target = writer.branches(instruction) ? at + length + instruction.immediate : undefined
    const flow = writer.flow(instruction)
    return { length, flow, target, isCall: writer.isCall(instruction) }
  }

  /** The interpreter does the instruction before, and comes back. */
  private resume(at: number, flow: number): void {
    if (flow !== Flow.NEXT || !this.isKnown(at)) return
    this.resumed.add(at)
    this.work.push(at)
  }

  private decode(page: CodePage, at: number, offset: number): number {
    const { cache } = this.parts
    const length = cache.decodeInto(this.instruction, page, offset)
    if (length !== 0 || offset <= PAGE_SIZE - MAXIMUM_LENGTH) return length
    const next = this.pageAt((at >> 12) + 1)
    return next === undefined || next.frame === 0 ? 0 : cache.decodeAcross(this.instruction, page, next, offset)
  }

  /** The code page at a distance from the anchor's, if it is mapped and there is room for it. */
  private pageAt(delta: number): CodePage | undefined {
    const known = this.pages.get(delta)
    if (known !== undefined) return known
    if (this.pages.size >= MAXIMUM_REGION_PAGES) return undefined
    const { mmu, cache } = this.parts
    const linear = addToLinear(this.anchorLow, this.anchorHigh, delta * PAGE_SIZE)
    const page = mmu.translateFetch(linear.low, linear.high)
    if (page < 0) return undefined
    const codePage = cache.knownPage(page, this.context)
    if (codePage === undefined) return undefined
    if (!mmu.fetchedGlobal) this.global = false
    this.pages.set(delta, codePage)
    return codePage
  }

  // The result.

  private finish(id: number, first: number): FormedRegion {
    const starts = [...this.leaders].filter((at) => this.steps.has(at))
    const blocks = [first, ...starts.filter((at) => at !== first)].map((at) => this.blockAt(at))
    const used = this.usedPages(blocks)
    const numbers = new Map(blocks.map((block, number) => [block.at, number]))
    return {
      plan: {
        id, blocks,
        pages: used.map(([delta, { frame }]) => ({ delta, bytes: this.parts.cache.copyPage(frame) })),
        resumed: [...this.resumed].flatMap((at) => numbers.get(at) ?? []),
      },
      codePages: used.map(([, codePage]) => codePage),
      global: this.global,
    }
  }

  private blockAt(at: number): PlannedBlock {
    let count = 0
    let next = at
    for (let step = this.steps.get(next); step !== undefined; step = this.steps.get(next)) {
      if (count > 0 && this.leaders.has(next)) break
      count++
      next += step.length
      if (step.flow !== Flow.NEXT) break
    }
    return { at, count }
  }

  /** Pages that hold code of the region, the anchor's first; what lies in them is watched. */
  private usedPages(blocks: readonly PlannedBlock[]): [number, CodePage][] {
    const ranges = new Map<number, [number, number]>()
    for (const block of blocks) {
      let at = block.at
      for (let n = 0; n < block.count; n++) {
        const length = this.steps.get(at)?.length ?? 0
        widen(ranges, at, at + length)
        at += length
      }
    }
    for (const [delta, [start, end]] of ranges) {
      const codePage = this.pages.get(delta)
      if (codePage !== undefined) this.parts.cache.noteRange(codePage, start, end)
    }
    return [...this.pages].filter(([delta]) => ranges.has(delta))
  }
}

/** Adds bytes, which may lie in two pages, to the ranges of their pages. */
function widen(ranges: Map<number, [number, number]>, start: number, end: number): void {
  for (let delta = start >> 12; delta <= (end - 1) >> 12; delta++) {
    const from = Math.max(start - delta * PAGE_SIZE, 0)
    const to = Math.min(end - delta * PAGE_SIZE, PAGE_SIZE)
    const known = ranges.get(delta)
    ranges.set(delta, known === undefined ? [from, to] : [Math.min(known[0], from), Math.max(known[1], to)])
  }
}
