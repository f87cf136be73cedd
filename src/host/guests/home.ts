/**
 * Where guests are kept and where their background processes meet:
 *
 *     guests/NAME/     guest.yaml      what the guest is, for people to read and edit (guest-definition.ts)
 *                      disk.qcow2      its root disk, over base.raw
 *                      base.raw        the image's disk as it was at the guest's creation: a hard link where possible
 *                      kernel          the image's kernel, for a disk that has none of its own
 *                      console.log     what it said on its console; console.log.1 before that
 *                      state.json      whether it runs, and in which process; how it ended
 *                      suspended.*     its machine, if it is suspended (suspension.ts)
 *     run/DOMAIN/      host.sock       the background process of a trust domain, for its user alone
 *                      host.json       which process that is
 *                      host.log        what it has to say
 *                      start.lock      held by who starts it
 *
 * Sources: the XDG Base Directory Specification 0.8; unix(7), where the path of a socket has at most 107 bytes.
 */
import { createHash } from 'node:crypto'
import { homedir, tmpdir, userInfo } from 'node:os'
import { join, resolve } from 'node:path'
import type { FileOwner } from '../cache/file-errors.ts'
import { hostError } from '../errors.ts'

type Environment = Readonly<Record<string, string | undefined>>

export const GUEST_FILES: FileOwner = { full: 'GUEST_FILES_FULL', unusable: 'GUEST_FILES_UNUSABLE', variable: 'TENON_HOME' }
export const DEFAULT_DOMAIN = 'default'

/** The shortest limit of all systems, macOS's, less what Node adds. */
const LONGEST_SOCKET_PATH = 100
/** Names that Windows keeps for devices, and one that `tenon inspect` keeps. */
const RESERVED = /^(con|prn|aux|nul|com\d|lpt\d|code)$/
const NAME = /^[a-z0-9][a-z0-9-]{0,62}$/

/** The folder of all that lasts: TENON_HOME, else `tenon` in the platform's folder for data (XDG_DATA_HOME or ~/.local/share). */
export function homeFolder(environment: Environment = process.env, platform: string = process.platform, home: string = homedir()): string {
  if (environment.TENON_HOME) return resolve(environment.TENON_HOME)
  if (platform === 'win32') return join(environment.LOCALAPPDATA || join(home, 'AppData', 'Local'), 'tenon', 'data')
  if (platform === 'darwin') return join(home, 'Library', 'Application Support', 'tenon')
  const { XDG_DATA_HOME: xdg = '' } = environment
  return join(xdg.startsWith('/') ? xdg : join(home, '.local', 'share'), 'tenon')
}

/** Throws TenonError GUEST_NAME_INVALID if it can be no guest's name. */
export function checkGuestName(name: string): void {
  if (isGuestName(name)) return
  const rule = 'lower-case letters, digits and hyphens, 63 at most, such as web-1'
  throw hostError('GUEST_NAME_INVALID', `${JSON.stringify(name)} is no name for a guest: ${rule}`)
}

export function isGuestName(name: string): boolean { return NAME.test(name) && !RESERVED.test(name) }

/** Domains are named as guests are. */
export const isDomainName = isGuestName

/** The files of a guest. */
export class GuestFolder {
  readonly path: string

  constructor(home: string, name: string) { this.path = join(home, 'guests', name) }

  get definition(): string { return join(this.path, 'guest.yaml') }
  get disk(): string { return join(this.path, 'disk.qcow2') }
  get base(): string { return join(this.path, 'base.raw') }
  get kernel(): string { return join(this.path, 'kernel') }
  get consoleLog(): string { return join(this.path, 'console.log') }
  get state(): string { return join(this.path, 'state.json') }
  get snapshot(): string { return join(this.path, 'suspended.snapshot') }
  get suspension(): string { return join(this.path, 'suspended.json') }
}

/** The files of a trust domain's background process. */
export class DomainFolder {
  readonly path: string
  readonly domain: string

  constructor(home: string, domain: string) {
    this.domain = domain
    this.path = join(home, 'run', domain)
  }

  get record(): string { return join(this.path, 'host.json') }
  get log(): string { return join(this.path, 'host.log') }
  get lock(): string { return join(this.path, 'start.lock') }

  /** Where the process listens: a socket in this folder, or in a folder of its own where the path would be too long; a pipe on Windows. */
  get socket(): string {
    const near = join(this.path, 'host.sock')
    if (process.platform === 'win32') return `\\\\.\\pipe\\tenon-${this.#digest}-${this.domain}`
    return Buffer.byteLength(near) <= LONGEST_SOCKET_PATH ? near : join(tmpdir(), `tenon-${userInfo().uid}-${this.#digest}`, 'host.sock')
  }

  get #digest(): string { return createHash('sha256').update(this.path).digest('hex').slice(0, 16) }
}
