/** Which process something belongs to that is found on disk: it may have died, or be of another computer. */
import { readFileSync, readlinkSync } from 'node:fs'
import { hostname } from 'node:os'

/** A process as others may know it. */
export interface ProcessIdentity {
  readonly process: number
  /** When it was started, in the host's own count; null where the host does not tell. */
  readonly started: string | null
  /** Which boot of which host, and which numbering of its processes. */
  readonly boot: string | null
  readonly processes: string | null
  readonly host: string
}

export function ownIdentity(): ProcessIdentity {
  return { process: process.pid, started: startOf(process.pid), boot: bootId(), processes: processNumbering(), host: hostname() }
}

/** Certainly dead: a process of this host and numbering that is gone, or one of this host before it was booted. */
export function isDead({ process: number, started, boot, processes, host }: ProcessIdentity): boolean {
  if (host !== hostname()) return false
  if (boot !== bootId()) return true
  if (processes !== processNumbering()) return false
  if (!isRunning(number)) return true
  return started !== null && startOf(number) !== started
}

/** Whether there is a process of this number, whoever's. */
export function isRunning(number: number): boolean {
  try {
    process.kill(number, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH'
  }
}

/** Field 22 of /proc/PID/stat, behind the name in parentheses, which may hold anything (proc(5)). */
function startOf(number: number): string | null {
  const line = readLine(`/proc/${number}/stat`)
  return line?.slice(line.lastIndexOf(')') + 2).split(' ')[19] ?? null
}

function bootId(): string | null { return readLine('/proc/sys/kernel/random/boot_id') }

function processNumbering(): string | null {
  try {
    return readlinkSync('/proc/self/ns/pid')
  } catch {
    return null
  }
}

function readLine(path: string): string | null {
  try {
    return readFileSync(path, 'utf8').trim()
  } catch {
    return null
  }
}
