import type { Writable } from 'node:stream'
import { hostError } from '../errors.ts'
import type { BootImage } from '../images/image.ts'
import { shareOrders, shareWords } from '../shares/guest-share.ts'
import type { MachineExit } from '../machine/machine-exit.ts'
import type { MachineSession, SerialOwner } from '../machine/session.ts'
import { bootDeadline, checkExit, StreamOwner } from './boot.ts'
import type { GuestOptions } from './boot.ts'
import { ConsoleLog } from './console-log.ts'
import { checkRequest, CONTROL_LINE, END_OF_SESSIONS, GUEST_CONTROL_DEVICE, GuestMessageReader, PROTOCOL_VERSION } from './protocol.ts'
import type { GuestMessage, SessionRequest } from './protocol.ts'
import { CONSOLE_LINE, GuestSession } from './session.ts'
import type { SessionStreams } from './session.ts'

export interface ImageGuestOptions extends GuestOptions {
  /** Its kernel and initrd are given away. */
  readonly image: BootImage
  /** Takes what the console shows outside of sessions: the kernel's log. */
  readonly kernelLog?: Writable
  /** Whether the kernel keeps its log to itself. Default: where nothing takes it. */
  readonly quiet?: boolean
  /** More for the kernel's command line. */
  readonly append?: string
  /** Called when the guest's init answers. */
  readonly onBooted?: () => void
}

/** How long a guest may take to power off. */
const POWER_OFF_MS = 10_000

/** Starts a guest of an image. Throws TenonError GUEST_MEMORY_TOO_SMALL, and what startMachine throws. */
export async function startImageGuest(options: ImageGuestOptions): Promise<ImageGuest> {
  checkMemory(options.image, options.memoryBytes)
  const guest = new ImageGuest(options)
  const { image, startMachine, memoryBytes, cpu, engine, lockstep, disks, shares = [], vsock, network, onDiskFailure, signal } = options
  const machine = await startMachine({
    memoryBytes, cpu, engine, lockstep, disks, shares: shareOrders(shares), vsock, network, onDiskFailure, signal,
    kernel: image.kernel, initrd: image.initrd, serial: guest.owners, commandLine: commandLineOf(options),
  })
  options.onMachine?.(machine)
  guest.watch(machine)
  return guest
}

/** Throws TenonError GUEST_MEMORY_TOO_SMALL if the image does not boot in so much memory. */
export function checkMemory({ name, minimumMemory }: BootImage, memoryBytes: number): void {
  if (memoryBytes >= minimumMemory) return
  const [least, given] = [minimumMemory, memoryBytes].map(bytes => `${bytes / 1024 ** 2}M`)
  throw hostError('GUEST_MEMORY_TOO_SMALL', `the image ${name} needs ${least} of memory and is given ${given}: give it more (--memory)`)
}

function commandLineOf({ image, shares = [], kernelLog, quiet = kernelLog === undefined, append }: ImageGuestOptions): string {
  // A panic resets at once, so that we see it.
  const words = ['console=ttyS0', 'panic=-1', ...quiet ? ['quiet'] : ['earlyprintk=ttyS0'], `tenon.control=${GUEST_CONTROL_DEVICE}`]
  return [...words, ...shareWords(shares), ...image.commandLine === '' ? [] : [image.commandLine], ...append === undefined ? [] : [append]].join(' ')
}

/** A guest of an image: boots, and runs sessions one after another. */
export class ImageGuest {
  readonly owners: readonly SerialOwner[]
  /** Resolves when the guest's init answers. Rejects if it never will, as a session's status does. */
  readonly booted: Promise<void>
  readonly #options: ImageGuestOptions
  readonly #log = new ConsoleLog()
  readonly #kernelLog: StreamOwner | undefined
  readonly #reader = new GuestMessageReader()
  #settleBoot!: { resolve(): void, reject(error: unknown): void }
  #machine!: MachineSession
  #deadline!: ReturnType<typeof bootDeadline>
  #phase: 'booting' | 'ready' | 'ended' = 'booting'
  #session: GuestSession | undefined
  #failure: unknown

  constructor(options: ImageGuestOptions) {
    this.#options = options
    const { kernelLog } = options
    this.#kernelLog = kernelLog && new StreamOwner(kernelLog, () => this.#machine.serial[CONSOLE_LINE])
    this.owners = [
      { receive: bytes => this.#receiveConsole(bytes) },
      { receive: bytes => this.#session?.stdout.receive(bytes) ?? true },
      { receive: bytes => this.#session?.stderr.receive(bytes) ?? true },
      { receive: bytes => this.#receiveControl(bytes) },
    ]
    this.booted = new Promise((resolve, reject) => { this.#settleBoot = { resolve, reject } })
    this.booted.catch(() => {})
  }

  get exited(): Promise<MachineExit> {
    return this.#machine.exited
  }

  /** The machine, for what concerns all of it. */
  get machine(): MachineSession {
    return this.#machine
  }

  watch(machine: MachineSession): void {
    this.#machine = machine
    this.#deadline = bootDeadline(machine, this.#options.bootTimeoutMs)
    void machine.exited.then(exit => this.#end(exit))
  }

  /** Runs a session as soon as the guest is ready. Throws TenonError GUEST_BUSY if there is one already, GUEST_STOPPED, or COMMAND_INVALID. */
  run(request: SessionRequest, streams: SessionStreams): GuestSession {
    checkRequest(request)
    if (this.#phase === 'ended') throw hostError('GUEST_STOPPED', 'the guest has stopped: start another')
    if (this.#session !== undefined) throw hostError('GUEST_BUSY', 'the guest runs a session already: wait until it has ended')
    this.#session = new GuestSession(request, streams, () => this.#machine)
    if (this.#phase === 'ready') this.#session.begin(this.#machine)
    return this.#session
  }

  /** Has the guest power off, and kills it if it does not. */
  powerOff(): void {
    void this.#machine.serial[CONTROL_LINE].write(END_OF_SESSIONS)
    const timer = setTimeout(() => this.#machine.kill(), POWER_OFF_MS)
    void this.exited.then(() => clearTimeout(timer))
  }

  #receiveConsole(bytes: Uint8Array): boolean {
    if (this.#session?.isRunning && this.#session.isOnConsole) return this.#session.stdout.receive(bytes)
    this.#log.append(bytes)
    return this.#kernelLog?.receive(bytes) ?? true
  }

  #receiveControl(bytes: Uint8Array): boolean {
    try {
      this.#reader.read(bytes).forEach(message => this.#answer(message))
    } catch (error) {
      this.#failure ??= error
      this.#machine.kill()
    }
    return true
  }

  #answer(message: GuestMessage): void {
    if (message.kind === 'ready') return this.#begin(message.version)
    if (this.#session?.isRunning !== true) throw hostError('GUEST_PROTOCOL', `the guest's init says ${message.kind} and runs nothing`)
    if (message.kind === 'stdin') void this.#session.answerStdin()
    else void this.#finish(this.#session, message.status)
  }

  async #finish(session: GuestSession, status: number): Promise<void> {
    await session.exit(status)
    if (this.#phase === 'ready') this.#session = undefined
    session.finish()
  }

  #begin(version: number): void {
    if (version !== PROTOCOL_VERSION || this.#phase !== 'booting') {
      throw hostError('GUEST_PROTOCOL', `the guest's init speaks version ${version} of the protocol, and we ${PROTOCOL_VERSION}: run tenon pull`)
    }
    this.#phase = 'ready'
    this.#deadline.spoke()
    this.#options.onBooted?.()
    this.#settleBoot.resolve()
    this.#session?.begin(this.#machine)
  }

  #end(exit: MachineExit): void {
    const error = this.#errorOf(exit)
    this.#phase = 'ended'
    const stopped = error ?? hostError('GUEST_STOPPED', `the guest stopped (${exit.reason}) before its command had ended`)
    this.#settleBoot.reject(stopped)
    const isOrderly = error === undefined && this.#session?.isOnConsole === true
    this.#session?.machineEnded(isOrderly ? undefined : stopped)
  }

  #errorOf(exit: MachineExit): unknown {
    if (this.#failure !== undefined) return this.#failure
    try {
      checkExit(exit, this.#log, this.#deadline.missed, this.#options.signal)
    } catch (error) {
      return error
    }
  }
}
