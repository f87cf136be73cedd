/** Every way to run a hot program. A new engine, or a new manner of driving one, is a line here. */
import { FUSED_ENGINE_FITS, fusedEngine, outlinedEngine, inlineEngine } from '../../vectors/interpreter/engines.ts'
import { Random } from '../../vectors/random.ts'
import { EngineWay, flushing, slices, slicesOf, stepping } from './ways.ts'
import type { Way } from './ways.ts'

export function allWays(): Way[] {
  const outlined = outlinedEngine()
  const inline = inlineEngine()
  const random = new Random(7)
  return [
    new EngineWay('outlined', outlined, slices(1000)),
    new EngineWay('inline', inline, slices(997)),
    ...FUSED_ENGINE_FITS ? [new EngineWay('fused', fusedEngine((limit) => random.below(limit)), slicesOf(() => 1 + random.below(500)))] : [],
    new EngineWay('tiny', outlined, slices(3)),
    new EngineWay('stepping', outlined, stepping),
    new EngineWay('translated', outlined, slices(1000), 1),
    new EngineWay('translated-flushed', outlined, flushing((limit) => random.below(limit)), 5),
    new EngineWay('translated-late', inline, slicesOf(() => 1 + random.below(700)), 20),
  ]
}
