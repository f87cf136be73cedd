/**
 * Takes fresh pairs from a checkpoint through the same steps again: step after step, or the last step in *pieces*, between which both
 * machines are at the same instruction. A piece is a line of the interpreter's or the run of a region.
 *
 * While a pair goes in pieces, regions are installed between pieces only, so that whoever comes back to a piece finds the regions that run
 * in it.
 */
import type { CompiledRegions, RegionCompiler } from '../../cpu/translator/compiler.ts'
import type { RegionPlan } from '../../cpu/translator/plan.ts'
import { compareMemory, compareParts } from './compare.ts'
import type { Differences } from './compare.ts'
import { Pair } from './pair.ts'
import type { PairConfig, PairSnapshot, PairStep } from './pair.ts'

/** Shorter parts of a step would not be translated: the end of each is single-stepped. */
const SHORTEST_STEP = 16_384

export class Replay {
  readonly steps: readonly PairStep[]
  private readonly config: PairConfig
  private readonly checkpoint: PairSnapshot

  constructor(config: PairConfig, checkpoint: PairSnapshot, steps: readonly PairStep[]) {
    this.config = config
    this.checkpoint = checkpoint
    this.steps = steps
  }

  /** As far as the first step after which the machines differ; undefined if they never do. */
  toDifference(): Replay | undefined {
    const pair = new HeldPair(this.config, this.checkpoint)
    const step = this.steps.findIndex((each) => {
      pair.runStep(each)
      return pair.differences().length > 0
    })
    return step < 0 ? undefined : new Replay(this.config, this.checkpoint, this.steps.slice(0, step + 1))
  }

  /** The last step alone, from a checkpoint just before it, in so many parts if it is long enough. */
  lastStep(parts: number): Replay {
    const pair = new HeldPair(this.config, this.checkpoint)
    for (const step of this.steps.slice(0, -1)) pair.runStep(step)
    return new Replay(this.config, pair.save(), split(this.steps[this.steps.length - 1], parts))
  }

  /** A pair in the last step, after `count` pieces of about `size` instructions. */
  afterPieces(count: number, size: number): HeldPair {
    const pair = new HeldPair(this.config, this.checkpoint)
    for (const step of this.steps.slice(0, -1)) pair.runStep(step)
    pair.hold(this.steps[this.steps.length - 1])
    for (let piece = 0; piece < count; piece++) pair.runPiece(size)
    return pair
  }
}

function split({ time, events, instructions }: PairStep, parts: number): PairStep[] {
  const size = Math.max(Math.ceil(instructions / parts), SHORTEST_STEP)
  const steps: PairStep[] = []
  for (let from = 0; from < instructions; from += size) {
    steps.push({ time, events: from === 0 ? events : [], instructions: Math.min(size, instructions - from) })
  }
  return steps
}

/** A pair that goes in steps, and then, held, in pieces. */
export class HeldPair extends Pair {
  private readonly holder: HoldingCompiler
  /** Where the step ends that is run in pieces. */
  private end = 0

  constructor(config: PairConfig, checkpoint: PairSnapshot) {
    const holder = new HoldingCompiler(config.compiler())
    super({ ...config, compiler: () => holder })
    this.holder = holder
    this.restore(checkpoint)
  }

  runStep(step: PairStep): void {
    this.begin(step)
    this.interpreted.runExactly(step.instructions)
    this.translated.runExactly(step.instructions)
  }

  /** From here on the pair goes in pieces. */
  hold(step: PairStep): void {
    this.begin(step)
    this.end = this.interpreted.retired + step.instructions
    this.holder.isHolding = true
  }

  get isAtEnd(): boolean { return this.interpreted.retired >= this.end }

  /** Both machines execute as many instructions as the translating one likes; returns how many. None: they have stopped. */
  runPiece(size: number): number {
    this.install()
    const before = this.translated.retired
    this.translated.runPiece(size)
    const count = this.translated.retired - before
    if (count > 0) this.interpreted.runExactly(count)
    return count
  }

  /** Puts regions in place that were asked for since the last piece. */
  install(): void {
    this.holder.release()
    this.translated.vcpu.engine.translator?.poll()
  }

  differences(): Differences {
    return [...compareParts(this.interpreted, this.translated), ...compareMemory(this.interpreted, this.translated)]
  }
}

/** Keeps plans back until they are released. */
class HoldingCompiler implements RegionCompiler {
  isHolding = false
  private readonly compiler: RegionCompiler
  private plans: RegionPlan[] = []

  constructor(compiler: RegionCompiler) { this.compiler = compiler }

  get pending(): number { return this.compiler.pending + this.plans.length }
  discarded(): void { this.compiler.discarded() }
  collect(): CompiledRegions | undefined { return this.compiler.collect() }

  submit(plan: RegionPlan): void {
    if (this.isHolding) this.plans.push(plan)
    else this.compiler.submit(plan)
  }

  release(): void {
    for (const plan of this.plans) this.compiler.submit(plan)
    this.plans = []
  }
}
