/** `npm run bench`: the same guest in Tenon and in its peers, runs interleaved. */
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { availableParallelism, cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { TenonError } from '../base/errors.ts'
import type { TargetResult } from './figures.ts'
import { writeGuests } from './image/files.ts'
import { PackageFolder } from './image/packages.ts'
import { compileLoops, loopCompiler } from './loops/compile.ts'
import { measure } from './measure.ts'
import type { Run } from './measure.ts'
import { chosenWorkloads, readOptions } from './options.ts'
import type { Options } from './options.ts'
import { baselines, summary } from './ratios.ts'
import { formatReport } from './report.ts'
import { MEMORY_BYTES, TARGETS } from './targets.ts'
import type { Architecture, GuestFiles, Target, TargetOptions } from './targets.ts'
import { FILL_MEMORY } from './workloads.ts'
import type { Workload } from './workloads.ts'

interface Contestant {
  readonly target: Target
  readonly version: string
}

/** The targets that were asked for, that are here, and that can run any of the workloads. */
async function presentTargets(wanted: readonly string[] | undefined, workloads: readonly Workload[]): Promise<Contestant[]> {
  const isOfUse = ({ suites }: Target): boolean =>
    workloads.some(({ suite }) => suites.includes(suite)) || (workloads.length === 0 && suites.includes('shell'))
  const present: Contestant[] = []
  for (const target of TARGETS.filter(({ name, isDefault }) => wanted?.includes(name) ?? isDefault).filter(isOfUse)) {
    const version = await target.version()
    if (version === undefined) console.log(`${target.name}: skipped, it is not installed`)
    else present.push({ target, version })
  }
  return present
}

interface Result extends TargetResult {
  readonly runs: Run[]
  readonly failures: string[]
}

interface Course {
  readonly contestants: readonly Contestant[]
  readonly files: ReadonlyMap<Architecture, GuestFiles>
  readonly options: Options
  readonly guest: TargetOptions
}

/** One boot of each target in turn, so that what else the host does falls on all alike. */
async function runAll(course: Course): Promise<Result[]> {
  const { contestants, options: { runs } } = course
  for (const { target } of contestants) await target.prepare?.()
  const results = contestants.map(({ target: { name, architecture }, version }): Result => ({ name, version, architecture, runs: [], failures: [] }))
  for (let round = 1; round <= runs; round++) {
    for (const [index, { target }] of contestants.entries()) {
      await runOne(course, target, results[index], `run ${round} of ${runs}, ${target.name}`)
    }
  }
  return results
}

async function runOne({ files, options, guest }: Course, target: Target, { runs, failures }: Result, title: string): Promise<void> {
  try {
    const command = target.command(files.get(target.architecture)!, guest)
    const run = await measure(command, { timeoutSeconds: options.timeout, workloads: guest.workloads })
    runs.push(run)
    console.log(`${title}: ${Object.entries(run.seconds).map(([name, seconds]) => `${name} ${seconds.toFixed(2)}`).join(', ')}`)
  } catch (error) {
    if (!(error instanceof TenonError)) throw error
    failures.push(`${error.code}: ${error.message}`)
    console.error(`${title}: failed, ${error.message}`)
  }
}

function toJson(results: readonly TargetResult[], workloads: readonly Workload[], about: object): string {
  const targets = results.map(result => summary(result, baselines(results), workloads))
  const host = { platform: process.platform, architecture: process.arch, processor: cpus()[0]?.model, threads: availableParallelism(), node: process.version }
  return `${JSON.stringify({ schema: 'tenon-bench', version: 2, date: new Date().toISOString(), host, ...about, targets }, null, 2)}\n`
}

/** Compiles the loops if any is wanted and that can be done. */
async function makeLoops(folder: string, workloads: readonly Workload[]): Promise<{ compiler: string, program: Uint8Array } | undefined> {
  if (!workloads.some(({ suite }) => suite === 'loops')) return undefined
  const compiler = await loopCompiler()
  if (compiler === undefined) {
    console.log('loops: skipped, there is no gcc for Linux on x86-64')
    return undefined
  }
  const file = join(folder, 'loops')
  await compileLoops(file)
  await chmod(file, 0o755)
  return { compiler, program: await readFile(file) }
}

async function compare(folder: string, options: Options): Promise<number> {
  const wanted = chosenWorkloads(options)
  const loops = await makeLoops(folder, wanted)
  const workloads = wanted.filter(({ suite }) => suite !== 'loops' || loops !== undefined)
  if (workloads.length === 0 && wanted.length > 0) return 1
  const contestants = await presentTargets(options.targets, workloads)
  if (contestants.length === 0) return 1
  const architectures = [...new Set(contestants.map(({ target }) => target.architecture))]
  const all = [...workloads, FILL_MEMORY]
  const parts = { packages: new PackageFolder(options.packages), workloads: all, ...loops && { loops: loops.program } }
  const { files, kernels } = await writeGuests(folder, architectures, parts)
  const results = await runAll({ contestants, files, options, guest: { engine: options.engine, workloads: all, folder } })
  console.log(`\n${formatReport(results, workloads, MEMORY_BYTES)}`)
  const about = { kernels, guestMemoryBytes: MEMORY_BYTES, compiler: loops?.compiler, quick: options.quick, engine: options.engine }
  if (options.json !== undefined) await writeFile(options.json, toJson(results, workloads, about))
  return results.some(({ failures }) => failures.length > 0) ? 1 : 0
}

async function main(args: readonly string[]): Promise<number> {
  const options = readOptions(args)
  const folder = await mkdtemp(join(tmpdir(), 'tenon-bench-'))
  try {
    return await compare(folder, options)
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
