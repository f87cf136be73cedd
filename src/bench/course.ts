/** A comparison: the same machines in all targets, their runs one after another. */
import { TenonError } from '../base/errors.ts'
import type { EngineName } from '../host/machine/engines.ts'
import type { TargetResult } from './figures.ts'
import type { MachinePlans } from './machine-plan.ts'
import { measure } from './measure.ts'
import type { MeasureOptions, Run } from './measure.ts'
import { TARGETS } from './targets.ts'
import type { Target } from './targets.ts'
import type { Suite, Workload } from './workloads.ts'

export interface CourseOptions {
  readonly runs: number
  /** Seconds until a run is given up. */
  readonly timeout: number
  readonly engine: EngineName
  readonly targets?: readonly string[]
  readonly packages?: string
  /** Of the disk that the suite `disk` writes to and reads. */
  readonly diskFormat: 'raw' | 'qcow2'
  readonly quick: boolean
}

/** What is given to those who set a course. */
export interface CourseOrder {
  /** For files that last as long as the benchmark. */
  readonly folder: string
  readonly options: CourseOptions
  /** Those of its suites that were asked for; none is the boot alone. */
  readonly workloads: readonly Workload[]
  readonly contestants: readonly Contestant[]
}

export interface Course extends Pick<MeasureOptions, 'clients' | 'whole'> {
  readonly plans: MachinePlans
  /** What the guest does: those that are reported, and more. */
  readonly workloads: readonly Workload[]
  /** `uname -r` of the guests. */
  readonly kernels: Readonly<Record<string, string>>
  /** More for the JSON. */
  readonly about?: Readonly<Record<string, unknown>>
  /** Called before each run: disks that are written to are new in each. */
  beforeRun?(): Promise<void>
  /** Called when all is over. */
  close?(): Promise<void>
}

export interface Contestant {
  readonly target: Target
  readonly version: string
}

/** The targets that were asked for, that are here, and that can run any of the suites. */
export async function presentTargets(wanted: readonly string[] | undefined, suites: readonly Suite[]): Promise<Contestant[]> {
  const present: Contestant[] = []
  for (const target of TARGETS.filter(({ name, isDefault }) => wanted?.includes(name) ?? isDefault)) {
    if (!target.suites.some(suite => suites.includes(suite))) continue
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

/** One boot of each target in turn, so that what else the host does falls on all alike. */
export async function runCourse(course: Course, { contestants, options, folder }: CourseOrder): Promise<TargetResult[]> {
  for (const { target } of contestants) await target.prepare?.()
  const results = contestants.map(({ target: { name, architecture }, version }): Result => {
    return { name, version, architecture, runs: [], failures: [] }
  })
  for (let round = 1; round <= options.runs; round++) {
    for (const [index, { target }] of contestants.entries()) {
      await runOne(course, target, { options, folder }, results[index], `run ${round} of ${options.runs}, ${target.name}`)
    }
  }
  return results
}

async function runOne(
  course: Course, target: Target, { options, folder }: Pick<CourseOrder, 'options' | 'folder'>, { runs, failures }: Result, title: string,
): Promise<void> {
  const { workloads, clients, whole } = course
  try {
    await course.beforeRun?.()
    const command = target.command(course.plans.get(target.architecture)!, { engine: options.engine, workloads, folder })
    const run = await measure(command, { timeoutSeconds: options.timeout, workloads, clients, whole })
    runs.push(run)
    console.log(`${title}: ${Object.entries(run.seconds).map(([name, seconds]) => `${name} ${seconds.toFixed(2)}`).join(', ')}`)
  } catch (error) {
    if (!(error instanceof TenonError)) throw error
    failures.push(`${error.code}: ${error.message}`)
    console.error(`${title}: failed, ${error.message}`)
  }
}
