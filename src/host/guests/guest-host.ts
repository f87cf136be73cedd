import { hostError } from '../errors.ts'
import type { ResumeMachine, StartMachine } from '../machine/session.ts'
import type { GuestNetworks } from '../networks/guest-networks.ts'
import { ConsoleFile } from './console-file.ts'
import { prepareBoot } from './guest-boot.ts'
import { GuestConsole } from './guest-console.ts'
import type { GuestEnd } from './guest-end.ts'
import type { GuestStore } from './guest-store.ts'
import { checkGuestName } from './home.ts'
import { RunningGuest } from './running-guest.ts'
import { SuspensionFiles } from './suspension.ts'

export interface GuestHostParts {
  readonly store: GuestStore
  readonly domain: string
  readonly startMachine: StartMachine
  readonly resumeMachine: ResumeMachine
  /** Absent where machines have no networks. */
  readonly networks?: GuestNetworks
  /** Lines for the log of the process. */
  readonly log: (message: string) => void
}

/** How long guests may take to power off when the process is to end. */
const SHUTDOWN_MS = 30_000

/** The guests that run in one background process. Each of them ends alone: a failure of its threads is a value, its end. */
export class GuestHost {
  readonly #parts: GuestHostParts
  readonly #guests = new Map<string, RunningGuest>()
  readonly #removed = new Set<string>()
  #isEnding = false

  constructor(parts: GuestHostParts) { this.#parts = parts }

  get domain(): string { return this.#parts.domain }

  get networks(): GuestNetworks | undefined { return this.#parts.networks }

  /** Those that run, in the order of their starts. */
  get guests(): readonly RunningGuest[] { return [...this.#guests.values()] }

  /** Throws TenonError GUEST_UNKNOWN or GUEST_NOT_RUNNING. */
  async running(name: string): Promise<RunningGuest> {
    const guest = this.#guests.get(name)
    if (guest !== undefined) return guest
    await this.#parts.store.check(name)
    throw hostError('GUEST_NOT_RUNNING', `the guest ${name} does not run: start it with tenon start ${name}`)
  }

  /**
   * Starts a guest, or has it go on from where it was suspended, unless it is to start afresh; resolves when its machine runs. Throws
   * TenonError GUEST_RUNNING, GUEST_UNKNOWN, GUEST_DISK_CHANGED, and what starting and resuming throw.
   */
  async start(name: string, afresh = false): Promise<RunningGuest> {
    checkGuestName(name)
    if (this.#guests.has(name)) throw hostError('GUEST_RUNNING', `the guest ${name} runs already: attach to it with tenon console ${name}`)
    if (this.#removed.has(name)) throw hostError('GUEST_UNKNOWN', `there is no guest ${name} any more: it is being removed`)
    if (this.#isEnding) throw hostError('HOST_PROCESS_ENDING', 'the background process is ending: try again in a moment')
    const guest = this.#newGuest(name)
    this.#guests.set(name, guest)
    try {
      await this.#checkDomain(name)
      const { since } = guest
      await this.#parts.store.setState(name, { state: 'running', domain: this.domain, process: process.pid, since })
      if (afresh) await this.#suspension(name).remove()
      await guest.start()
      return guest
    } catch (error) {
      this.#guests.delete(name)
      throw error
    }
  }

  /** Removes a guest that does not run, with its disk. Throws TenonError GUEST_RUNNING or GUEST_UNKNOWN. */
  async remove(name: string): Promise<void> {
    if (this.#guests.has(name)) {
      throw hostError('GUEST_RUNNING', `the guest ${name} runs: stop it first, or remove it with tenon rm --force ${name}`)
    }
    this.#removed.add(name)
    await this.#parts.store.remove(name).finally(() => this.#removed.delete(name))
  }

  /** Has all guests power off, and kills those that do not. No other is started from here on. */
  async shutDown(timeoutMs = SHUTDOWN_MS): Promise<void> {
    this.#isEnding = true
    await Promise.all(this.guests.map(guest => guest.stop(timeoutMs)))
  }

  #newGuest(name: string): RunningGuest {
    const { store, startMachine, resumeMachine, networks, log } = this.#parts
    const folder = store.folder(name)
    const file = new ConsoleFile(folder.consoleLog, reason => {
      log(`${name}: its console log cannot be written, and lacks what comes now: ${reason}`)
    })
    const prepare = async (): ReturnType<typeof prepareBoot> => {
      const definition = await store.definition(name)
      const boot = await prepareBoot(folder, definition, message => log(`${name}: ${message}`))
      return { ...boot, network: await networks?.forGuest(name, definition) }
    }
    return new RunningGuest({
      name, startMachine, resumeMachine, prepare, console: new GuestConsole(file), suspension: this.#suspension(name), log,
      onEnd: end => this.#ended(name, end),
    })
  }

  #suspension(name: string): SuspensionFiles { return new SuspensionFiles(this.#parts.store.folder(name)) }

  /** Guests of other trust domains are never in this process. */
  async #checkDomain(name: string): Promise<void> {
    const { domain } = await this.#parts.store.definition(name)
    if (domain === this.domain) return
    throw hostError('HOST_PROCESS_REQUEST', `the guest ${name} is of the trust domain ${domain}, and this process of ${this.domain}`)
  }

  async #ended(name: string, end: GuestEnd): Promise<void> {
    const { store, log } = this.#parts
    await store.setState(name, { state: 'stopped', end, since: Date.now() }).catch((error: Error) => log(`${name}: ${error.message}`))
    this.#guests.delete(name)
  }
}
