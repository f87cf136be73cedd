import { StreamOwner } from '../host/guest/boot.ts'
import { startImageGuest } from '../host/guest/image-guest.ts'
import type { ImageGuest } from '../host/guest/image-guest.ts'
import { openImage } from '../host/images/open-image.ts'
import { readInputFile } from '../host/input-file.ts'
import { cpuModel } from '../host/machine/cpu-models.ts'
import { translates } from '../host/machine/engines.ts'
import type { EngineName } from '../host/machine/engines.ts'
import type { MachineExit } from '../host/machine/machine-exit.ts'
import type { MachineSession } from '../host/machine/session.ts'
import { startMachine } from '../host/machine/start.ts'
import { Command } from './command.ts'
import { ConsolePipe } from './console.ts'
import { apiError } from './errors.ts'
import { memoryBytes } from './memory-size.ts'
import type { MachineConsole, MachineOptions, RunOptions, RunResult } from './types.ts'

const DEFAULT_MEMORY = '512M'
const DEFAULT_BOOT_TIMEOUT_MS = 300_000
/** How long a guest may take to power off. */
const STOP_MS = 10_000

/**
 * A virtual machine that runs Linux, on a thread of its own.
 *
 * ```ts
 * import { Machine } from 'tenon'
 *
 * const machine = await Machine.start({ memory: '256M' })
 * const { stdout } = await machine.run(['uname', '-m'])
 * console.log(stdout) // x86_64
 * await machine.stop()
 * ```
 *
 * A running machine keeps the process alive: stop it.
 */
export class Machine {
  /** The first serial line: an image's kernel log, or all there is of a kernel of your own. */
  readonly console: MachineConsole
  /** Resolves when the machine has ended, with why. Never rejects. */
  readonly exited: Promise<MachineExit>
  readonly #session: MachineSession
  readonly #guest: ImageGuest | undefined
  #lastCommand: Promise<unknown> = Promise.resolve()

  private constructor(session: MachineSession, pipe: ConsolePipe, guest?: ImageGuest) {
    this.#session = session
    this.#guest = guest
    this.exited = session.exited
    this.console = pipe.open(bytes => session.serial[0].write(bytes))
    void session.exited.then(() => pipe.output.end())
  }

  /**
   * Starts a machine. With an image, resolves when it is ready for commands: the image is fetched at its first use, some 27 MB. With a
   * kernel of your own, resolves when it runs. Throws a TenonError with a stable `code`, or the abort signal's reason.
   */
  static start(options: MachineOptions = {}): Promise<Machine> {
    return options.kernel === undefined ? Machine.#startImage(options) : Machine.#startKernel(options, options.kernel)
  }

  static async #startImage(options: MachineOptions): Promise<Machine> {
    if (options.initrd !== undefined) throw apiError('OPTIONS_CONFLICT', 'initrd is for a kernel of your own: give that as kernel')
    const { image: name = 'busybox', cache, mirror, onProgress, signal, append, verbose = false } = options
    const { lockstep = false, bootTimeoutMs = lockstep ? 0 : DEFAULT_BOOT_TIMEOUT_MS } = options
    const bytes = memoryBytes(options.memory ?? DEFAULT_MEMORY)
    const cpu = cpuModel(options.cpu)
    const engine = engineOf(options)
    const image = await openImage(name, { cache, mirror, signal, progress: onProgress })
    const pipe = new ConsolePipe()
    const guest = await startImageGuest({
      startMachine, image, memoryBytes: bytes, cpu, engine, lockstep, signal, append, bootTimeoutMs, kernelLog: pipe.output, quiet: !verbose,
    })
    const machine = new Machine(guest.machine, pipe, guest)
    await guest.booted
    return machine
  }

  static async #startKernel(options: MachineOptions, kernel: string | Uint8Array): Promise<Machine> {
    if (options.image !== undefined) throw apiError('OPTIONS_CONFLICT', 'image and kernel are two ways to boot: give one of them')
    const cpu = cpuModel(options.cpu)
    const engine = engineOf(options)
    const files = {
      kernel: await contents(kernel, 'the kernel'),
      initrd: options.initrd === undefined ? undefined : await contents(options.initrd, 'the initrd'),
    }
    const pipe = new ConsolePipe()
    const session = await startMachine({
      ...files, memoryBytes: memoryBytes(options.memory ?? DEFAULT_MEMORY), cpu, engine, lockstep: options.lockstep, signal: options.signal,
      commandLine: options.append ?? 'console=ttyS0', serial: [new StreamOwner(pipe.output, () => session.serial[0])],
    })
    return new Machine(session, pipe)
  }

  /**
   * Runs a command as root and gives its status and output. Commands run one after another, in the order of the calls, in the same
   * guest: files stay, and what a command leaves running is ended with it. Throws TenonError COMMAND_INVALID, COMMANDS_UNSUPPORTED (the
   * machine runs a kernel of your own), OUTPUT_TOO_LARGE, and GUEST_* if the machine ends first.
   */
  run(command: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    const result = this.#lastCommand.then(() => this.#run(command, options))
    this.#lastCommand = result.catch(() => {})
    return result
  }

  async #run(argv: readonly string[], options: RunOptions): Promise<RunResult> {
    if (this.#guest === undefined) throw apiError('COMMANDS_UNSUPPORTED', 'this machine runs a kernel of your own: talk to it by its console')
    const command = new Command(argv, options)
    return command.result(await this.#guest.run(command.request, command.streams).status)
  }

  /** Has the guest power off, kills it if it has not within 10 seconds, and resolves when it has ended. */
  stop(): Promise<MachineExit> {
    if (this.#guest !== undefined) this.#guest.powerOff()
    else this.#pressToStop()
    return this.exited
  }

  #pressToStop(): void {
    this.powerButton()
    const timer = setTimeout(() => this.#session.kill(), STOP_MS)
    void this.exited.then(() => clearTimeout(timer))
  }

  /** Ends the machine at once; the guest is not asked. */
  kill(): Promise<MachineExit> {
    this.#session.kill()
    return this.exited
  }

  /** Presses the ACPI power button: what that means is the guest's affair. */
  powerButton(): void {
    this.#session.powerButton()
  }
}

function engineOf({ engine, lockstep }: MachineOptions): EngineName | undefined {
  if (!translates(engine) && lockstep === true) throw apiError('OPTIONS_CONFLICT', 'lockstep checks the translator: leave out the engine interpret')
  return engine
}

/** A file's bytes, which the machine may take for itself. */
async function contents(file: string | Uint8Array, what: string): Promise<Uint8Array> {
  return typeof file === 'string' ? readInputFile(file, what) : new Uint8Array(file)
}
