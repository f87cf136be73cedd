/** `npm run bench`: the same guest in Tenon and in its peers, runs interleaved. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { availableParallelism, cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { Command, InvalidArgumentError } from 'commander'
import { TenonError } from '../base/errors.ts'
import { writeGuests } from './image/files.ts'
import { PackageFolder } from './image/packages.ts'
import { measure } from './measure.ts'
import { figures, formatReport, peakMemory } from './report.ts'
import type { TargetResult } from './report.ts'
import { TARGETS } from './targets.ts'
import type { Architecture, GuestFiles, Target } from './targets.ts'
import { WORKLOADS } from './workloads.ts'
import type { Workload } from './workloads.ts'

interface Options {
  readonly runs: number
  readonly only?: readonly string[]
  readonly workloads?: readonly string[]
  readonly json?: string
  readonly packages?: string
  readonly timeout: number
}

const NAMES = TARGETS.map(({ name }) => name)

function positive(text: string): number {
  const value = Number(text)
  if (!Number.isInteger(value) || value < 1 || value > 10_000) throw new InvalidArgumentError('It must be a whole number from 1 to 10000.')
  return value
}

function listOf(known: readonly string[]): (text: string) => string[] {
  return text => {
    const names = text.split(',')
    const unknown = names.find(name => !known.includes(name))
    if (unknown !== undefined) throw new InvalidArgumentError(`${JSON.stringify(unknown)} is none of ${known.join(', ')}.`)
    return names
  }
}

function readOptions(args: readonly string[]): Options {
  return new Command('npm run bench --')
    .description('Boots the same guest in Tenon and in its peers, and compares their times.')
    .option('--runs <n>', 'boots of each target', positive, 3)
    .option('--only <targets>', `comma-separated: ${NAMES.join(', ')}`, listOf(NAMES))
    .option('--workloads <names>', `comma-separated: ${WORKLOADS.map(({ name }) => name).join(', ')}`, listOf(WORKLOADS.map(({ name }) => name)))
    .option('--json <file>', 'write every run and the medians to this file')
    .option('--packages <folder>', 'keep Debian\'s packages in this folder (default: in the cache); what it has is not fetched')
    .option('--timeout <seconds>', 'give a run up after this long', positive, 900)
    .parse(args, { from: 'user' })
    .opts<Options>()
}

interface Contestant {
  readonly target: Target
  readonly version: string
}

async function presentTargets(only: readonly string[] | undefined): Promise<Contestant[]> {
  const present: Contestant[] = []
  for (const target of TARGETS.filter(({ name, isDefault }) => only?.includes(name) ?? isDefault)) {
    const version = await target.version()
    if (version === undefined) console.log(`${target.name}: skipped, it is not installed`)
    else present.push({ target, version })
  }
  return present
}

interface Result extends TargetResult {
  readonly runs: TargetResult['runs'][number][]
  readonly failures: string[]
}

/** One boot of each target in turn, so that what else the host does falls on all alike. */
async function runAll(
  contestants: readonly Contestant[], files: ReadonlyMap<Architecture, GuestFiles>, workloads: readonly Workload[], options: Options,
): Promise<Result[]> {
  const results = contestants.map(({ target: { name, architecture }, version }): Result => ({ name, version, architecture, runs: [], failures: [] }))
  for (let round = 1; round <= options.runs; round++) {
    for (const [index, { target }] of contestants.entries()) {
      const command = target.command(files.get(target.architecture)!)
      try {
        const run = await measure(command, { timeoutSeconds: options.timeout, workloads })
        results[index].runs.push(run)
        console.log(`run ${round} of ${options.runs}, ${target.name}: ${Object.entries(run.seconds).map(([name, seconds]) => `${name} ${seconds.toFixed(2)}`).join(', ')}`)
      } catch (error) {
        if (!(error instanceof TenonError)) throw error
        results[index].failures.push(`${error.code}: ${error.message}`)
        console.error(`run ${round} of ${options.runs}, ${target.name}: failed, ${error.message}`)
      }
    }
  }
  return results
}

function toJson(results: readonly TargetResult[], workloads: readonly Workload[], kernels: Readonly<Record<string, string>>): string {
  const names = ['boot', ...workloads.map(({ name }) => name)]
  const targets = results.map(result => ({
    ...result,
    medians: Object.fromEntries(names.map(name => [name, figures(result, name)])),
    peakMemoryBytes: peakMemory(result.runs),
  }))
  const host = { platform: process.platform, architecture: process.arch, processor: cpus()[0]?.model, threads: availableParallelism(), node: process.version }
  return `${JSON.stringify({ schema: 'tenon-bench', version: 1, date: new Date().toISOString(), host, kernels, targets }, null, 2)}\n`
}

async function main(args: readonly string[]): Promise<number> {
  const options = readOptions(args)
  const workloads = WORKLOADS.filter(({ name }) => options.workloads?.includes(name) ?? true)
  const contestants = await presentTargets(options.only)
  if (contestants.length === 0) return 1
  const folder = await mkdtemp(join(tmpdir(), 'tenon-bench-'))
  try {
    const architectures = [...new Set(contestants.map(({ target }) => target.architecture))]
    const { files, kernels } = await writeGuests(folder, architectures, new PackageFolder(options.packages), workloads)
    const results = await runAll(contestants, files, workloads, options)
    const baseline = ['qemu', 'qemu-i386'].find(name => results.some(result => result.name === name && result.runs.length > 0))
    console.log(`\n${formatReport(results, workloads, baseline)}`)
    if (options.json !== undefined) await writeFile(options.json, toJson(results, workloads, kernels))
    return results.some(({ failures }) => failures.length > 0) ? 1 : 0
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  if (!(error instanceof TenonError)) throw error
  console.error(`bench: ${error.message} [${error.code}]`)
  process.exitCode = 1
}
