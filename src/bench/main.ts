/** `npm run bench`: the same guests in Tenon and in its peers, runs interleaved. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { availableParallelism, cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { TenonError } from '../base/errors.ts'
import { presentTargets, runCourse } from './course.ts'
import type { Course, CourseOrder } from './course.ts'
import { busyboxCourse } from './courses/busybox.ts'
import { debianCourse } from './courses/debian.ts'
import { diskCourse } from './courses/disk.ts'
import { networkCourse } from './courses/network.ts'
import type { TargetResult } from './figures.ts'
import { chosenSuites, chosenWorkloads, readOptions } from './options.ts'
import type { Options } from './options.ts'
import { baselines, summary } from './ratios.ts'
import { formatReport } from './report.ts'
import type { Suite, Workload } from './workloads.ts'

/** By the guest that they have in common. */
const COURSES: readonly { readonly suites: readonly Suite[], set(order: CourseOrder): Promise<Course | undefined> }[] = [
  { suites: ['shell', 'loops'], set: busyboxCourse },
  { suites: ['disk'], set: diskCourse },
  { suites: ['network'], set: networkCourse },
  { suites: ['debian'], set: debianCourse },
]

/** What a course came to. */
interface Outcome {
  readonly suites: readonly Suite[]
  readonly workloads: readonly Workload[]
  readonly course: Course
  readonly guestMemoryBytes: number
  readonly results: readonly TargetResult[]
}

/** Undefined if there is nothing to run it with, or nothing to run. */
async function run(folder: string, options: Options, { suites: all, set }: typeof COURSES[number]): Promise<Outcome | undefined> {
  const suites = all.filter(suite => chosenSuites(options).includes(suite))
  const wanted = chosenWorkloads(options).filter(({ suite }) => suites.includes(suite))
  const contestants = await presentTargets(options.targets, wanted.length === 0 ? suites : [...new Set(wanted.map(({ suite }) => suite))])
  if (contestants.length === 0) return undefined
  const order: CourseOrder = { folder, options, workloads: wanted, contestants }
  const course = await set(order)
  if (course === undefined) return undefined
  try {
    const results = await runCourse(course, order)
    const [{ memoryBytes: guestMemoryBytes }] = [...course.plans.values()]
    return { suites, course, results, guestMemoryBytes, workloads: wanted.filter(each => course.workloads.includes(each)) }
  } finally {
    await course.close?.()
  }
}

function toJson(outcomes: readonly Outcome[], { quick, engine }: Options): string {
  const host = { platform: process.platform, architecture: process.arch, processor: cpus()[0]?.model, threads: availableParallelism(), node: process.version }
  const courses = outcomes.map(({ suites, workloads, course: { kernels, about }, guestMemoryBytes, results }) => ({
    suites, kernels, guestMemoryBytes, ...about, targets: results.map(result => summary(result, baselines(results), workloads)),
  }))
  return `${JSON.stringify({ schema: 'tenon-bench', version: 3, date: new Date().toISOString(), host, quick, engine, courses }, null, 2)}\n`
}

async function compare(folder: string, options: Options): Promise<number> {
  const outcomes: Outcome[] = []
  const wanted = COURSES.filter(({ suites }) => suites.some(suite => chosenSuites(options).includes(suite)))
  for (const each of wanted) {
    const outcome = await run(folder, options, each)
    if (outcome === undefined) continue
    outcomes.push(outcome)
    console.log(`\n${formatReport(outcome.results, outcome.workloads, outcome.guestMemoryBytes)}\n`)
  }
  if (options.json !== undefined && outcomes.length > 0) await writeFile(options.json, toJson(outcomes, options))
  const isWhole = outcomes.length === wanted.length && outcomes.every(({ results }) => results.every(({ failures }) => failures.length === 0))
  return isWhole ? 0 : 1
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
