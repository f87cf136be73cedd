import { AGENT_PORT, AgentClient } from '../agent/client.ts'
import { setTime, shutDown } from '../agent/guest-life.ts'
import type { DiskGraph } from '../disks/disk-order.ts'
import type { SnapshotReport } from '../disks/disk-snapshots.ts'
import { ConsoleLog } from '../guest/console-log.ts'
import type { MachineExit } from '../machine/machine-exit.ts'
import type { MachineSession, ResumeMachine, StartMachine } from '../machine/session.ts'
import { hostError } from '../errors.ts'
import { describeEnd, guestEnd } from './guest-end.ts'
import type { GuestEnd } from './guest-end.ts'
import type { GuestBoot } from './guest-boot.ts'
import type { GuestConsole } from './guest-console.ts'
import { takeSnapshot } from './guest-snapshots.ts'
import type { TakenSnapshot } from './guest-snapshots.ts'
import type { SuspensionFiles } from './suspension.ts'

export type RunningState = 'starting' | 'running' | 'restarting' | 'suspending' | 'stopping' | 'ended'

export interface RunningGuestParts {
  readonly name: string
  readonly startMachine: StartMachine
  readonly resumeMachine: ResumeMachine
  /** What it boots, asked for at each start of its machine. */
  readonly prepare: () => Promise<GuestBoot>
  readonly console: GuestConsole
  /** Its suspended state: the first machine goes on with it, if there is one. */
  readonly suspension: SuspensionFiles
  /** Lines for the log of the process. */
  readonly log: (message: string) => void
  /** Told of its end before those who wait for it. Must not reject. */
  readonly onEnd: (end: GuestEnd) => Promise<void>
}

/** A guest that still boots does not hear the power button. One that powers off already does not mind it. */
const PRESS_MS = 10_000

export interface StopResult {
  readonly end: GuestEnd
  /** It did not power off in time, or was not asked to. */
  readonly wasKilled: boolean
}

/** How long a guest that goes on may take to be heard by its agent. */
const AGENT_MS = 60_000
/** How much of the time to power off the button alone is given. */
const BUTTON_SHARE = 1 / 3

/**
 * A guest from its start to its end, over all of its reboots: a machine that ends by a reset is followed by another with the same disks.
 *
 *     starting ──▶ running ──stop──▶ stopping ──▶ ended
 *         │          │  ▲ └─suspend──▶ suspending ───┤
 *         │    reset ▼  │                            │
 *         │       restarting ── cannot be started ───┤
 *         └── (start rejects) ───────────────────────┘
 */
export class RunningGuest {
  readonly name: string
  readonly console: GuestConsole
  /** Milliseconds since 1970. */
  readonly since = Date.now()
  /** Never rejects. */
  readonly ended: Promise<GuestEnd>
  /** Its guest agent, over all of its reboots; whether one runs inside is seen when it is called. */
  readonly agent = new AgentClient(async bytes => this.#machine?.ports?.[0].write(bytes))
  readonly #parts: RunningGuestParts
  readonly #abort = new AbortController()
  #resolveEnd!: (end: GuestEnd) => void
  #state: RunningState = 'starting'
  #machine: MachineSession | undefined
  #boots = 0
  #disks: readonly DiskGraph[] = []
  #wasKilled = false
  #isSaved = false
  #wasResumed = false
  #isChangingSnapshots = false

  constructor(parts: RunningGuestParts) {
    this.#parts = parts
    this.name = parts.name
    this.console = parts.console
    this.ended = new Promise(resolve => { this.#resolveEnd = resolve })
  }

  get state(): RunningState { return this.#state }

  /** The machine of the moment; another after a reboot, and none between the two. */
  get machine(): MachineSession | undefined { return this.#machine }

  /** How often it was started, reboots included. */
  get boots(): number { return this.#boots }

  /** It goes on from where it was suspended. */
  get wasResumed(): boolean { return this.#wasResumed }

  /** Resolves when it runs. Throws what preparing, starting and resuming a machine throw; it has ended then. */
  async start(): Promise<void> {
    try {
      await this.#resumeOrBoot()
    } catch (error) {
      await this.#failed('failed', error as Error)
      throw error
    }
  }

  /** Types on its console. Resolves when the guest has taken it. Throws TenonError GUEST_NOT_RUNNING while there is no machine. */
  async write(bytes: Uint8Array): Promise<void> {
    if (this.#machine === undefined) throw hostError('GUEST_NOT_RUNNING', `the guest ${this.name} has no machine at the moment: it is ${this.#state}`)
    await this.#machine.serial[0].write(bytes)
  }

  /**
   * Presses the power button, now and then again, and kills what does not end within `timeoutMs`. A guest that does not heed the button is
   * told by its agent, if it has one.
   */
  async stop(timeoutMs: number): Promise<StopResult> {
    this.#stopping()
    this.#machine?.powerButton()
    const presses = setInterval(() => this.#machine?.powerButton(), PRESS_MS)
    const timers = [
      setTimeout(() => { if (this.agent.isOpen) shutDown(this.agent).catch(() => {}) }, timeoutMs * BUTTON_SHARE),
      setTimeout(() => this.#kill(), timeoutMs),
    ]
    return this.#stopped().finally(() => {
      clearInterval(presses)
      timers.forEach(timer => clearTimeout(timer))
    })
  }

  /** Ends it at once; what its disks were told to flush is flushed. */
  kill(): Promise<StopResult> {
    this.#stopping()
    this.#kill()
    return this.#stopped()
  }

  /** Snapshots of its disks. Throws TenonError GUEST_NOT_RUNNING, GUEST_BUSY, and those of disks (StorageErrorCode). */
  snapshots(): Promise<SnapshotReport> {
    return this.#changingSnapshots(async machine => await machine.diskSnapshots?.({ action: 'list' }) ?? { snapshots: [], leftOut: [] })
  }

  /** Takes a snapshot of all its disks, as `takeSnapshot`. Throws as that, and TenonError GUEST_NOT_RUNNING, GUEST_BUSY. */
  takeSnapshot(name: string): Promise<TakenSnapshot> {
    return this.#changingSnapshots(machine => takeSnapshot({ agent: this.agent, machine }, name))
  }

  /** Deletes a snapshot of its disks. Throws as `snapshots`, and TenonError DISK_NOT_FOUND. */
  deleteSnapshot(name: string): Promise<SnapshotReport> {
    return this.#changingSnapshots(machine => {
      if (machine.diskSnapshots === undefined) throw hostError('GUEST_NOT_RUNNING', `the guest ${this.name} has no disks`)
      return machine.diskSnapshots({ action: 'delete', name })
    })
  }

  /** One at a time: of two that freeze the guest, the first to be done would thaw it for both. */
  async #changingSnapshots<T>(work: (machine: MachineSession) => Promise<T>): Promise<T> {
    const machine = this.#machine
    if (this.#state !== 'running' || machine === undefined) {
      throw hostError('GUEST_NOT_RUNNING', `the guest ${this.name} is ${this.#state}: try again in a moment`)
    }
    this.#mustNotChangeSnapshots()
    this.#isChangingSnapshots = true
    try {
      return await work(machine)
    } finally {
      this.#isChangingSnapshots = false
    }
  }

  #mustNotChangeSnapshots(): void {
    if (!this.#isChangingSnapshots) return
    throw hostError('GUEST_BUSY', `snapshots of the disks of ${this.name} are being taken or deleted: try again in a moment`)
  }

  /**
   * Saves its machine and ends it. Throws TenonError GUEST_NOT_RUNNING, GUEST_BUSY, MACHINE_DISKS_BUSY, and what saving throws; the guest
   * goes on then.
   */
  async suspend(): Promise<void> {
    const snapshots = this.#machine?.snapshots
    // A guest that is saved with its file systems frozen would never thaw them.
    this.#mustNotChangeSnapshots()
    if (this.#state !== 'running' || snapshots === undefined) throw hostError('GUEST_NOT_RUNNING', `the guest ${this.name} cannot be suspended now: it is ${this.#state}; try again in a moment`)
    this.#state = 'suspending'
    try {
      await snapshots.pause()
      await this.#parts.suspension.write(snapshots)
    } catch (error) {
      await snapshots.resume().catch(() => {})
      this.#isRunning()
      throw error
    }
    this.#isSaved = true
    this.#kill()
    await this.ended
  }

  #stopping(): void {
    if (this.#state !== 'ended') this.#state = 'stopping'
  }

  /** Unless it was asked to stop meanwhile. */
  #isRunning(): void {
    if (this.#state === 'stopping') this.#machine?.powerButton()
    else if (this.#state !== 'ended') this.#state = 'running'
  }

  #kill(): void {
    this.#wasKilled ||= this.#state !== 'ended'
    this.#abort.abort(hostError('GUEST_NOT_RUNNING', `the guest ${this.name} was stopped before it ran`))
  }

  async #stopped(): Promise<StopResult> {
    const end = await this.ended
    return { end, wasKilled: this.#wasKilled && end.reason === 'killed' }
  }

  /** The state is taken before the guest goes on, so that no other start can; a start that fails leaves it. */
  async #resumeOrBoot(): Promise<void> {
    const { suspension, resumeMachine } = this.#parts
    const state = await suspension.take()
    if (state === undefined) return this.#boot()
    const resume: StartMachine = ({ shares = [], network, ...options }) => resumeMachine({
      ...options, snapshot: state.snapshot, shares: shares.map((share, index) => ({ ...share, state: state.shares[index] })),
      network: network && { ...network, cards: network.cards.map((card, index) => ({ ...card, standing: state.cards[index] })) },
    })
    try {
      await this.#boot(resume)
    } catch (error) {
      await suspension.giveBack()
      throw error
    }
    await suspension.remove()
    this.#wasResumed = true
    void this.#tellTime()
  }

  /** Its clock stood still. A guest without an agent goes on with the time it had. */
  async #tellTime(): Promise<void> {
    try {
      await this.agent.opening(AGENT_MS)
      await setTime(this.agent)
    } catch {
      this.#parts.log(`${this.name}: has no agent that sets its clock after it was suspended`)
    }
  }

  async #boot(start: StartMachine = this.#parts.startMachine): Promise<void> {
    const { prepare, log } = this.#parts
    const screen = new ConsoleLog()
    const boot = await prepare()
    this.#abort.signal.throwIfAborted()
    this.#disks = boot.disks?.map(({ graph }) => graph) ?? []
    const receive = (bytes: Uint8Array): boolean => {
      screen.append(bytes)
      this.console.output(bytes)
      return true
    }
    const machine = await start({
      ...boot, guest: this.name, serial: [{ receive }], ports: [{ name: AGENT_PORT, owner: this.agent }], signal: this.#abort.signal,
      onDiskFailure: error => log(`${this.name}: ${error.message} (${error.code})`),
    })
    this.#machine = machine
    this.#boots++
    void machine.exited.then(exit => this.#machineEnded(exit, screen))
    this.#isRunning()
  }

  async #machineEnded(exit: MachineExit, screen: ConsoleLog): Promise<void> {
    this.#machine = undefined
    if (this.#isSaved) return this.#suspended()
    if (exit.reason !== 'reset' || screen.panic !== undefined || this.#state === 'stopping') return this.#end(guestEnd(exit, screen.panic))
    this.#state = 'restarting'
    this.#parts.log(`${this.name}: reboots`)
    await this.#boot().catch((error: Error) => this.#failed('refused', error))
  }

  async #suspended(): Promise<void> {
    await this.#parts.suspension.stamp(this.#disks).catch((error: Error) => this.#parts.log(`${this.name}: ${error.message}`))
    await this.#end({ reason: 'suspended', detail: '' })
  }

  /** Its machine could not be started, or was not to be any more. */
  #failed(reason: GuestEnd['reason'], error: Error & { readonly code?: string }): Promise<void> {
    return this.#end(this.#wasKilled ? { reason: 'killed', detail: '' } : { reason, detail: error.message, code: error.code })
  }

  async #end(end: GuestEnd): Promise<void> {
    this.#state = 'ended'
    this.agent.end()
    this.console.close()
    this.#parts.log(`${this.name}: ended: ${describeEnd(end)}`)
    await this.#parts.onEnd(end)
    this.#resolveEnd(end)
  }
}
