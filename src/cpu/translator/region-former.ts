/**
 * Decides what a region is made of: from a hot door on, along direct branches and fall-through, over what the interpreter has been to,
 * within limits. Targets that were never jumped to are left out: there the region is left. Small functions are taken in where they are
 * called, so that their returns are known. A region that is made well takes in larger functions and recursive ones as well, once for all
 * of its calls: their returns choose among the places behind these. Other calls leave the region, and it is entered again behind them.
 */
import { Flow } from '../interpreter/record-writer.ts'
import type { CodePage, CodePlace } from '../interpreter/code-cache.ts'
import type { CodeContext } from '../interpreter/code-context.ts'
import { CodeReader } from './code-reader.ts'
import type { FormerParts, Step, WentTo } from './code-reader.ts'
import { PlanBuilder } from './plan-builder.ts'
import type { RegionPlan, Stores, Tier } from './plan.ts'

/**
 * How large a region may be; instructions of a function that is taken in where it is called, and how deep such functions may call each
 * other; instructions of one that is taken in once, for all calls.
 */
export interface FormLimits {
  readonly tier: Tier
  readonly stores: Stores
  readonly instructions: number
  readonly blocks: number
  readonly inlined: number
  readonly depth: number
  readonly shared: number
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

/** Functions that one computed call is expected to call. */
const MAXIMUM_CALLEES = 6

/** A function in the region: the one that it begins in, or one that was taken in. Addresses are relative to the anchor. */
export class Frame {
  /** Whose copy it is, if it was taken in for one call. */
  readonly caller: Frame | undefined
  readonly entry: number
  readonly depth: number
  /** Where it returns to. */
  readonly returns: { readonly frame: Frame; readonly at: number }[] = []
  readonly leaders = new Set<number>()
  readonly steps = new Map<number, Step>()
  /** Functions that it calls in the region, by the address of the call and of the function. */
  readonly callees = new Map<number, ReadonlyMap<number, Frame>>()

  constructor(caller: Frame | undefined, entry: number) {
    this.caller = caller
    this.entry = entry
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
  /** Functions that all calls share, by their entries. */
  private shared = new Map<number, Frame>()
  /** Where the region can be entered, and in which function; a shared one knows more of its returns than the one that the region began in. */
  private entries = new Map<number, Frame>()
  private work: { frame: Frame; at: number }[] = []
  private instructions = 0
  private blocks = 0

  constructor(parts: FormerParts) { this.reader = new CodeReader(parts) }

  /**
   * A region that begins at a place, or undefined if its first instruction is not translated. `wentTo` gives the low half of where a
   * computed jump went.
   */
  form(id: number, place: CodePlace, context: CodeContext, limits: FormLimits, wentTo: WentTo): FormedRegion | undefined {
    this.reader.begin(place, context, wentTo)
    this.limits = limits
    this.root = new Frame(undefined, place.offset)
    this.frames = [this.root]
    this.shared = new Map([[place.offset, this.root]])
    this.entries = new Map([[place.offset, this.root]])
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
    this.addEntry(this.root, at)
    this.work.push({ frame: this.root, at })
  }

  private addEntry(frame: Frame, at: number): void {
    if (frame.caller === undefined && (frame !== this.root || !this.entries.has(at))) this.entries.set(at, frame)
  }

  private follow(frame: Frame, at: number, step: Step, next: number): void {
    if (step.isReturn) return
    const targets = step.target === undefined ? step.expected : [step.target]
    if (step.isCall) return this.followCall(frame, at, targets, next)
    if (step.flow === Flow.CONDITIONAL) this.work.push({ frame, at: next })
    for (const target of targets) {
      if (!this.reader.isKnown(target)) continue
      if (target <= at) this.addEntry(frame, target)
      this.work.push({ frame, at: target })
    }
  }

  private followCall(frame: Frame, at: number, targets: readonly number[], next: number): void {
    const callees = new Map<number, Frame>()
    for (const target of targets.slice(0, MAXIMUM_CALLEES)) {
      const callee = this.reader.isKnown(target) ? this.calleeAt(frame, target) : undefined
      if (callee === undefined) continue
      callee.returns.push({ frame, at: next })
      callees.set(target, callee)
      this.work.push({ frame: callee, at: target })
    }
    if (callees.size === 0) {
      if (this.reader.isKnown(next)) this.enterAt(next)
      return
    }
    frame.callees.set(at, callees)
    this.work.push({ frame, at: next })
    // A shared function may be left on the way, and return in another region.
    if ([...callees.values()].some(({ caller }) => caller === undefined) && this.reader.isKnown(next)) this.addEntry(frame, next)
  }

  private calleeAt(frame: Frame, target: number): Frame | undefined {
    const { limits: { inlined, depth, shared }, reader } = this
    const known = this.shared.get(target)
    if (known !== undefined) return known
    const { size, callsItself } = reader.measure(target, inlined)
    if (size <= inlined && !(callsItself && shared > 0) && frame.depth < depth && !frame.contains(target)) return this.newFrame(frame, target)
    const room = Math.min(shared, this.limits.instructions - this.instructions)
    if (room <= 0 || reader.measure(target, room).size > room) return undefined
    const callee = this.newFrame(undefined, target)
    this.shared.set(target, callee)
    return callee
  }

  private newFrame(caller: Frame | undefined, target: number): Frame {
    const frame = new Frame(caller, target)
    this.frames.push(frame)
    return frame
  }
}
