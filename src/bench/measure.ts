import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { TenonError } from '../base/errors.ts'
import { MarkerReader } from './markers.ts'
import type { Marker } from './markers.ts'
import type { Workload } from './workloads.ts'

/** A program that runs a guest with the guest's console on its stdout. */
export interface GuestCommand {
  readonly program: string
  readonly args: readonly string[]
  /** Beside the environment of this process. */
  readonly environment?: Readonly<Record<string, string>>
  /** Whether it sends a GuestReport by Node's IPC channel at each marker. */
  readonly reports: boolean
}

/** The guest instructions executed so far, at the console line that a marker is on. */
export interface GuestReport {
  readonly event: Marker['event']
  readonly workload: string
  readonly instructions: number
}

/** One boot. The workload `boot` lasts from the program's start to the guest's first process. */
export interface Run {
  /** Seconds, by workload: of wall time, or by the guest's clock where the workload times itself. */
  readonly seconds: Readonly<Record<string, number>>
  /** Guest instructions, by workload, where the program reports them. */
  readonly instructions: Readonly<Record<string, number>>
  /** The program's largest resident set, in bytes, where the host tells it (Linux). */
  readonly peakMemoryBytes?: number
}

export interface MeasureOptions {
  /** Seconds until the run is given up. */
  readonly timeoutSeconds: number
  readonly workloads: readonly Workload[]
  readonly onMarker?: (marker: Marker) => void
}

/**
 * Runs a guest and takes its times. Throws TenonError BENCH_GUEST_FAILED (it ended early, or did not end), BENCH_ANSWER_WRONG or
 * BENCH_CLOCK_WRONG (a workload's own time is not the host's), with the end of its console.
 */
export async function measure(command: GuestCommand, options: MeasureOptions): Promise<Run> {
  const started = performance.now()
  const child = spawn(command.program, command.args, {
    stdio: ['ignore', 'pipe', 'pipe', ...command.reports ? ['ipc' as const] : []], env: { ...process.env, ...command.environment },
  })
  const times = new SpanReader()
  const own: Record<string, number> = {}
  const instructions = new SpanReader()
  times.add('begin', 'boot', 0)
  instructions.add('begin', 'boot', 0)
  child.on('message', message => {
    const { event, workload, instructions: count } = message as GuestReport
    instructions.add(event, workload, count)
  })
  try {
    await watch(child, command.reports, options, marker => {
      times.add(marker.event, marker.workload, (performance.now() - started) / 1000)
      if (marker.event === 'seconds') own[marker.workload] = Number(marker.text)
      options.onMarker?.(marker)
    })
    const peakMemoryBytes = await peakMemory(child)
    const seconds = { ...times.spans, ...checkedTimes(own, times.spans) }
    return { seconds, instructions: instructions.spans, ...peakMemoryBytes !== undefined && { peakMemoryBytes } }
  } finally {
    child.kill('SIGKILL')
  }
}

/** The workloads' own times, if they are about the host's: a guest whose clock goes wrong must not win by it. */
function checkedTimes(own: Readonly<Record<string, number>>, spans: Readonly<Record<string, number>>): Readonly<Record<string, number>> {
  for (const [name, seconds] of Object.entries(own)) {
    const span = spans[name]
    // The span has the process's start and end as well, and the console's way.
    if (Math.abs(span - seconds) <= 0.5 + 0.2 * span) continue
    throw new TenonError('BENCH_CLOCK_WRONG', `${name} took ${seconds} s by the guest's clock, ${span} s by the host's`)
  }
  return own
}

/** Pairs the begins and ends of the workloads. */
class SpanReader {
  readonly spans: Record<string, number> = {}
  readonly #begins = new Map<string, number>()

  add(event: Marker['event'], workload: string, value: number): void {
    if (event === 'begin') this.#begins.set(workload, value)
    const name = event === 'user-space' ? 'boot' : workload
    const begin = this.#begins.get(name)
    if ((event === 'end' || event === 'user-space') && begin !== undefined) this.spans[name] = value - begin
  }
}

const CONSOLE_TAIL = 2000

/** Resolves at the marker `done`, and with the report of it if there are reports: they come another way, and may be later. */
function watch(
  child: ChildProcess, reports: boolean, { timeoutSeconds, workloads }: MeasureOptions, onMarker: (marker: Marker) => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    let tail = ''
    const awaited = new Set(reports ? ['marker', 'report'] : ['marker'])
    const isDone = (by: string): void => {
      awaited.delete(by)
      if (awaited.size === 0) resolve()
    }
    const fail = (code: string, what: string): void => reject(new TenonError(code, `${what}. The end of its console:\n${tail}`))
    const timer = setTimeout(() => fail('BENCH_GUEST_FAILED', `the guest was not done after ${timeoutSeconds} s`), timeoutSeconds * 1000)
    const reader = new MarkerReader(marker => {
      onMarker(marker)
      const expected = workloads.find(({ name }) => marker.event === 'answer' && name === marker.workload)?.answer
      if (expected !== undefined && marker.text !== expected) {
        fail('BENCH_ANSWER_WRONG', `${marker.workload} gives ${JSON.stringify(marker.text)}, not ${JSON.stringify(expected)}`)
      }
      if (marker.event === 'done') isDone('marker')
    })
    child.on('message', message => {
      if ((message as GuestReport).event === 'done') isDone('report')
    })
    const show = (text: string): void => { tail = (tail + text).slice(-CONSOLE_TAIL) }
    child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      show(text)
      reader.push(text)
    })
    child.stderr!.setEncoding('utf8').on('data', show)
    child.on('error', error => fail('BENCH_GUEST_FAILED', `${child.spawnfile} cannot be started: ${error.message}`))
    child.on('close', status => {
      clearTimeout(timer)
      fail('BENCH_GUEST_FAILED', `${child.spawnfile} ended with status ${status} before the guest was done`)
    })
  })
}

async function peakMemory(child: ChildProcess): Promise<number | undefined> {
  const status = await readFile(`/proc/${child.pid}/status`, 'utf8').catch(() => '')
  const kibibytes = /^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]
  return kibibytes === undefined ? undefined : Number(kibibytes) * 1024
}
