import type { Run } from './measure.ts'
import { FILL_MEMORY } from './workloads.ts'

/** A target's runs and what they come to. */
export interface TargetResult {
  readonly name: string
  readonly version: string
  readonly architecture: string
  readonly runs: readonly Run[]
  /** Why there are fewer runs than were asked for. */
  readonly failures: readonly string[]
}

/** The medians of a workload. */
export interface Figures {
  readonly seconds: number
  readonly instructions?: number
  /** Millions of guest instructions a second. */
  readonly mips?: number
}

/** The middle value; of an even number of values, the mean of the middle two. Undefined of none. */
export function median(values: readonly number[]): number | undefined {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  if (sorted.length === 0) return undefined
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

/** A workload's medians over a target's runs; undefined where no run has it. */
export function figures({ runs }: Pick<TargetResult, 'runs'>, workload: string): Figures | undefined {
  const of = (part: 'seconds' | 'instructions'): number | undefined => median(runs.flatMap(run => run[part][workload] ?? []))
  const seconds = of('seconds')
  const instructions = of('instructions')
  if (seconds === undefined) return undefined
  return { seconds, ...instructions !== undefined && { instructions, mips: instructions / seconds / 1e6 } }
}

/** The median of the host's processor seconds for a workload; undefined where the host does not tell. */
export function processorSeconds({ runs }: Pick<TargetResult, 'runs'>, workload: string): number | undefined {
  return median(runs.flatMap(({ cpuSeconds }) => cpuSeconds?.[workload] ?? []))
}

/** The median of the largest resident sets of those runs in which the guest had all of its memory. */
export function peakMemory({ runs }: Pick<TargetResult, 'runs'>): number | undefined {
  return median(runs.filter(({ seconds }) => seconds[FILL_MEMORY.name] !== undefined).flatMap(run => run.peakMemoryBytes ?? []))
}
