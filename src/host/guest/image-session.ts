import type { Writable } from 'node:stream'
import { hostError } from '../errors.ts'
import type { BootImage } from '../images/image.ts'
import type { MachineSession } from '../machine/session.ts'
import { bootDeadline, checkExit, feedLine, toStream } from './boot.ts'
import type { GuestOptions } from './boot.ts'
import { ByteSource } from './byte-source.ts'
import { ConsoleLog } from './console-log.ts'
import {
  CONTROL_LINE, encodeSession, encodeStdin, encodeWindowSize, GUEST_CONTROL_DEVICE, GuestMessageReader, MAXIMUM_STDIN_PIECE, PROTOCOL_VERSION,
} from './protocol.ts'
import type { GuestMessage, SessionRequest, WindowSize } from './protocol.ts'

/** One session in a fresh guest of an image: a command with its streams, or a terminal. */
export interface ImageSessionOptions extends GuestOptions {
  readonly image: BootImage
  readonly request: SessionRequest
  readonly stdin: AsyncIterable<Uint8Array | string>
  readonly stdout: Writable
  /** In mode `with_pipes` only. */
  readonly stderr: Writable
  /** Takes the kernel's log, if it is wanted. */
  readonly kernelLog?: Writable
  /** More for the kernel's command line. */
  readonly append?: string
  /** Called when the guest's init answers. */
  readonly onBooted?: () => void
}

const STDIN_LINE = 1
const [CONSOLE, STDOUT, STDERR] = [0, 1, 2]

/** A running session. */
export interface ImageSession {
  /**
   * The command's exit status; 128 + n if signal n killed it, 127 if it was not found. Rejects with TenonError GUEST_*, MACHINE_FAILED,
   * or with the abort signal's reason.
   */
  readonly status: Promise<number>
  resize(size: WindowSize): void
}

/** Boots the image and runs the session in it. Throws what startMachine throws. */
export async function startImageSession(options: ImageSessionOptions): Promise<ImageSession> {
  const conductor = new Conductor(options)
  const { image, startMachine, memoryBytes, signal } = options
  const session = await startMachine({
    memoryBytes, signal, kernel: image.kernel, initrd: image.initrd, serial: conductor.owners,
    commandLine: commandLineOf(options),
  })
  return { status: conductor.conduct(session), resize: size => conductor.resize(size) }
}

function commandLineOf({ image, kernelLog, append }: ImageSessionOptions): string {
  // A panic resets at once, so that we see it.
  const words = ['console=ttyS0', 'panic=-1', ...kernelLog === undefined ? ['quiet'] : ['earlyprintk=ttyS0'], `tenon.control=${GUEST_CONTROL_DEVICE}`]
  return [...words, ...image.commandLine === '' ? [] : [image.commandLine], ...append === undefined ? [] : [append]].join(' ')
}

/** Answers the guest's messages and passes the streams. */
class Conductor {
  readonly owners
  readonly #options: ImageSessionOptions
  readonly #log = new ConsoleLog()
  readonly #reader = new GuestMessageReader()
  readonly #stdin: ByteSource
  readonly #screen
  #session!: MachineSession
  #phase: 'booting' | 'running' | 'ended' = 'booting'
  #status: number | undefined
  #failure: unknown
  #spoke = (): void => {}

  constructor(options: ImageSessionOptions) {
    this.#options = options
    this.#stdin = new ByteSource(options.stdin)
    this.#screen = toStream(options.stdout, () => this.#session.serial[CONSOLE])
    this.owners = [
      { receive: (bytes: Uint8Array) => this.#receiveConsole(bytes) },
      toStream(options.stdout, () => this.#session.serial[STDOUT]),
      toStream(options.stderr, () => this.#session.serial[STDERR]),
      { receive: (bytes: Uint8Array) => this.#receiveControl(bytes) },
    ]
  }

  async conduct(session: MachineSession): Promise<number> {
    this.#session = session
    const deadline = bootDeadline(session, this.#options.bootTimeoutMs)
    this.#spoke = deadline.spoke
    const exit = await session.exited
    if (this.#failure !== undefined) throw this.#failure
    if (this.#status !== undefined) return this.#status
    checkExit(exit, this.#log, deadline.missed, this.#options.signal)
    // From a terminal, to power off is an orderly end.
    if (this.#phase === 'running' && this.#options.request.mode === 'on_console') return 0
    throw hostError('GUEST_STOPPED', `the guest stopped (${exit.reason}) before its command had ended`)
  }

  resize(size: WindowSize): void {
    if (this.#phase === 'running') this.#sendControl(encodeWindowSize(size))
  }

  #receiveConsole(bytes: Uint8Array): boolean {
    if (this.#phase === 'running' && this.#options.request.mode === 'on_console') return this.#screen.receive(bytes)
    this.#log.append(bytes)
    this.#options.kernelLog?.write(Buffer.from(bytes))
    return true
  }

  #receiveControl(bytes: Uint8Array): boolean {
    try {
      this.#reader.read(bytes).forEach(message => this.#answer(message))
    } catch (error) {
      this.#failure ??= error
      this.#session.kill()
    }
    return true
  }

  #answer(message: GuestMessage): void {
    if (message.kind === 'ready') this.#begin(message.version)
    else if (message.kind === 'stdin') void this.#answerStdin()
    else {
      this.#status = message.status
      this.#phase = 'ended'
    }
  }

  #begin(version: number): void {
    if (version !== PROTOCOL_VERSION || this.#phase !== 'booting') {
      throw hostError('GUEST_PROTOCOL', `the guest's init speaks version ${version} of the protocol, and we ${PROTOCOL_VERSION}: run tenon pull`)
    }
    this.#phase = 'running'
    this.#spoke()
    this.#options.onBooted?.()
    this.#sendControl(encodeSession(this.#options.request))
    if (this.#options.request.mode === 'on_console') feedLine(this.#options.stdin, this.#session, CONSOLE).catch(() => {})
  }

  async #answerStdin(): Promise<void> {
    // A stdin that cannot be read has ended, as far as the command is concerned.
    const piece = await this.#stdin.next(MAXIMUM_STDIN_PIECE).catch(() => new Uint8Array(0))
    await this.#session.serial[STDIN_LINE].write(encodeStdin(piece))
  }

  #sendControl(bytes: Uint8Array): void {
    void this.#session.serial[CONTROL_LINE].write(bytes)
  }
}
