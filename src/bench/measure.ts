import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { TenonError } from '../base/errors.ts'
import { MarkerReader } from './markers.ts'
import type { Marker } from './markers.ts'
import { checkedTimes, readOwnTime } from './own-times.ts'
import type { OwnTime } from './own-times.ts'
import { killed, startPeer } from './peer-process.ts'
import type { PeerCommand } from './peer-process.ts'
import { cpuSeconds, peakMemory } from './process-figures.ts'
import type { Workload } from './workloads.ts'

/** A program that runs a guest with the guest's console on its stdout. */
export interface GuestCommand {
  readonly program: string
  readonly args: readonly string[]
  /** Beside the environment of this process. */
  readonly environment?: Readonly<Record<string, string>>
  /** Whether it sends a GuestReport by Node's IPC channel at each marker. */
  readonly reports: boolean
  /** Started before it, and killed after it. */
  readonly peer?: PeerCommand
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
  /** Seconds of the host's processors, by workload, where the host tells them (Linux). */
  readonly cpuSeconds?: Readonly<Record<string, number>>
  /** The program's largest resident set, in bytes, where the host tells it (Linux). */
  readonly peakMemoryBytes?: number
}

export interface MeasureOptions {
  /** Seconds until the run is given up. */
  readonly timeoutSeconds: number
  readonly workloads: readonly Workload[]
  /** The host's part of workloads that need one, by their names; called as they begin. Resolves with the seconds that are their time. */
  readonly clients?: Readonly<Record<string, () => Promise<number>>>
  /** The workload that begins with the program, beside the boot; its end is the run's. */
  readonly whole?: string
  readonly onMarker?: (marker: Marker) => void
}

/**
 * Runs a guest and takes its times. Throws TenonError BENCH_GUEST_FAILED (it ended early, or did not end), BENCH_ANSWER_WRONG,
 * BENCH_CLOCK_WRONG (a workload's own time is not the host's) or BENCH_CLIENT_FAILED, with the end of its console.
 */
export async function measure(command: GuestCommand, options: MeasureOptions): Promise<Run> {
  const peer = command.peer && await startPeer(command.peer)
  const started = performance.now()
  const child = spawn(command.program, command.args, {
    stdio: ['ignore', 'pipe', 'pipe', ...command.reports ? ['ipc' as const] : []], env: { ...process.env, ...command.environment },
  })
  const times = new SpanReader()
  const own: Record<string, OwnTime> = {}
  const byClients: Record<string, number> = {}
  const instructions = new SpanReader()
  const cpu = new SpanReader()
  for (const name of ['boot', options.whole ?? []].flat()) for (const spans of [times, instructions, cpu]) spans.add('begin', name, 0)
  child.on('message', message => {
    const { event, workload, instructions: count } = message as GuestReport
    instructions.add(event, workload, count)
  })
  try {
    await watch(child, command.reports, options, marker => {
      times.add(marker.event, marker.workload, (performance.now() - started) / 1000)
      cpu.add(marker.event, marker.workload, cpuSeconds(child.pid) + (peer === undefined ? 0 : cpuSeconds(peer.pid)))
      if (marker.event === 'seconds') own[marker.workload] = readOwnTime(marker.text)
      options.onMarker?.(marker)
    }, seconds => Object.assign(byClients, seconds))
    const peakMemoryBytes = peakMemory(child.pid)
    const seconds = { ...times.spans, ...checkedTimes(own, times.spans), ...byClients }
    return {
      seconds, instructions: without(instructions.spans, byClients),
      ...Object.values(cpu.spans).every(Number.isFinite) && { cpuSeconds: without(cpu.spans, byClients) },
      ...peakMemoryBytes !== undefined && { peakMemoryBytes },
    }
  } finally {
    await killed(child)
    if (peer !== undefined) await killed(peer)
  }
}

/** Of a span that is not the workload's time, nothing else is told either. */
function without(spans: Readonly<Record<string, number>>, others: Readonly<Record<string, number>>): Readonly<Record<string, number>> {
  return Object.fromEntries(Object.entries(spans).filter(([name]) => others[name] === undefined))
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

/** Resolves at the marker `done`, with the report of it if there are reports, and the clients' times: these may come later. */
function watch(
  child: ChildProcess, reports: boolean, { timeoutSeconds, workloads, clients, whole }: MeasureOptions, onMarker: (marker: Marker) => void,
  onClient: (seconds: Record<string, number>) => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    let tail = ''
    const awaited = new Set(reports ? ['marker', 'report'] : ['marker'])
    const isDone = (by: string): void => {
      awaited.delete(by)
      if (awaited.size === 0) resolve()
    }
    const isEnd = ({ event, workload }: Pick<Marker, 'event' | 'workload'>): boolean => event === 'done' || (event === 'end' && workload === whole)
    const fail = (code: string, what: string): void => reject(new TenonError(code, `${what}. The end of its console:\n${tail}`))
    const timer = setTimeout(() => fail('BENCH_GUEST_FAILED', `the guest was not done after ${timeoutSeconds} s`), timeoutSeconds * 1000)
    const callClient = async (name: string): Promise<void> => {
      const client = clients?.[name]
      if (client === undefined) return
      awaited.add(name)
      try {
        onClient({ [name]: await client() })
        isDone(name)
      } catch (error) {
        fail('BENCH_CLIENT_FAILED', `${name}: ${(error as Error).message}`)
      }
    }
    const reader = new MarkerReader(marker => {
      onMarker(marker)
      const expected = workloads.find(({ name }) => marker.event === 'answer' && name === marker.workload)?.answer
      if (expected !== undefined && marker.text !== expected) {
        fail('BENCH_ANSWER_WRONG', `${marker.workload} gives ${JSON.stringify(marker.text)}, not ${JSON.stringify(expected)}`)
      }
      if (marker.event === 'begin') void callClient(marker.workload)
      if (isEnd(marker)) isDone('marker')
    })
    child.on('message', message => {
      if (isEnd(message as GuestReport)) isDone('report')
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
