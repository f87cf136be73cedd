import type { MessagePort } from 'node:worker_threads'
import type { RegionPlan } from '../../cpu/translator/plan.ts'

/** What the compiling thread is started with. */
export interface CompileOrder {
  /** Plans come in here, one a message; results (CompiledRegions) go out. */
  readonly port: MessagePort
  /** CPUID features whose encodings exist. */
  readonly features: readonly string[]
}

export type CompileRequest = RegionPlan
