import type { ListedGuest } from '../api/native/guest-list.ts'
import { describeEnd } from '../host/guests/guest-end.ts'

const HEAD = ['NAME', 'STATE', 'IMAGE', 'MEMORY', 'UPTIME']
const GAP = '   '
const NOT_RUNNING: ReadonlySet<ListedGuest['state']> = new Set(['stopped', 'suspended', 'failed'])

/** What `tenon ls` shows; `now` in milliseconds since 1970. What went wrong with a guest stands in a line of its own. */
export function guestTable(guests: readonly ListedGuest[], now: number): string {
  const rows = guests.map(guest => [guest.name, guest.state, guest.image ?? '', memory(guest), uptime(guest, now)])
  const widths = HEAD.map((head, column) => Math.max(head.length, ...rows.map(row => row[column].length)))
  const format = (row: readonly string[]): string => row.map((cell, column) => cell.padEnd(widths[column])).join(GAP).trimEnd()
  const lines = guests.flatMap((guest, index) => [format(rows[index]), ...problem(guest)])
  return `${[format(HEAD), ...lines].join('\n')}\n`
}

function problem({ problem: text, state, end }: ListedGuest): string[] {
  if (text !== undefined) return [`  ${text}`]
  return state === 'failed' && end !== undefined ? [`  ${describeEnd(end)}`] : []
}

function memory({ memoryBytes }: ListedGuest): string {
  return memoryBytes === undefined ? '' : `${memoryBytes / 1024 ** 2} MiB`
}

function uptime({ state, since }: ListedGuest, now: number): string {
  return since === undefined || NOT_RUNNING.has(state) ? '' : duration(now - since)
}

/** `12 s`, `3 min`, `2 h 5 min`, `4 d 1 h`. */
export function duration(milliseconds: number): string {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000))
  const [days, hours, minutes] = [Math.floor(seconds / 86_400), Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60]
  if (days > 0) return `${days} d ${hours} h`
  if (hours > 0) return `${hours} h ${minutes} min`
  return minutes > 0 ? `${minutes} min` : `${seconds} s`
}
