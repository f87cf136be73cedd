/** Translates planned regions into one WebAssembly module. Runs on any thread: it needs nothing but the plans. */
import '../semantics/index.ts'
import { Decoder } from '../decode/decoder.ts'
import { emitMaterialise } from '../semantics/flag-code.ts'
import { MAXIMUM_POOL_PAGES } from '../interpreter/engine-builder.ts'
import { ModuleBuilder } from '../wasm/assembler.ts'
import { PARAMETERS } from './operations-base.ts'
import type { RegionPlan, TranslatedRegion } from './plan.ts'
import { RegionCode } from './region-code.ts'
import { REGION_RESULTS, RegionEmitter } from './region-emitter.ts'

export interface Translation {
  /** The module exports the regions' functions under their positions (`0`, `1`, ...) and imports the pool's memory. */
  readonly bytes: Uint8Array
  readonly regions: readonly TranslatedRegion[]
}

export class RegionTranslator {
  private readonly decoder: Decoder

  /** @param features CPUID features whose encodings exist. */
  constructor(features: ReadonlySet<string>) { this.decoder = new Decoder(features) }

  translate(plans: readonly RegionPlan[]): Translation {
    const module = new ModuleBuilder()
    module.importSharedMemory('env', 'memory', MAXIMUM_POOL_PAGES)
    const materialise = emitMaterialise(module).index
    const regions = plans.map((plan, position) => {
      const f = module.function(PARAMETERS, REGION_RESULTS, String(position))
      return new RegionEmitter(plan, new RegionCode(plan, this.decoder), f, materialise).emit()
    })
    return { bytes: module.encode(), regions }
  }
}
