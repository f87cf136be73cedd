import { createHash } from 'node:crypto'

/**
 * `shell` is BusyBox and the kernel under it; `loops` are compiled programs, which run on the host as well; `disk` is fio; `network` is
 * iperf3 and a server of HTTP; `debian` is the boot of a whole system.
 */
export const SUITES = ['shell', 'loops', 'disk', 'network', 'debian'] as const
/** What is measured when nothing is said: the others take minutes, and have much to fetch the first time. */
export const DEFAULT_SUITES: readonly Suite[] = ['shell', 'loops']
export type Suite = typeof SUITES[number]

/**
 * What the benchmark has the guest do, as fragments for a POSIX shell. Each is timed from its first command to its last, and prints
 * an answer that must be right: a machine that computes wrongly has no time.
 */
export interface Workload {
  /** In markers, on the command line and in JSON. */
  readonly name: string
  /** For people. */
  readonly title: string
  readonly suite: Suite
  /** Run before the time is taken. */
  readonly prepare?: string
  readonly script: string
  /** Run after the time was taken, instead of `script`'s own output, to give the answer. */
  readonly verify?: string
  readonly answer: string
  /** Whether it prints the seconds by the guest's clock on standard error: they are its time, if that clock agrees with the host's. */
  readonly timesItself?: boolean
  /** What it moves, for a rate. */
  readonly amount?: Amount
}

/** Bytes are told as MB/s, operations as so many a second. */
export interface Amount {
  readonly count: number
  readonly unit: 'bytes' | 'operations'
}

const MEBIBYTE = 1024 * 1024
/** How much work there is of each. */
interface Sizes {
  readonly sha256Mebibytes: number
  readonly turns: number
  readonly gzipMebibytes: number
  readonly spawns: number
  readonly steps: number
}

const FULL: Sizes = { sha256Mebibytes: 64, turns: 300_000, gzipMebibytes: 16, spawns: 600, steps: 400_000 }
const QUICK: Sizes = { sha256Mebibytes: 8, turns: 30_000, gzipMebibytes: 2, spawns: 60, steps: 40_000 }

/** The workloads of BusyBox. */
export function shellWorkloads(isQuick: boolean): Workload[] {
  const sizes = isQuick ? QUICK : FULL
  return [...textWorkloads(sizes), ...processWorkloads(sizes)].map(each => ({ ...each, suite: 'shell' }))
}

/**
 * Writes to all of the guest's memory that is left, so that the host has given all of it: what a target takes beyond that is its own.
 * For the end of a run, and not for the report's times.
 */
export const FILL_MEMORY: Workload = {
  name: 'fill-memory',
  title: 'fill all memory',
  suite: 'shell',
  prepare: 'mkdir -p /tmp/fill && mount -t tmpfs -o size=100% none /tmp/fill',
  script: 'dd if=/dev/zero of=/tmp/fill/file bs=1M count=$(awk \'/MemAvailable/ { print int($2 / 1024) - 8 }\' /proc/meminfo) 2>/dev/null',
  verify: 'awk \'/MemFree/ { print $2 < 32768 ? "filled" : $2 " kB free" }\' /proc/meminfo; umount /tmp/fill',
  answer: 'filled',
}

type ShellWorkload = Omit<Workload, 'suite'>

/** Programs that work on much data. */
function textWorkloads({ sha256Mebibytes, gzipMebibytes }: Sizes): ShellWorkload[] {
  return [
    {
      name: 'sha256',
      title: `sha256sum of ${sha256Mebibytes} MiB`,
      script: `dd if=/dev/zero bs=1M count=${sha256Mebibytes} 2>/dev/null | sha256sum`,
      answer: `${createHash('sha256').update(new Uint8Array(sha256Mebibytes * MEBIBYTE)).digest('hex')}  -`,
    },
    {
      name: 'gzip',
      title: `gzip of ${gzipMebibytes} MiB`,
      // Text that does not repeat: what gzip usually has to work with.
      prepare: `seq 1000000 4000000 | head -c ${gzipMebibytes * MEBIBYTE} >/tmp/plain`,
      script: 'gzip -c /tmp/plain >/tmp/packed',
      verify: 'gunzip -c /tmp/packed | wc -c; rm /tmp/plain /tmp/packed',
      answer: String(gzipMebibytes * MEBIBYTE),
    },
  ]
}

/** Small steps of the shell, of the kernel, and of floating point. */
function processWorkloads({ turns, spawns, steps }: Sizes): ShellWorkload[] {
  return [
    {
      name: 'loop',
      title: `shell loop to ${turns.toLocaleString('en')}`,
      script: `i=0; while [ $i -lt ${turns} ]; do i=$((i+1)); done; echo $i`,
      answer: String(turns),
    },
    {
      name: 'spawn',
      title: `${spawns} process spawns`,
      script: `i=0; while [ $i -lt ${spawns} ]; do /bin/busybox true; i=$((i+1)); done; echo $i`,
      answer: String(spawns),
    },
    {
      name: 'awk',
      title: `${steps.toLocaleString('en')} floating-point steps in awk`,
      script: `awk 'BEGIN { for (i = 0; i < ${steps}; i++) x = x * 0.5 + i / 3; printf "%.4f\\n", x }'`,
      answer: floatingPointAnswer(steps).toFixed(4),
    },
  ]
}

/** The same steps here. The guest's x87 rounds at another place, which four digits behind the point do not see. */
function floatingPointAnswer(steps: number): number {
  let x = 0
  for (let i = 0; i < steps; i++) x = x * 0.5 + i / 3
  return x
}
