/** The translator against the recorded vectors: each instruction as a region of its own. */
import { describe, expect, it } from 'vitest'
import { rows } from '../../../src/cpu/isa/rows.ts'
import { formatReport, loadVectors, runVectors, vectorFamilies } from '../runner.ts'
import { outlinedEngine } from './engines.ts'
import { InterpreterTarget } from './target.ts'

const TIMEOUT = 600_000

describe.each([['given flags', false], ['lazy flags', true]] as const)('translated instructions, %s', (name, lazyFlags) => {
  const target = new InterpreterTarget(name, outlinedEngine(), { lazyFlags, translated: true })

  it.each(vectorFamilies())('agree with the recorded processor: %s', (family) => {
    const { vectors } = loadVectors(family)
    const before = target.regions
    const report = runVectors(target, vectors, rows)
    expect(report.failed, formatReport(report)).toBe(0)
    expect(target.regions - before).toBeGreaterThan(family === 'x87' || family === 'legacy' ? -1 : vectors.length / 3)
  }, TIMEOUT)
})
