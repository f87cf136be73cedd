/** Whoever turns plans into code: the same thread at once, or another one in its own time. */
import { RegionTranslator } from './translate.ts'
import type { RegionPlan, TranslatedRegion } from './plan.ts'

export interface CompiledRegions {
  readonly module: WebAssembly.Module
  readonly regions: readonly TranslatedRegion[]
}

export interface RegionCompiler {
  /** Plans that were handed in and did not come back yet. */
  readonly pending: number
  submit(plan: RegionPlan): void
  /** Code that was compiled is not used any more; hosts whose garbage collector does not notice by itself are told so. */
  discarded(): void
  /** What has become ready since the last call; undefined if nothing has. Cheap: it is asked between slices. */
  collect(): CompiledRegions | undefined
}

/** Compiles on the calling thread, when it is asked for results. */
export class ImmediateCompiler implements RegionCompiler {
  private readonly translator: RegionTranslator
  private plans: RegionPlan[] = []

  constructor(features: ReadonlySet<string>) { this.translator = new RegionTranslator(features) }

  get pending(): number { return this.plans.length }
  submit(plan: RegionPlan): void { this.plans.push(plan) }
  discarded(): void {}

  collect(): CompiledRegions | undefined {
    if (this.plans.length === 0) return undefined
    const { bytes, regions } = this.translator.translate(this.plans)
    this.plans = []
    return { module: new WebAssembly.Module(bytes), regions }
  }
}
