/**
 * Decides what a region is made of: from a hot door on, along direct branches and fall-through, over what the interpreter has been to,
 * within limits. Targets that were never jumped to are left out: there the region is left. Small functions are taken in where they are
 * called, so that their returns are known; other calls leave the region, and it is entered again behind them.
 */
import { Flow } from '../interpreter/record-writer.ts'
import type { CodePage, CodePlace } from '../interpreter/code-cache.ts'
import type { CodeContext } from '../interpreter/code-context.ts'
import { CodeReader, NOWHERE } from './code-reader.ts'
import type { FormerParts, Step } from './code-reader.ts'
import { PlanBuilder } from './plan-builder.ts'
import type { RegionPlan, Stores, Tier } from './plan.ts'

/** How large a region may be; instructions of a function that is taken in, and how deep such functions may call each other. */
export interface FormLimits {
  readonly tier: Tier
  readonly stores: Stores
  readonly instructions: number
  readonly blocks: number
  readonly inlined: number
  readonly depth: number
}

export interface FormedRegion {
  readonly plan: RegionPlan
  /** By position in the plan. */
  readonly codePages: readonly CodePage[]
  /** Where blocks begin that do not belong to a function that was taken in. */
  readonly leaders: readonly number[]
  /** Whether all pages were reached through global translations. */
  readonly global: boolean
}

/** A function in the region: the one that it begins in, or one that was taken in at a call. */
export class Frame {
  readonly caller: Frame | undefined
  /** Where it was entered and where it returns to, relative to the anchor. */
  readonly entry: number
  readonly returnTo: number
  readonly depth: number
  readonly leaders = new Set<number>()
  readonly steps = new Map<number, Step>()
  /** Functions taken in, by the address of the call. */
  readonly inlined = new Map<number, Frame>()
  /** Expected targets of computed jumps, by the jump's address. */
  readonly expected = new Map<number, number>()

  constructor(caller: Frame | undefined, entry: number, returnTo: number) {
    this.caller = caller
    this.entry = entry
    this.returnTo = returnTo
    this.depth = caller === undefined ? 0 : caller.depth + 1
  }

  /** Whether the function is being called already. */
  contains(entry: number): boolean { return this.entry === entry || (this.caller?.contains(entry) ?? false) }
}

export class RegionFormer {
  private readonly reader: CodeReader
  private limits!: FormLimits
  private root!: Frame
  private frames: Frame[] = []
  private entries = new Set<number>()
  private work: { frame: Frame; at: number }[] = []
  private instructions = 0
  private blocks = 0

  constructor(parts: FormerParts) { this.reader = new CodeReader(parts) }

  /**
   * A region that begins at a place, or undefined if its first instruction is not translated. `wentTo` gives the low half of where a
   * computed jump went, by the low half of the address behind it.
   */
  form(id: number, place: CodePlace, context: CodeContext, limits: FormLimits, wentTo: (low: number) => number | undefined): FormedRegion | undefined {
    this.reader.begin(place, context, wentTo)
    this.limits = limits
    this.root = new Frame(undefined, place.offset, -1)
    this.frames = [this.root]
    this.entries = new Set([place.offset])
    this.work = [{ frame: this.root, at: place.offset }]
    this.instructions = this.blocks = 0
    for (let item = this.work.shift(); item !== undefined && this.blocks < limits.blocks; item = this.work.shift()) this.walk(item.frame, item.at)
    if (!this.root.steps.has(place.offset)) return undefined
    return new PlanBuilder(this.reader, this.frames).build(id, limits, place.offset, this.entries)
  }

  private walk(frame: Frame, start: number): void {
    if (frame.leaders.has(start)) return
    frame.leaders.add(start)
    this.blocks++
    for (let at = start; !frame.steps.has(at) && this.instructions < this.limits.instructions;) {
      const step = this.reader.stepAt(at)
      if (step.length === 0) return
      if (!step.isTranslated) return this.resume(at + step.length, step)
      frame.steps.set(at, step)
      this.instructions++
      const next = at + step.length
      this.follow(frame, at, step, next)
      if (step.flow !== Flow.NEXT) return
      at = next
    }
  }

  /** The interpreter does the instruction before, and comes back. */
  private resume(at: number, step: Step): void {
    if (step.flow !== Flow.NEXT || !this.reader.isKnown(at)) return
    this.enterAt(at)
  }

  private enterAt(at: number): void {
    this.entries.add(at)
    this.work.push({ frame: this.root, at })
  }

  private follow(frame: Frame, at: number, step: Step, next: number): void {
    if (step.isComputed) frame.expected.set(at, step.expected)
    const target = step.target ?? (step.isComputed ? step.expected : NOWHERE)
    if (step.isCall) return this.followCall(frame, at, target, next)
    if (step.flow === Flow.CONDITIONAL) this.work.push({ frame, at: next })
    if (target === NOWHERE || !this.reader.isKnown(target)) return
    if (frame === this.root && target <= at) this.entries.add(target)
    this.work.push({ frame, at: target })
  }

  private followCall(frame: Frame, at: number, target: number, next: number): void {
    if (target !== NOWHERE && this.isWorthInlining(frame, target)) {
      const callee = new Frame(frame, target, next)
      this.frames.push(callee)
      frame.inlined.set(at, callee)
      this.work.push({ frame: callee, at: target }, { frame, at: next })
    } else if (this.reader.isKnown(next)) this.enterAt(next)
  }

  private isWorthInlining(frame: Frame, target: number): boolean {
    const { inlined, depth } = this.limits
    return frame.depth < depth && !frame.contains(target) && this.reader.isKnown(target) && this.reader.functionSize(target, inlined) <= inlined
  }
}
