import { figures, peakMemory, processorSeconds } from './figures.ts'
import type { TargetResult } from './figures.ts'
import { SUITES } from './workloads.ts'
import { baselines, meanRatios, ofSuite, ratios } from './ratios.ts'
import type { Ratios } from './ratios.ts'
import type { Amount, Workload } from './workloads.ts'

type Row = Pick<Workload, 'name' | 'title' | 'suite' | 'amount'>

/**
 * The results as text: a table for each suite, with one line for each workload and one column for each target that can run it. The
 * ratios are to the times of the baselines in the same runs: above 1 is slower.
 */
export function formatReport(results: readonly TargetResult[], workloads: readonly Row[], guestMemoryBytes: number): string {
  const bases = baselines(results)
  const others = SUITES.filter(suite => suite !== 'shell').map(suite => ofSuite(workloads, suite)).filter(rows => rows.length > 0)
  const parts = [
    hasShell(workloads) ? shellTable(results, ofSuite(workloads, 'shell'), bases, guestMemoryBytes) : [],
    ...others.map(rows => suiteTable(withAny(results, rows), [], rows, bases, processorRows(withAny(results, rows), rows))),
    [note(bases)],
  ]
  return parts.filter(lines => lines.length > 0).map(lines => lines.join('\n')).join('\n\n')
}

/** The guest that the loops run in as well: its boot is told, with them or alone. */
function hasShell(workloads: readonly Row[]): boolean {
  return workloads.every(({ suite }) => suite === 'shell' || suite === 'loops')
}

function shellTable(results: readonly TargetResult[], shell: readonly Row[], bases: readonly TargetResult[], guestMemoryBytes: number): string[] {
  const booted = withAny(results, [{ name: 'boot' }])
  if (booted.length === 0) return []
  return suiteTable(booted, [{ name: 'boot', title: 'to user space' }], shell, bases, memoryRows(booted, guestMemoryBytes))
}

function note(bases: readonly TargetResult[]): string {
  const ratio = bases.length === 0 ? '' : ` In brackets the ratio to ${bases.map(({ name }) => name).join(', then to ')}.`
  return `Medians of seconds.${ratio} MIPS and instructions where the target counts them.`
}

/** The targets with any of the workloads; all of them if none has, so that a failure is seen. */
function withAny(results: readonly TargetResult[], workloads: readonly Pick<Row, 'name'>[]): readonly TargetResult[] {
  const some = results.filter(result => workloads.some(({ name }) => figures(result, name) !== undefined))
  return some.length === 0 ? results : some
}

function suiteTable(
  results: readonly TargetResult[], before: readonly Pick<Row, 'name' | 'title' | 'amount'>[], suite: readonly Row[], bases: readonly TargetResult[],
  after: readonly (readonly string[])[],
): string[] {
  const counting = results.find(({ runs }) => runs.some(run => Object.keys(run.instructions).length > 0))
  const extra = (text: string): string[] => counting === undefined ? [] : [text]
  const header = ['', ...results.map(({ name }) => name), ...extra('instructions')]
  const lines = [...before, ...suite].map(({ name, title, amount }) => [
    title, ...results.map(result => cell(result, bases, name, amount)), ...extra(millions(counting && figures(counting, name)?.instructions)),
  ])
  const means = results.map(result => bracket(result, meanRatios(result, bases, suite), bases).trim() || '-')
  const mean = means.some(text => text !== '-') ? [['geometric mean', ...means, ...extra('')]] : []
  return table([header, ...lines, ...mean, ...after.map(row => [...row, ...extra('')])])
}

function cell(result: TargetResult, bases: readonly TargetResult[], workload: string, amount: Amount | undefined): string {
  const own = figures(result, workload)
  if (own === undefined) return '-'
  // Where something is moved, the instructions of programs that start are in the span, but not in the time.
  const mips = own.mips === undefined || amount !== undefined ? '' : ` ${Math.round(own.mips)} MIPS`
  return `${rate(amount, own.seconds)}${own.seconds.toFixed(2)} s${bracket(result, ratios(result, bases, workload), bases)}${mips}`
}

function rate(amount: Amount | undefined, seconds: number): string {
  if (amount === undefined) return ''
  const { count, unit } = amount
  return unit === 'bytes' ? `${Math.round(count / seconds / 1e6).toLocaleString('en')} MB/s ` : `${Math.round(count / seconds).toLocaleString('en')}/s `
}

/** What a transfer costs the host: seconds of its processors for each gigabyte. */
function processorRows(results: readonly TargetResult[], suite: readonly Row[]): string[][] {
  return suite.flatMap(({ name, title, amount }) => {
    const costs = results.map(result => processorSeconds(result, name))
    if (amount?.unit !== 'bytes' || costs.every(cost => cost === undefined)) return []
    return [[`processor s/GB: ${title}`, ...costs.map(cost => (cost === undefined ? '-' : (cost / amount.count * 1e9).toFixed(2)))]]
  })
}

/** ` (2.50)`, or ` (2.50, 12.00)` with two baselines; nothing where a target could be compared with itself only. */
function bracket({ name }: TargetResult, values: Ratios, bases: readonly TargetResult[]): string {
  const present = bases.filter(base => values[base.name] !== undefined)
  return present.every(base => base.name === name) ? '' : ` (${present.map(base => values[base.name].toFixed(2)).join(', ')})`
}

function millions(instructions: number | undefined): string {
  return instructions === undefined ? '-' : `${Math.round(instructions / 1e6).toLocaleString('en')} M`
}

/** The largest resident set, and what of it is not the guest's own; no rows where the host does not tell. */
function memoryRows(results: readonly TargetResult[], guestMemoryBytes: number): string[][] {
  const peaks = results.map(peakMemory)
  if (peaks.every(peak => peak === undefined)) return []
  const beyond = peaks.map(peak => peak && peak - guestMemoryBytes)
  return [['peak memory', ...peaks.map(mebibytes)], ['beyond the guest\'s RAM', ...beyond.map(mebibytes)]]
}

function mebibytes(bytes: number | undefined): string {
  return bytes === undefined ? '-' : `${Math.round(bytes / 1024 / 1024)} MiB`
}

function table(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0].map((_, column) => Math.max(...rows.map(row => row[column].length)))
  return rows.map(row => row.map((text, column) => column === 0 ? text.padEnd(widths[0]) : text.padStart(widths[column] + 2)).join('').trimEnd())
}
