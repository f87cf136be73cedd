/**
 * Echo requests of guests, sent by the host's own `ping` program: Node has no ICMP sockets, and raw ones need rights. One process for
 * each request; the gateway bounds how many there are. A destination counts as reached only if `ping` got its reply.
 */
import { execFile } from 'node:child_process'
import { isIP } from 'node:net'
import type { EchoResult } from '../../network/sockets.ts'

/** Seconds. */
const PATIENCE = 4
/** The largest data of an echo request that all systems' programs accept. */
const LARGEST_DATA = 65_000

/** What the arguments are where: Linux (iputils, BusyBox), macOS and the BSDs, Windows. */
export function pingCommand(platform: NodeJS.Platform, address: string, length: number): readonly [program: string, ...string[]] {
  const ipv6 = isIP(address) === 6
  const size = String(length)
  if (platform === 'win32') return ['ping', ipv6 ? '-6' : '-4', '-n', '1', '-w', String(PATIENCE * 1000), '-l', size, address]
  if (platform === 'linux') return ['ping', ipv6 ? '-6' : '-4', '-n', '-c', '1', '-W', String(PATIENCE), '-s', size, address]
  // macOS has a program for each family, and its -W counts milliseconds; the timeout below serves all.
  return [ipv6 ? 'ping6' : 'ping', '-n', '-c', '1', '-s', size, address]
}

/** Sends one echo request. `done` is called once, later. */
export function ping(address: string, length: number, done: (result: EchoResult) => void): void {
  if (isIP(address) === 0 || length < 0 || length > LARGEST_DATA) {
    setImmediate(done, 'unavailable')
    return
  }
  const [program, ...args] = pingCommand(process.platform, address, length)
  const child = execFile(program, args, { timeout: (PATIENCE + 1) * 1000, killSignal: 'SIGKILL', windowsHide: true },
    (error, stdout, stderr) => { done(judge(error, stdout, stderr)) })
  child.unref()
}

interface Failure {
  readonly code?: string | number | null
  readonly killed?: boolean
}

/**
 * Exit status 0: a reply came (on Windows also for "unreachable", which has no TTL in its line). 1: none came. Else the program could not
 * do it: it is missing, or has no right to.
 */
export function judge(error: Failure | null, stdout: string, stderr: string): EchoResult {
  const replied = /\bttl[=:]|hlim=|time[=<]/i.test(stdout)
  if (error === null) return replied ? 'reply' : 'unreachable'
  if (/unreachable|no route|prohibited/i.test(stdout + stderr)) return 'unreachable'
  return error.killed === true || error.code === 1 ? 'timed-out' : 'unavailable'
}
