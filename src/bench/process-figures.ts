/** What Linux tells of another process: proc(5). Elsewhere there is nothing. */
import { readFileSync } from 'node:fs'

/** USER_HZ, in which times are told to programs: 100 on every architecture of today. */
const TICKS_PER_SECOND = 100

/** Seconds of processors that all its threads have had; NaN where the host does not tell. */
export function cpuSeconds(process: number | undefined): number {
  // The second field is the program's name in brackets, which may hold anything; user and system time are the 14th and 15th.
  const fields = read(process, 'stat').split(') ').at(-1)!.split(' ')
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND
}

/** The largest resident set, in bytes. */
export function peakMemory(process: number | undefined): number | undefined {
  const kibibytes = /^VmHWM:\s+(\d+) kB$/m.exec(read(process, 'status'))?.[1]
  return kibibytes === undefined ? undefined : Number(kibibytes) * 1024
}

function read(process: number | undefined, file: string): string {
  try {
    return readFileSync(`/proc/${process}/${file}`, 'utf8')
  } catch {
    return ''
  }
}
