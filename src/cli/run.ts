import { cacheFolder } from '../host/cache/folder.ts'
import type { DiskOrder } from '../host/disks/disk-order.ts'
import { openHttpClient } from '../host/download/http-client.ts'
import type { GuestOptions } from '../host/guest/boot.ts'
import { checkMemory } from '../host/guest/image-guest.ts'
import { startImageSession } from '../host/guest/image-session.ts'
import { runKernel } from '../host/guest/kernel-session.ts'
import type { SessionRequest, WindowSize } from '../host/guest/protocol.ts'
import { startConfigurationGuest } from '../host/images/debian/configure-guest.ts'
import { openDebianImage } from '../host/images/debian/debian-image.ts'
import type { DiskImage } from '../host/images/debian/debian-image.ts'
import { DEBIAN_IMAGE_NAMES, builtInDefinition } from '../host/images/debian/definition-file.ts'
import type { BootImage } from '../host/images/image.ts'
import { openImage } from '../host/images/open-image.ts'
import { readInputFile } from '../host/input-file.ts'
import type { MachineSession, StartMachine } from '../host/machine/session.ts'
import { cliError, ExitStatus, Quit } from './errors.ts'
import { ESCAPE_HELP } from './escape-keys.ts'
import type { RunRequest } from './program.ts'
import { ProgressDisplay } from './progress-display.ts'
import { statisticsTable } from './statistics.ts'
import { openTerminal } from './terminal.ts'
import type { TerminalInput } from './terminal.ts'

/** What the program runs in: the process's own streams, or a test's. */
export interface Surroundings {
  readonly stdin: NodeJS.ReadStream
  readonly stdout: NodeJS.WriteStream
  readonly stderr: NodeJS.WriteStream
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly startMachine: StartMachine
  /** Aborted, with a Quit, to end it all. */
  readonly quit: AbortController
}

/** The machine, once there is one: for its figures. */
interface Running { machine?: MachineSession }

/** Runs what was asked for and resolves with the exit status. Rejects with a TenonError or a Quit. */
export async function run(request: RunRequest, surroundings: Surroundings): Promise<number> {
  const running: Running = {}
  try {
    return await runRequested(request, surroundings, running)
  } finally {
    if (request.stats) showStatistics(running, surroundings.stderr, '\n')
  }
}

function runRequested(request: RunRequest, surroundings: Surroundings, running: Running): Promise<number> {
  if (request.kernel !== undefined) return runOwnKernel(request, request.kernel, surroundings, running)
  if (DEBIAN_IMAGE_NAMES.includes(request.image)) return runDiskImage(request, surroundings, running)
  return runImage(request, surroundings, running)
}

function showStatistics({ machine }: Running, stderr: NodeJS.WriteStream, end: string): void {
  const lines = machine?.statistics === undefined ? ['no machine runs yet'] : statisticsTable(machine.statistics)
  stderr.write(lines.map(line => `tenon: ${line}${end}`).join(''))
}

async function runImage(request: RunRequest, surroundings: Surroundings, running: Running): Promise<number> {
  const { stdin, stdout, stderr } = surroundings
  const image = await prepareImage(request.image, { mirror: request.mirror }, surroundings)
  checkMemory(image, request.memoryBytes)
  const isOnTerminal = isInteractive(request, surroundings)
  const terminal = isOnTerminal ? takeTerminal(surroundings, running) : undefined
  if (terminal !== undefined) stderr.write(`tenon: starting ${image.name} (Ctrl-A x quits, Ctrl-A h helps)\r\n`)
  const session = await startImageSession({
    ...guestOptions(request, surroundings, running),
    image,
    request: sessionRequest(request, isOnTerminal, surroundings),
    stdin: terminal ?? stdin,
    stdout,
    stderr,
    kernelLog: request.verbose ? stderr : undefined,
    append: request.append,
    onBooted: () => terminal?.passInterrupts(),
  })
  const onResize = (): void => session.resize(windowSize(stdout))
  if (isOnTerminal) stdout.on('resize', onResize)
  return session.status.finally(() => stdout.off('resize', onResize))
}

/** A shell is for a terminal where there is one, and reads a script from stdin where there is none. */
function isInteractive({ command, tty }: RunRequest, { stdin, stdout }: Surroundings): boolean {
  const hasTerminal = stdin.isTTY && stdout.isTTY
  if (tty && !hasTerminal) throw cliError('USAGE', '--tty needs a terminal on stdin and stdout: leave it out')
  return hasTerminal && (tty || command === undefined)
}

function sessionRequest({ command, environment }: RunRequest, isOnTerminal: boolean, { stdout, environment: ours }: Surroundings): SessionRequest {
  if (!isOnTerminal) return { mode: 'with_pipes', argv: command ?? ['sh'], environment }
  const terminalType: Record<string, string> = ours.TERM === undefined ? {} : { TERM: ours.TERM }
  return {
    mode: 'on_console', argv: command ?? ['sh', '-l'], environment: { ...terminalType, ...environment }, windowSize: windowSize(stdout),
  }
}

async function runOwnKernel(request: RunRequest, kernelPath: string, surroundings: Surroundings, running: Running): Promise<number> {
  const kernel = await readInputFile(kernelPath, '--kernel')
  const initrd = request.initrd === undefined ? undefined : await readInputFile(request.initrd, '--initrd')
  return runOnConsole(request, { kernel, initrd, commandLine: request.append ?? 'console=ttyS0' }, surroundings, running)
}

/** A Debian on a disk. What it writes there is kept in memory, and gone when it ends. */
async function runDiskImage(request: RunRequest, surroundings: Surroundings, running: Running): Promise<number> {
  const { kernel, diskPath, commandLine } = await prepareDiskImage(request.image, { mirror: request.mirror }, surroundings)
  const root: DiskOrder = { graph: { kind: 'overlay', base: { kind: 'file', path: diskPath, readOnly: true } } }
  const boot = { kernel, commandLine: ['console=ttyS0', commandLine, request.append ?? ''].join(' ').trim() }
  return runOnConsole({ ...request, disks: [root, ...request.disks] }, boot, surroundings, running)
}

interface ConsoleBoot { readonly kernel: Uint8Array, readonly initrd?: Uint8Array, readonly commandLine: string }

/** A guest whose console is this terminal, or stdin and stdout, until it ends. */
async function runOnConsole(request: RunRequest, boot: ConsoleBoot, surroundings: Surroundings, running: Running): Promise<number> {
  const { stdin, stdout, stderr } = surroundings
  const terminal = stdin.isTTY && stdout.isTTY ? takeTerminal(surroundings, running) : undefined
  const exit = await runKernel({
    ...guestOptions(request, surroundings, running),
    ...boot,
    input: terminal ?? stdin,
    output: stdout,
    onBooted: () => terminal?.passInterrupts(),
  })
  if (request.verbose || exit.reason === 'halted') stderr.write(`tenon: the guest ended: ${exit.reason}${exit.detail === '' ? '' : ` (${exit.detail})`}\n`)
  return ExitStatus.OK
}

function guestOptions({ memoryBytes, cpu, engine, disks, lockstep, bootTimeoutMs }: RunRequest, { startMachine, quit }: Surroundings, running: Running): GuestOptions {
  return { startMachine, memoryBytes, cpu, engine, disks, lockstep, bootTimeoutMs, signal: quit.signal, onMachine: machine => { running.machine = machine } }
}

export interface PrepareOptions {
  readonly mirror?: string
  readonly refresh?: boolean
}

/** Gets an image, showing on stderr what takes time. */
export async function prepareImage(name: string, options: PrepareOptions, { stderr, environment, quit }: Surroundings): Promise<BootImage> {
  const display = new ProgressDisplay(stderr)
  try {
    return await openImage(name, { ...options, signal: quit.signal, http: { environment }, progress: event => display.show(event) })
  } finally {
    display.finish()
  }
}

/** Gets an image with a disk; to build one takes minutes, some of them in a guest. */
export async function prepareDiskImage(name: string, options: PrepareOptions, surroundings: Surroundings): Promise<DiskImage> {
  const { stderr, environment, quit, startMachine } = surroundings
  const display = new ProgressDisplay(stderr)
  try {
    return await openDebianImage(await builtInDefinition(name), {
      ...options, signal: quit.signal, http: await openHttpClient({ environment }), cache: cacheFolder(environment),
      progress: event => display.show(event), startGuest: boot => startConfigurationGuest({ startMachine, signal: quit.signal }, boot),
    })
  } finally {
    display.finish()
  }
}

function takeTerminal({ stdin, stderr, quit }: Surroundings, running: Running): TerminalInput {
  return openTerminal(stdin, {
    onInterrupt: () => quit.abort(new Quit(ExitStatus.INTERRUPTED)),
    onAction(action) {
      if (action === 'quit') quit.abort(new Quit(ExitStatus.OK))
      else if (action === 'statistics') {
        stderr.write('\r\n')
        showStatistics(running, stderr, '\r\n')
      } else stderr.write(`\r\n${ESCAPE_HELP}\r\n`)
    },
  })
}

function windowSize({ rows, columns }: NodeJS.WriteStream): WindowSize {
  return { rows: rows || 24, columns: columns || 80 }
}
