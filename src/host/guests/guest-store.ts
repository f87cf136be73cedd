import { randomUUID } from 'node:crypto'
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { asideOf, sweepAside } from '../cache/aside.ts'
import { explained } from '../cache/file-errors.ts'
import { hostError } from '../errors.ts'
import { isRunning } from '../processes.ts'
import type { GuestDefinition } from './guest-definition.ts'
import { readGuestFile } from './guest-file.ts'
import type { GuestEnd } from './guest-end.ts'
import { checkGuestName, GUEST_FILES, GuestFolder, isGuestName } from './home.ts'

/** What is written down of a guest's life. */
export type GuestState =
  | { readonly state: 'running', readonly domain: string, readonly process: number, readonly since: number }
  | { readonly state: 'stopped', readonly end?: GuestEnd, readonly since?: number }

/** A folder that is being made or removed; the number is the process that does it. */
const ASIDE = /^\.(?:new|removed)-(\d+)-/

/** All guests of a user, on disk. It knows nothing of processes: whether one runs, its background process knows. */
export class GuestStore {
  readonly home: string

  /** `home` as `homeFolder` gives it. */
  constructor(home: string) { this.home = home }

  /** Throws TenonError GUEST_NAME_INVALID. */
  folder(name: string): GuestFolder {
    checkGuestName(name)
    return new GuestFolder(this.home, name)
  }

  /** Names of all guests, in order. */
  async names(): Promise<string[]> {
    const entries = await explained(this.#guests, () => readdir(this.#guests).catch(emptyIfMissing), GUEST_FILES)
    return entries.filter(isGuestName).sort()
  }

  async has(name: string): Promise<boolean> {
    return stat(this.folder(name).path).then(() => true, () => false)
  }

  /** Throws TenonError GUEST_EXISTS if there is one of this name. */
  async checkFree(name: string): Promise<void> {
    if (await this.has(name)) throw exists(name)
  }

  /** Throws TenonError GUEST_UNKNOWN if there is none of this name. */
  async check(name: string): Promise<void> {
    if (await this.has(name)) return
    const names = await this.names()
    const there = names.length === 0 ? 'there are none yet: make one with tenon run --name' : `there is ${names.join(', ')}`
    throw hostError('GUEST_UNKNOWN', `there is no guest ${name}: ${there}`)
  }

  /** Throws TenonError GUEST_UNKNOWN or GUEST_DEFINITION_INVALID. */
  async definition(name: string): Promise<GuestDefinition> {
    await this.check(name)
    return readGuestFile(this.folder(name).definition)
  }

  /** What was last written down: a guest whose process died still stands as running. */
  async state(name: string): Promise<GuestState> {
    try {
      return JSON.parse(await readFile(this.folder(name).state, 'utf8')) as GuestState
    } catch {
      return { state: 'stopped' }
    }
  }

  async setState(name: string, state: GuestState): Promise<void> {
    const { state: path } = this.folder(name)
    const aside = asideOf(path)
    await explained(path, async () => {
      await sweepAside(this.folder(name).path)
      await writeFile(aside, `${JSON.stringify(state)}\n`)
      await rename(aside, path)
    }, GUEST_FILES).catch(async (error: unknown) => {
      await rm(aside, { force: true })
      throw error
    })
  }

  /**
   * Makes a guest: `fill` puts its files into a folder aside, which gets its name when they are all there. Throws TenonError
   * GUEST_NAME_INVALID, GUEST_EXISTS, and what `fill` throws; nothing is left then.
   */
  async create(name: string, fill: (folder: string) => Promise<void>): Promise<void> {
    const { path } = this.folder(name)
    await this.checkFree(name)
    await explained(path, () => mkdir(this.#guests, { recursive: true, mode: 0o700 }), GUEST_FILES)
    await this.#sweep()
    const aside = this.#aside('new')
    try {
      await explained(aside, () => mkdir(aside, { mode: 0o700 }), GUEST_FILES)
      await fill(aside)
      await explained(path, () => rename(aside, path).catch(error => { throw isTaken(error) ? exists(name) : error }), GUEST_FILES)
    } finally {
      await rm(aside, { recursive: true, force: true })
    }
  }

  /** Removes all that a guest has, which must not run. */
  async remove(name: string): Promise<void> {
    await this.check(name)
    const { path } = this.folder(name)
    const aside = this.#aside('removed')
    await explained(path, async () => {
      await rename(path, aside)
      await rm(aside, { recursive: true, force: true })
    }, GUEST_FILES)
  }

  get #guests(): string { return join(this.home, 'guests') }

  #aside(what: 'new' | 'removed'): string { return join(this.#guests, `.${what}-${process.pid}-${randomUUID()}`) }

  /** What processes left that died while they made or removed a guest. */
  async #sweep(): Promise<void> {
    for (const entry of await readdir(this.#guests).catch(emptyIfMissing)) {
      const maker = ASIDE.exec(entry)?.[1]
      if (maker !== undefined && !isRunning(Number(maker))) await rm(join(this.#guests, entry), { recursive: true, force: true })
    }
  }
}

function exists(name: string): Error {
  return hostError('GUEST_EXISTS', `there is a guest ${name} already: start it with tenon start ${name}, or choose another name`)
}

function isTaken(error: unknown): boolean {
  return ['EEXIST', 'ENOTEMPTY', 'EPERM'].includes((error as NodeJS.ErrnoException).code ?? '')
}

function emptyIfMissing(error: NodeJS.ErrnoException): string[] {
  if (error.code === 'ENOENT') return []
  throw error
}
