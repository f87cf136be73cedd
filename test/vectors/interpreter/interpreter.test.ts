/** The interpreter against the recorded vectors: every form as an outlined handler, and all that can be as inline handlers. */
import { describe, expect, it } from 'vitest'
import { rows } from '../../../src/cpu/isa/rows.ts'
import type { VectorFile } from '../format.ts'
import { formatReport, loadVectors, runVectors, vectorFamilies } from '../runner.ts'
import { inlineEngine, inlineVexEngine, outlinedEngine } from './engines.ts'
import { InterpreterTarget } from './target.ts'

const TIMEOUT = 120_000
const families = vectorFamilies()
const isVex = (family: string): boolean => /^(avx|fma)/.test(family)
const files = new Map<string, VectorFile>()

function load(family: string): VectorFile {
  const file = files.get(family) ?? loadVectors(family)
  files.set(family, file)
  return file
}

describe.each([
  ['outlined handlers', outlinedEngine, false, families],
  ['outlined handlers, lazy flags', outlinedEngine, true, families],
  ['inline handlers', inlineEngine, false, families.filter((family) => !isVex(family))],
  ['inline handlers, lazy flags', inlineEngine, true, families.filter((family) => !isVex(family))],
  ['inline handlers of VEX', inlineVexEngine, false, families.filter(isVex)],
] as const)('the interpreter with %s', (name, engine, lazyFlags, ours) => {
  const target = new InterpreterTarget(name, engine(), { lazyFlags })

  it.each(ours)('agrees with the recorded processor: %s', (family) => {
    const report = runVectors(target, load(family).vectors, rows)
    expect(report.passed).toBeGreaterThan(1000)
    expect(report.failed, formatReport(report)).toBe(0)
  }, TIMEOUT)
})
