import { CPU_MODELS } from '../host/machine/cpu-models.ts'
import type { CpuModel } from '../host/machine/cpu-models.ts'
import type { DiskOrder } from '../host/disks/disk-order.ts'
import { parseDiskText } from '../host/disks/disk-text.ts'
import { ENGINES } from '../host/machine/engines.ts'
import type { EngineName } from '../host/machine/engines.ts'
import { isGuestName } from '../host/guests/home.ts'
import { isHostname } from '../host/seed/hostname.ts'
import type { GuestShare } from '../host/shares/guest-share.ts'
import { parseShare } from '../host/shares/share-text.ts'
import type { VsockOrder } from '../host/vsock/vsock-order.ts'
import { parseVsock } from '../host/vsock/vsock-text.ts'
import { cliError } from './errors.ts'

const UNITS: Readonly<Record<string, number>> = { K: 1024, M: 1024 ** 2, G: 1024 ** 3 }
const DISK_UNITS: Readonly<Record<string, number>> = { ...UNITS, T: 1024 ** 4 }
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

/** Reads the size of a disk, `10G`, `1.5T` or a number of bytes, as bytes: a multiple of 512. Throws TenonError USAGE. */
export function parseSize(option: string, text: string): number {
  const [, digits, unit = ''] = /^(\d{1,16}(?:\.\d{1,6})?)(?:([KMGT])(?:i?B)?)?$/i.exec(text) ?? []
  const bytes = digits === undefined ? NaN : Number(digits) * (DISK_UNITS[unit.toUpperCase()] ?? 1)
  if (Number.isSafeInteger(bytes) && bytes % 512 === 0) return bytes
  throw cliError('USAGE', `${option} ${JSON.stringify(text)} is no size: write it as 512M, 10G or 1.5T, or in bytes, a multiple of 512`)
}

/** Reads a new size, `20G`, or a difference, `+5G` or `-5G`. Throws TenonError USAGE. */
export function parseSizeChange(text: string): { readonly to: number } | { readonly by: number } {
  if (text.startsWith('+')) return { by: parseSize('--size', text.slice(1)) }
  return text.startsWith('-') ? { by: -parseSize('--size', text.slice(1)) } : { to: parseSize('--size', text) }
}

/** Reads a TCP port. Throws TenonError USAGE. */
export function parsePort(text: string): number {
  if (/^\d{1,5}$/.test(text) && Number(text) <= 65535) return Number(text)
  throw cliError('USAGE', `--port ${JSON.stringify(text)} is no port: write a number from 0 to 65535`)
}

/** Checks the name of an export. Throws TenonError USAGE. */
export function parseExportName(text: string): string {
  if (Buffer.byteLength(text) <= 256 && !/\p{Cc}/u.test(text)) return text
  throw cliError('USAGE', '--name is too long, or has control characters: choose another one')
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

/** Checks a host name. Throws TenonError USAGE. */
export function parseHostname(text: string): string {
  if (isHostname(text)) return text
  throw cliError('USAGE', `--hostname ${JSON.stringify(text)} is no host name: letters, digits and hyphens, 63 at most, such as web-1`)
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

/** Adds a disk, `FILE[,option…]`, to those before: see disk-text.ts. Throws TenonError USAGE. */
export function parseDisk(text: string, previous: readonly DiskOrder[] = []): DiskOrder[] {
  try {
    return [...previous, parseDiskText(text)]
  } catch (error) {
    throw cliError('USAGE', `--disk ${(error as Error).message}`, error)
  }
}

/** Adds a folder of the host, `FOLDER:PLACE[,readonly][,uid=N][,gid=N]`, to those before. Throws TenonError USAGE. */
export function parseShareOption(text: string, previous: readonly GuestShare[] = []): GuestShare[] {
  try {
    return [...previous, parseShare(text, process.cwd())]
  } catch (error) {
    throw cliError('USAGE', `--share ${(error as Error).message}`, error)
  }
}

/** Reads `PATH[,cid=N]`. Throws TenonError USAGE. */
export function parseVsockOption(text: string): VsockOrder {
  try {
    return parseVsock(text, process.cwd())
  } catch (error) {
    throw cliError('USAGE', `--vsock ${(error as Error).message}`, error)
  }
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

/** A size in binary units, as disks have them: `10 GiB`, `1.5 MiB`, `512 bytes`. */
export function formatSize(bytes: number): string {
  const exponent = Math.min(5, Math.floor(Math.log2(Math.max(1, bytes)) / 10))
  if (exponent === 0) return `${bytes} bytes`
  return `${Number((bytes / 1024 ** exponent).toFixed(1))} ${'KMGTP'[exponent - 1]}iB`
}
