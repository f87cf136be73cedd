/** Translates planned regions into one WebAssembly module. Runs on any thread: it needs nothing but the plans. */

import { Decoder } from '../decode/decoder.ts'
import { emitMaterialise } from '../semantics/flag-code.ts'
import { MAXIMUM_POOL_PAGES } from '../interpreter/engine-builder.ts'
import { ModuleBuilder } from '../wasm/assembler.ts'
import { W } from '../wasm/opcodes.ts'
import { PARAMETERS } from './parameters.ts'
import type { RegionPlan, TranslatedRegion } from './plan.ts'
import { RegionCode } from './region-code.ts'
import { REGION_RESULTS, RegionEmitter } from './region-emitter.ts'

/** A page's worth of stores of a 64-bit constant, and a step that visits all numbers below. */
const STAGGER_STORES = 256
const STAGGER_STEP = 37
const STAGGER_VALUE = 0x0123456789abcdefn

export interface Translation {
  /** The module exports the regions' functions under their positions (`0`, `1`, ...) and imports the pool's memory. */
  readonly bytes: Uint8Array
  readonly regions: readonly TranslatedRegion[]
}

export class RegionTranslator {
  private readonly decoder: Decoder
  private modules = 0

  /** @param features CPUID features whose encodings exist. */
  constructor(features: ReadonlySet<string>) { this.decoder = new Decoder(features) }

  translate(plans: readonly RegionPlan[]): Translation {
    const module = new ModuleBuilder()
    module.importSharedMemory('env', 'memory', MAXIMUM_POOL_PAGES)
    this.stagger(module)
    const materialise = emitMaterialise(module).index
    const regions = plans.map((plan, position) => {
      const f = module.function(PARAMETERS, REGION_RESULTS, String(position))
      return new RegionEmitter(plan, new RegionCode(plan, this.decoder), f, materialise).emit()
    })
    return { bytes: module.encode(), regions }
  }

  /**
   * Code of every module starts at the same place in a page, so that the beginnings of many modules would fight over a few sets of the
   * instruction cache. A function that is never called moves what comes behind it.
   */
  private stagger(module: ModuleBuilder): void {
    this.modules = (this.modules + STAGGER_STEP) % STAGGER_STORES
    const f = module.function([], [])
    for (let n = 0; n < this.modules; n++) f.i32(n * 8).i64(STAGGER_VALUE).memory(W.i64_store, 0)
  }
}
