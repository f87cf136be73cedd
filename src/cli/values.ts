import { CPU_MODELS } from '../host/machine/cpu-models.ts'
import type { CpuModel } from '../host/machine/cpu-models.ts'
import type { DiskOrder } from '../host/disks/disk-order.ts'
import { ENGINES } from '../host/machine/engines.ts'
import type { EngineName } from '../host/machine/engines.ts'
import { isGuestName } from '../host/guests/home.ts'
import { cliError } from './errors.ts'

const UNITS: Readonly<Record<string, number>> = { K: 1024, M: 1024 ** 2, G: 1024 ** 3 }
const MIB = 1024 ** 2

/** Reads a memory size, `512M` or `2G`, as bytes: a whole number of MiB. Throws TenonError USAGE. */
export function parseMemory(text: string): number {
  const [, digits, unit] = /^(\d{1,9})([KMG])(?:i?B)?$/i.exec(text) ?? []
  const bytes = digits === undefined ? NaN : Number(digits) * UNITS[unit.toUpperCase()]
  if (!(bytes >= MIB && bytes % MIB === 0)) {
    throw cliError('USAGE', `--memory ${JSON.stringify(text)} is no memory size: write it in whole mebibytes or gibibytes, such as 512M or 2G`)
  }
  return bytes
}

/** Reads the name of a CPU model. Throws TenonError USAGE. */
export function parseCpu(text: string): CpuModel {
  const model = CPU_MODELS.find(name => name === text)
  if (model !== undefined) return model
  throw cliError('USAGE', `--cpu ${JSON.stringify(text)} is no CPU model: there is ${CPU_MODELS.join(', ')}`)
}

/** Reads the name of an engine. Throws TenonError USAGE. */
export function parseEngine(text: string): EngineName {
  const engine = ENGINES.find(name => name === text)
  if (engine !== undefined) return engine
  throw cliError('USAGE', `--engine ${JSON.stringify(text)} is no engine: there is ${ENGINES.join(', ')}`)
}

/** Checks the name of a new guest. Throws TenonError USAGE. */
export function parseGuestName(text: string): string {
  if (isGuestName(text)) return text
  throw cliError('USAGE', `--name ${JSON.stringify(text)} is no name for a guest: lower-case letters, digits and hyphens, 63 at most, such as web-1`)
}

/** Reads bytes in hexadecimal, blanks between them or not. Throws TenonError USAGE. */
export function parseHex(text: string): Uint8Array {
  const digits = text.replace(/\s+/g, '')
  if (!/^([0-9a-f]{2})+$/i.test(digits)) throw cliError('USAGE', `--hex ${JSON.stringify(text)} is no row of bytes: write them in hexadecimal, such as "48 ff c0 c3"`)
  return Uint8Array.from(digits.match(/../g) ?? [], byte => Number.parseInt(byte, 16))
}

/** Reads a number of seconds as milliseconds. Throws TenonError USAGE. */
export function parseSeconds(option: string, text: string): number {
  if (!/^\d{1,6}(\.\d{1,3})?$/.test(text)) throw cliError('USAGE', `${option} ${JSON.stringify(text)} is no number of seconds: write 60, or 0 for no limit`)
  return Number(text) * 1000
}

/** Adds `NAME=VALUE` to an environment. Throws TenonError USAGE. */
export function parseEnvironment(text: string, previous: Readonly<Record<string, string>> = {}): Record<string, string> {
  const [, name, value] = /^([A-Za-z_][A-Za-z0-9_]*)=([^]*)$/.exec(text) ?? []
  if (name === undefined) throw cliError('USAGE', `--env ${JSON.stringify(text)} is no variable: write NAME=VALUE`)
  return { ...previous, [name]: value }
}

/** Adds a disk, `FILE`, `nbd://HOST/NAME` or one of these with `,readonly`, to those before. Throws TenonError USAGE. */
export function parseDisk(text: string, previous: readonly DiskOrder[] = []): DiskOrder[] {
  const [, path, options] = /^(.+?)(,readonly)?$/.exec(text) ?? []
  if (path === undefined) throw cliError('USAGE', `--disk ${JSON.stringify(text)} is no disk: write FILE, or FILE,readonly`)
  const place = /^nbd(\+unix)?:/.test(path) ? { kind: 'nbd', uri: path } : { kind: 'file', path }
  return [...previous, { graph: { ...place, readOnly: options !== undefined } }]
}

/** Checks the URL of a mirror. Throws TenonError USAGE. */
export function parseMirror(text: string): string {
  if (/^https?:$/.test(protocolOf(text))) return text
  throw cliError('USAGE', `--mirror ${JSON.stringify(text)} is no URL: write it as https://host/debian`)
}

function protocolOf(text: string): string {
  try {
    return new URL(text).protocol
  } catch {
    return ''
  }
}

export function formatBytes(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`
  return bytes < 1e6 ? `${(bytes / 1e3).toFixed(0)} kB` : `${(bytes / 1e6).toFixed(1)} MB`
}
