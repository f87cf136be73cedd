import { figures, peakMemory } from './figures.ts'
import type { TargetResult } from './figures.ts'
import { SUITES } from './workloads.ts'
import type { Suite, Workload } from './workloads.ts'

/** Ratios to other targets' times, by their names: above 1 is slower. */
export type Ratios = Readonly<Record<string, number>>

/** The target that is the host itself. */
const NATIVE = 'native'

/** Those of the results that one compares with: the host itself, and QEMU. */
export function baselines(results: readonly TargetResult[]): TargetResult[] {
  const present = results.filter(({ runs }) => runs.length > 0)
  const find = (...names: string[]): TargetResult[] => present.filter(({ name }) => names.includes(name)).slice(0, 1)
  return [...find('qemu', 'qemu-i386'), ...find(NATIVE)]
}

/** A target's median of one workload to those of the baselines which have it. The host is compared with nobody. */
export function ratios(result: TargetResult, bases: readonly TargetResult[], workload: string): Ratios {
  const own = figures(result, workload)?.seconds
  if (own === undefined || result.name === NATIVE) return {}
  return Object.fromEntries(bases.flatMap(base => {
    const other = figures(base, workload)?.seconds
    return other === undefined ? [] : [[base.name, own / other]]
  }))
}

/** The geometric means of a suite's ratios. A baseline with which not every workload can be compared has none. */
export function meanRatios(result: TargetResult, bases: readonly TargetResult[], workloads: readonly Pick<Workload, 'name'>[]): Ratios {
  const all = workloads.map(({ name }) => ratios(result, bases, name))
  const complete = bases.filter(({ name }) => all.length > 0 && all.every(each => each[name] !== undefined))
  return Object.fromEntries(complete.map(({ name }) => [name, geometricMean(all.map(each => each[name]))]))
}

export function geometricMean(values: readonly number[]): number {
  return Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length)
}

export function ofSuite<T extends Pick<Workload, 'suite'>>(workloads: readonly T[], suite: Suite): T[] {
  return workloads.filter(each => each.suite === suite)
}

/** Everything about a target's runs, for `--json`. */
export function summary(result: TargetResult, bases: readonly TargetResult[], workloads: readonly Workload[]): object {
  const names = ['boot', ...workloads.map(({ name }) => name)]
  return {
    ...result,
    medians: Object.fromEntries(names.map(name => [name, figures(result, name)])),
    ratios: Object.fromEntries(names.map(name => [name, ratios(result, bases, name)])),
    geometricMeans: Object.fromEntries(SUITES.map(suite => [suite, meanRatios(result, bases, ofSuite(workloads, suite))])),
    peakMemoryBytes: peakMemory(result),
  }
}
