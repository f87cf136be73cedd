import type { Run } from './measure.ts'

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

interface Row {
  readonly name: string
  readonly title: string
}

/**
 * The results as text: one line for each workload, one column for each target. The ratios are to `baseline`'s time in the same runs:
 * above 1 is slower.
 */
export function formatReport(results: readonly TargetResult[], workloads: readonly Row[], baseline: string | undefined): string {
  const rows: Row[] = [{ name: 'boot', title: 'to user space' }, ...workloads]
  const header = ['', ...results.map(({ name }) => name)]
  const lines = rows.map(({ name, title }) => [title, ...results.map(result => cell(results, result, name, baseline))])
  const memory = results.some(({ runs }) => peakMemory(runs) !== undefined)
    ? [['peak memory', ...results.map(({ runs }) => mebibytes(peakMemory(runs)))]]
    : []
  const note = baseline === undefined ? [] : ['', `Medians of wall time; in brackets the ratio to ${baseline}; MIPS where the target counts instructions.`]
  return [...table([header, ...lines, ...memory]), ...note].join('\n')
}

function cell(results: readonly TargetResult[], result: TargetResult, workload: string, baseline: string | undefined): string {
  const own = figures(result, workload)
  if (own === undefined) return '-'
  const reference = results.find(({ name }) => name === baseline)
  const base = reference === undefined || reference === result ? undefined : figures(reference, workload)
  const ratio = base === undefined ? '' : ` (${(own.seconds / base.seconds).toFixed(2)})`
  const mips = own.mips === undefined ? '' : ` ${Math.round(own.mips)} MIPS`
  return `${own.seconds.toFixed(2)} s${ratio}${mips}`
}

export function peakMemory(runs: readonly Run[]): number | undefined {
  return median(runs.flatMap(run => run.peakMemoryBytes ?? []))
}

function mebibytes(bytes: number | undefined): string {
  return bytes === undefined ? '-' : `${Math.round(bytes / 1024 / 1024)} MiB`
}

function table(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0].map((_, column) => Math.max(...rows.map(row => row[column].length)))
  return rows.map(row => row.map((text, column) => column === 0 ? text.padEnd(widths[0]) : text.padStart(widths[column] + 2)).join('').trimEnd())
}
