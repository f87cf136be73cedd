import type { TargetResult } from '../figures.ts'
import type { Run } from '../measure.ts'

/** A target with one run, or several, of given times; `instructions` are counted for the workloads named. */
export function target(name: string, seconds: readonly Run['seconds'][], instructions: Run['instructions'] = {}): TargetResult {
  return { name, version: '1', architecture: 'amd64', failures: [], runs: seconds.map(each => ({ seconds: each, instructions })) }
}
