/** Makes a plan of what the region former found: blocks, the edges between them, and the pages that they lie in. */
import { PAGE_SIZE } from '../../base/addresses.ts'
import { Flow } from '../interpreter/record-writer.ts'
import type { CodePage } from '../interpreter/code-cache.ts'
import type { CodeReader, Step } from './code-reader.ts'
import type { PlannedBlock } from './plan.ts'
import type { FormLimits, FormedRegion, Frame } from './region-former.ts'

/** Places behind calls that a shared function's return chooses from. */
const MAXIMUM_RETURNS = 16

interface Draft { readonly frame: Frame; readonly at: number; readonly count: number; readonly last: number; readonly end: number }

export class PlanBuilder {
  private readonly reader: CodeReader
  private readonly frames: readonly Frame[]
  private readonly drafts: Draft[] = []
  private readonly numbers = new Map<Frame, Map<number, number>>()

  constructor(reader: CodeReader, frames: readonly Frame[]) {
    this.reader = reader
    this.frames = frames
  }

  build(id: number, { tier, stores }: FormLimits, first: number, entries: ReadonlyMap<number, Frame>): FormedRegion {
    const [root] = this.frames
    this.draft(root, first)
    for (const frame of this.frames) for (const at of frame.leaders) if (frame !== root || at !== first) this.draft(frame, at)
    const pages = this.usedPages()
    return {
      plan: {
        id, tier, stores,
        blocks: this.drafts.map((draft) => this.complete(draft)),
        pages: pages.map(([delta, { frame }]) => ({ delta, bytes: this.reader.cache.copyPage(frame) })),
        entries: [...entries].flatMap(([at, frame]) => this.numbers.get(frame)?.get(at) ?? []),
      },
      codePages: pages.map(([, codePage]) => codePage),
      leaders: [...this.numbers.get(root)?.keys() ?? []],
      global: this.reader.global,
    }
  }

  private draft(frame: Frame, at: number): void {
    let count = 0
    let last = at
    let next = at
    for (let step = frame.steps.get(next); step !== undefined; step = frame.steps.get(next)) {
      if (count > 0 && frame.leaders.has(next)) break
      count++
      last = next
      next += step.length
      if (step.flow !== Flow.NEXT) break
    }
    if (count === 0) return
    const numbers = this.numbers.get(frame) ?? new Map<number, number>()
    this.numbers.set(frame, numbers)
    numbers.set(at, this.drafts.push({ frame, at, count, last, end: next }) - 1)
  }

  private complete({ frame, at, count, last, end }: Draft): PlannedBlock {
    const step = frame.steps.get(last)
    const target = step?.target === undefined ? -1 : this.numberOf(step.isCall ? frame.callees.get(last)?.get(step.target) : frame, step.target)
    return { at, count, target, next: this.numberOf(frame, end), expected: step === undefined ? [] : this.expected(frame, last, step) }
  }

  private expected(frame: Frame, at: number, step: Step): number[] {
    if (step.isReturn) return this.numbersOf(this.returnsOf(frame, step))
    if (!step.isComputed) return []
    const callees = frame.callees.get(at)
    return this.numbersOf(step.expected.map((target) => ({ frame: step.isCall ? callees?.get(target) : frame, at: target })))
  }

  /** A function that the region began in the middle of, or that is shared, may return to a caller that is not known as one. */
  private returnsOf(frame: Frame, { expected }: Step): { readonly frame: Frame; readonly at: number }[] {
    const known = frame.returns.slice(0, MAXIMUM_RETURNS)
    return frame.caller === undefined ? [...known, ...expected.map((at) => ({ frame: this.frames[0], at }))] : known
  }

  /** Those that are in the region, one for each address: of several copies of the code behind a call, the first. */
  private numbersOf(places: readonly { readonly frame: Frame | undefined; readonly at: number }[]): number[] {
    const byAddress = new Map(places.toReversed().map(({ frame, at }) => [at, this.numberOf(frame, at)]))
    return [...new Set(places.flatMap(({ at }) => byAddress.get(at) ?? []))].filter((number) => number >= 0)
  }

  private numberOf(frame: Frame | undefined, at: number): number { return frame === undefined ? -1 : this.numbers.get(frame)?.get(at) ?? -1 }

  /** Pages that hold code of the region, the anchor's first; what lies in them is watched. */
  private usedPages(): [number, CodePage][] {
    const ranges = new Map<number, [number, number]>()
    for (const { at, end } of this.drafts) widen(ranges, at, end)
    const used = [...this.reader.pages].filter(([delta]) => ranges.has(delta))
    for (const [delta, codePage] of used) {
      const [start, end] = ranges.get(delta) ?? [0, 0]
      this.reader.cache.noteRange(codePage, start, end)
    }
    return used
  }
}

/** Adds bytes, which may lie in several pages, to the ranges of their pages. */
function widen(ranges: Map<number, [number, number]>, start: number, end: number): void {
  for (let delta = start >> 12; delta <= (end - 1) >> 12; delta++) {
    const from = Math.max(start - delta * PAGE_SIZE, 0)
    const to = Math.min(end - delta * PAGE_SIZE, PAGE_SIZE)
    const known = ranges.get(delta)
    ranges.set(delta, known === undefined ? [from, to] : [Math.min(known[0], from), Math.max(known[1], to)])
  }
}
