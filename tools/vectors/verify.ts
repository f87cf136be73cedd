/**
 * Executes the committed vectors again, on the processor that it runs on, and compares: `npx vite-node tools/vectors/verify.ts`.
 * On the recording processor nothing may differ; on another make it shows how processors differ.
 */
import { rows } from '../../src/cpu/isa/rows.ts'
import { dataAfter, rowKey } from '../../test/vectors/vector.ts'
import { formatReport, loadVectors, runVectors, vectorFamilies } from '../../test/vectors/runner.ts'
import { stopsByInt3 } from './generate.ts'
import { Harness } from './harness.ts'

const byKey = new Map(rows.map((row) => [rowKey(row), row]))
const harness = new Harness()
try {
  for (const family of vectorFamilies()) {
    const { vectors } = loadVectors(family)
    const known = vectors.filter((vector) => byKey.has(vector.row))
    const observations = harness.run(known.map((vector) => ({ ...vector, stopByInt3: stopsByInt3(byKey.get(vector.row)!, vector.code) })))
    const outcomes = new Map(known.map((vector, i) => [vector, observations[i]]))
    const target = {
      name: `${family} again`,
      run(vector: (typeof vectors)[number]) {
        const outcome = outcomes.get(vector)
        if (outcome === undefined) throw new Error('the process did not survive it')
        return { state: outcome.expected, exception: outcome.exception, data: dataAfter({ ...vector, writes: outcome.writes }) }
      },
    }
    console.log(formatReport(runVectors(target, vectors, rows)))
  }
} finally {
  harness.close()
}
