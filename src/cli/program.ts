import { Command, CommanderError, Option } from 'commander'
import { DEBIAN_IMAGE_NAMES } from '../host/images/debian/definition-file.ts'
import { IMAGE_NAMES } from '../host/images/open-image.ts'
import type { DiskOrder } from '../host/disks/disk-order.ts'
import type { CpuModel } from '../host/machine/cpu-models.ts'
import { inspectCode } from '../host/inspect-code.ts'
import type { EngineName } from '../host/machine/engines.ts'
import { cliError } from './errors.ts'
import { parseCpu, parseDisk, parseEngine, parseEnvironment, parseHex, parseMemory, parseMirror, parseSeconds } from './values.ts'

/** What a command line asks for. */
export type Request = RunRequest | PullRequest | { readonly kind: 'text', readonly text: string }

export interface RunRequest {
  readonly kind: 'run'
  readonly image: string
  /** Absent for an interactive shell. */
  readonly command?: readonly string[]
  readonly memoryBytes: number
  readonly cpu: CpuModel
  readonly engine: EngineName
  /** Disks of the host, for the guest's NVMe controller. */
  readonly disks: readonly DiskOrder[]
  /** Have the interpreter check the translator. */
  readonly lockstep: boolean
  /** Figures at the end, on stderr. */
  readonly stats: boolean
  readonly kernel?: string
  readonly initrd?: string
  readonly append?: string
  readonly tty: boolean
  readonly environment: Readonly<Record<string, string>>
  readonly mirror?: string
  readonly bootTimeoutMs: number
  readonly verbose: boolean
}

export interface PullRequest {
  readonly kind: 'pull'
  readonly image: string
  readonly mirror?: string
}

const DEFAULT_IMAGE = 'busybox'
const DEFAULT_BOOT_TIMEOUT_MS = 300_000

const DESCRIPTION = `Boots unmodified 64-bit Linux in a virtual machine, anywhere Node.js runs.

Without arguments: a root shell in a fresh Debian guest, in this terminal. Ctrl-A x quits, Ctrl-A h helps.`

const EXAMPLES = `
Examples:
  tenon                                        a shell in a fresh guest
  tenon run -- uname -rm                       one command; its output and exit status are ours
  echo 'hello' | tenon run -- sha256sum        with stdin
  tenon run --tty -- top                       one command in this terminal
  tenon run --memory 1G --verbose -- free -m   more memory; the kernel's log on stderr
  tenon run --memory 1G debian:12              a Debian with systemd, its console in this terminal
  tenon run --disk data.img -- fdisk -l        with a disk: a file of the host
  tenon run --kernel bzImage --initrd initrd.img --append "console=ttyS0"
  tenon pull                                   fetch the image's newest packages
  tenon inspect code                           what hot guest code becomes

Exit status:
  the command's own; 128 + n if signal n killed it
  125  Tenon itself failed: a line on stderr says why, with a code
  126  the command cannot be executed
  127  the command was not found
  130  interrupted by Ctrl-C

Environment:
  TENON_CACHE                          where images are kept (default: the user's cache folder)
  TENON_MIRROR                         the Debian mirror, as --mirror
  TENON_DEBUG                          if set, errors show where in Tenon they come from
  HTTPS_PROXY, HTTP_PROXY, NO_PROXY    the way to the network`

/** Reads a command line (without `node` and the script). Throws TenonError USAGE. */
export function parseCommandLine(argv: readonly string[], version: string): Request {
  const end = argv.indexOf('--')
  const [ours, command] = end < 0 ? [argv, undefined] : [argv.slice(0, end), argv.slice(end + 1)]
  let request: Request | undefined
  let printed = ''
  const program = buildProgram(version, command, parsed => { request = parsed })
  const everyone = [program, ...program.commands]
  for (const each of everyone) each.exitOverride().configureOutput({ writeOut: text => { printed += text }, writeErr: () => {} })
  try {
    program.parse(ours, { from: 'user' })
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    if (error.exitCode !== 0) throw cliError('USAGE', `${error.message.replace(/^error: /, '')}: see tenon --help`, error)
    return { kind: 'text', text: printed }
  }
  return request ?? { kind: 'text', text: printed }
}

function buildProgram(version: string, command: readonly string[] | undefined, take: (request: Request) => void): Command {
  const program = new Command('tenon').description(DESCRIPTION).version(version, '-V, --version', 'print the version').helpOption('-h, --help', 'print this help')
    .addHelpText('after', EXAMPLES)
  const mirror = (): Option => new Option('--mirror <url>', 'the Debian mirror to fetch from').env('TENON_MIRROR').argParser(parseMirror)
  program.command('run', { isDefault: true })
    .summary('run a command, or a shell, in a fresh guest')
    .description('Boots a fresh guest and runs the command after -- in it, or a shell in this terminal if there is none.')
    .usage('[options] [image] [-- command...]')
    .argument('[image]', 'what to boot', DEFAULT_IMAGE)
    .addOption(new Option('-m, --memory <size>', 'the guest\'s memory, such as 256M or 2G').argParser(parseMemory).default(parseMemory('512M'), '512M'))
    .addOption(new Option('--cpu <model>', 'the features of the guest\'s processor: x86-64, x86-64-v2, x86-64-v3 or max').argParser(parseCpu).default('max'))
    .addOption(new Option('--engine <name>', 'how guest code is run: auto, translate or interpret').argParser(parseEngine).default('auto'))
    .option('--disk <file>', 'give the guest a disk, /dev/nvme0n1 and so on; FILE,readonly protects it (repeatable)', parseDisk)
    .option('--lockstep', 'have the interpreter check all that translated code does, for bug reports (slow)')
    .option('--stats', 'at the end, say on stderr where time went')
    .option('-t, --tty', 'run the command in this terminal, as its foreground program')
    .option('-e, --env <name=value>', 'set a variable for the command (repeatable)', parseEnvironment)
    .option('--kernel <file>', 'boot this kernel (bzImage or vmlinux) instead of an image')
    .option('--initrd <file>', 'its initial RAM disk')
    .option('--append <text>', 'more for the kernel\'s command line (with --kernel: all of it; default console=ttyS0)')
    .addOption(mirror())
    .addOption(new Option('--boot-timeout <seconds>', 'give up on a guest that takes longer to boot; 0 never does (default: 300; with --lockstep 0)')
      .argParser(text => parseSeconds('--boot-timeout', text)))
    .option('-v, --verbose', 'show the kernel\'s log on stderr')
    .addHelpText('after', EXAMPLES)
    .action((image: string, options: RunOptions) => take(runRequest(image, options, command)))
  program.command('pull')
    .summary('fetch an image\'s newest packages')
    .description('Fetches what an image is made of, as the archive has it now, and builds it.')
    .argument('[image]', 'which', DEFAULT_IMAGE)
    .addOption(mirror())
    .action((image: string, options: { mirror?: string }) => {
      if (command !== undefined) throw cliError('USAGE', 'pull takes no command: see tenon pull --help')
      checkImage(image)
      take({ kind: 'pull', image, mirror: options.mirror })
    })
  program.command('inspect')
    .summary('see inside')
    .description('Shows what Tenon makes of something. `code`: what the translator makes of a piece of 64-bit guest code.')
    .argument('<what>', 'code')
    .addOption(new Option('--hex <bytes>', 'the code, in hexadecimal (default: a loop that adds bytes)').argParser(parseHex))
    .action((what: string, { hex }: { hex?: Uint8Array }) => {
      if (what !== 'code') throw cliError('USAGE', `${JSON.stringify(what)} cannot be inspected: there is code`)
      take({ kind: 'text', text: inspectCode(hex) })
    })
  return program
}

function checkImage(image: string): void {
  const names = [...IMAGE_NAMES, ...DEBIAN_IMAGE_NAMES]
  if (names.includes(image)) return
  throw cliError('USAGE', `${JSON.stringify(image)} is no image (there is ${names.join(', ')}); a command goes after --, as in tenon run -- ${image}`)
}

interface RunOptions {
  readonly memory: number
  readonly cpu: CpuModel
  readonly engine: EngineName
  readonly disk?: readonly DiskOrder[]
  readonly lockstep?: boolean
  readonly stats?: boolean
  readonly tty?: boolean
  readonly env?: Record<string, string>
  readonly kernel?: string
  readonly initrd?: string
  readonly append?: string
  readonly mirror?: string
  readonly bootTimeout?: number
  readonly verbose?: boolean
}

function runRequest(image: string, options: RunOptions, command: readonly string[] | undefined): RunRequest {
  const { memory, cpu, engine, disk: disks = [], lockstep = false, stats = false, tty = false, env = {}, kernel, initrd, append, mirror, verbose = false } = options
  const { bootTimeout = lockstep ? 0 : DEFAULT_BOOT_TIMEOUT_MS } = options
  if (lockstep && engine === 'interpret') throw cliError('USAGE', '--lockstep checks the translator: leave out --engine interpret')
  if (lockstep && disks.length > 0) throw cliError('USAGE', '--lockstep runs two machines, which cannot share a disk: leave out --disk')
  if (command !== undefined && DEBIAN_IMAGE_NAMES.includes(image)) {
    throw cliError('USAGE', `${image} runs with its console in this terminal, and takes no command: leave out what follows --`)
  }
  if (command?.length === 0) throw cliError('USAGE', 'there is no command after --')
  checkImage(image)
  if (tty && command === undefined) throw cliError('USAGE', '--tty is for a command after --: without one there is a shell in this terminal anyway')
  if (initrd !== undefined && kernel === undefined) throw cliError('USAGE', '--initrd is for a kernel of your own: give it with --kernel')
  if (kernel !== undefined && (command !== undefined || image !== DEFAULT_IMAGE)) {
    throw cliError('USAGE', '--kernel boots that kernel alone: leave out the image and the command')
  }
  return { kind: 'run', image, command, memoryBytes: memory, cpu, engine, disks, lockstep, stats, kernel, initrd, append, tty, environment: env, mirror, bootTimeoutMs: bootTimeout, verbose }
}
