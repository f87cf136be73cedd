import { Option } from 'commander'
import type { DiskOrder } from '../../host/disks/disk-order.ts'
import { isDiskImageName } from '../../host/images/debian/names.ts'
import { DEFAULT_CPU_MODEL } from '../../host/machine/cpu-models.ts'
import type { CpuModel } from '../../host/machine/cpu-models.ts'
import type { EngineName } from '../../host/machine/engines.ts'
import type { GuestShare } from '../../host/shares/guest-share.ts'
import type { VsockOrder } from '../../host/vsock/vsock-order.ts'
import { DEFAULT_CARDS, checkChoice } from '../../host/network/guest-network.ts'
import type { CardChoice, NetworkChoice } from '../../host/network/guest-network.ts'
import type { PublishOrder } from '../../host/network/network-order.ts'
import { cliError } from '../errors.ts'
import { EXAMPLES } from '../help.ts'
import { checkImage, DEFAULT_IMAGE } from '../image-names.ts'
import { NO_NETWORK, collect, parseNet, parsePublish } from '../network-values.ts'
import { mirrorOption } from '../options.ts'
import { run } from '../run.ts'
import type { RunRequest } from '../run-request.ts'
import { taskWithCommand } from '../task.ts'
import type { AddCommand } from '../task.ts'
import { parseCpu, parseDisk, parseEngine, parseEnvironment, parseGuestName, parseHostname, parseMemory, parseSeconds, parseShareOption, parseVsockOption } from '../values.ts'

const DEFAULT_BOOT_TIMEOUT_MS = 300_000

export const addRun: AddCommand = (program, line) => {
  program.command('run', { isDefault: true })
    .summary('run a command, or a shell, in a fresh guest')
    .description('Boots a fresh guest and runs the command after -- in it, or a shell in this terminal if there is none.')
    .usage('[options] [image] [-- command...]')
    .argument('[image]', 'what to boot', DEFAULT_IMAGE)
    .addOption(new Option('-m, --memory <size>', 'the guest\'s memory, such as 256M or 2G').argParser(parseMemory).default(parseMemory('512M'), '512M'))
    .addOption(new Option('--cpu <model>', 'the features of the guest\'s processor: x86-64, x86-64-v2, x86-64-v3 or max').argParser(parseCpu).default(DEFAULT_CPU_MODEL))
    .addOption(new Option('--engine <name>', 'how guest code is run: auto, translate or interpret').argParser(parseEngine).default('auto'))
    .option('--disk <file[,option]>', 'give the guest a disk: FILE,readonly protects it; more: ,bus=nvme|virtio|scsi ,serial=… ,iops=N ,bps=50M ,group=NAME ,priority=N (repeatable)', parseDisk)
    .option('--share <folder:place>', 'show the guest a folder of the host there, as ./src:/mnt/src; more: ,readonly ,uid=N ,gid=N (repeatable)', parseShareOption)
    .option('--vsock <path>', 'a Unix socket that leads to the guest\'s vsock ports, by CONNECT PORT; the guest reaches PATH_PORT; PATH,cid=N', parseVsockOption)
    .option('--name <name>', 'make it a guest that keeps its disk and runs in the background: see start, stop, console, rm', parseGuestName)
    .option('-d, --detach', 'with --name: only start it, do not attach to its console')
    .option('--ssh-key <file>', 'a public key: whoever has its private one may log in to the image\'s default user (repeatable)', collect)
    .option('--user-data <file>', 'what cloud-init is to do at the first start: #cloud-config, a script, …')
    .addOption(new Option('--hostname <name>', 'the guest\'s host name, by cloud-init').argParser(parseHostname))
    .option('--net <network>', 'a network card: nat (default), host-only, isolated or none; NETWORK,mac=…,ip=…,vlan=…,rate=50mbit (repeatable)', parseNet)
    .option('-p, --publish <ports>', 'lead a port of the host to one of the guest: [ADDRESS:]HOST:GUEST[/udp] (repeatable)', parsePublish)
    .option('--net-allow <where>', 'all that the guest may reach outside: example.org:443, 192.0.2.0/24:* (repeatable)', collect)
    .option('--pcap <file>', 'write what passes its first network card to a file that Wireshark reads')
    .option('--lockstep', 'have the interpreter check all that translated code does, for bug reports (slow)')
    .option('--stats', 'at the end, say on stderr where time went')
    .option('-t, --tty', 'run the command in this terminal, as its foreground program')
    .option('-e, --env <name=value>', 'set a variable for the command (repeatable)', parseEnvironment)
    .option('--kernel <file>', 'boot this kernel (bzImage or vmlinux) instead of an image')
    .option('--initrd <file>', 'its initial RAM disk')
    .option('--append <text>', 'more for the kernel\'s command line (with --kernel: all of it; default console=ttyS0)')
    .addOption(mirrorOption())
    .addOption(new Option('--boot-timeout <seconds>', 'give up on a guest that takes longer to boot; 0 never does (default: 300; with --lockstep 0)')
      .argParser(text => parseSeconds('--boot-timeout', text)))
    .option('-v, --verbose', 'show the kernel\'s log on stderr')
    .addHelpText('after', EXAMPLES)
    .action((image: string, options: RunOptions) => line.take(taskWithCommand(runRequest(image, options, line.command), run)))
}

interface RunOptions {
  readonly name?: string
  readonly detach?: boolean
  readonly sshKey?: readonly string[]
  readonly userData?: string
  readonly hostname?: string
  readonly memory: number
  readonly cpu: CpuModel
  readonly engine: EngineName
  readonly disk?: readonly DiskOrder[]
  readonly share?: readonly GuestShare[]
  readonly vsock?: VsockOrder
  readonly net?: readonly CardChoice[]
  readonly publish?: readonly PublishOrder[]
  readonly netAllow?: readonly string[]
  readonly pcap?: string
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
  const { memory, cpu, engine, disk: disks = [], share: shares = [], lockstep = false, stats = false, tty = false, env = {}, kernel, initrd, append, mirror, verbose = false } = options
  const { name, detach = false, vsock, sshKey: sshKeys = [], userData, hostname } = options
  const { bootTimeout = lockstep ? 0 : DEFAULT_BOOT_TIMEOUT_MS } = options
  const request: RunRequest = {
    name, detach, image, command, memoryBytes: memory, cpu, engine, disks, shares, vsock, lockstep, stats, kernel, initrd, append, tty, environment: env, mirror,
    bootTimeoutMs: bootTimeout, verbose,
    seed: sshKeys.length === 0 && userData === undefined && hostname === undefined ? undefined : { hostname, sshKeys, userData }, network: networkChoice(options),
  }
  checkNetwork(request, options)
  checkImage(image)
  checkLockstep(request)
  checkCommand(request)
  checkKernel(request)
  checkName(request, options)
  checkSeed(request)
  return request
}

/** A pair in lockstep has none: its machines would get the same frames at different instructions. */
function networkChoice({ net, publish = [], netAllow, pcap, lockstep = false }: RunOptions): NetworkChoice {
  const cards = lockstep ? [] : net ?? DEFAULT_CARDS
  return { cards: cards.filter(({ network }) => network !== NO_NETWORK), publish, pcap, allow: netAllow }
}

function checkNetwork({ network, lockstep }: RunRequest, { net = [] }: RunOptions): void {
  if (lockstep && net.some((card) => card.network !== NO_NETWORK)) throw cliError('USAGE', '--lockstep runs two machines, which cannot share a card: leave out --net')
  if (net.length > 1 && net.some((card) => card.network === NO_NETWORK)) throw cliError('USAGE', '--net none is for a guest without networks: leave out the others')
  checkChoice(network)
}

function checkLockstep({ lockstep, engine, disks, shares, vsock, image }: RunRequest): void {
  if (!lockstep) return
  if (engine === 'interpret') throw cliError('USAGE', '--lockstep checks the translator: leave out --engine interpret')
  if (disks.length > 0) throw cliError('USAGE', '--lockstep runs two machines, which cannot share a disk: leave out --disk')
  if (shares.length > 0) throw cliError('USAGE', '--lockstep runs two machines, which cannot share a folder: leave out --share')
  if (vsock !== undefined) throw cliError('USAGE', '--lockstep runs two machines, which cannot share a vsock: leave out --vsock')
  if (isDiskImageName(image)) throw cliError('USAGE', `--lockstep runs two machines, which cannot share a disk: use the image ${DEFAULT_IMAGE}`)
}

function checkCommand({ command, image, tty }: RunRequest): void {
  if (command?.length === 0) throw cliError('USAGE', 'there is no command after --')
  if (command !== undefined && isDiskImageName(image)) {
    throw cliError('USAGE', `${image} runs with its console in this terminal, and takes no command: leave out what follows --`)
  }
  if (tty && command === undefined) throw cliError('USAGE', '--tty is for a command after --: without one there is a shell in this terminal anyway')
}

function checkKernel({ kernel, initrd, command, image }: RunRequest): void {
  if (initrd !== undefined && kernel === undefined) throw cliError('USAGE', '--initrd is for a kernel of your own: give it with --kernel')
  if (kernel !== undefined && (command !== undefined || image !== DEFAULT_IMAGE)) {
    throw cliError('USAGE', '--kernel boots that kernel alone: leave out the image and the command')
  }
}

function checkName({ name, detach, command, tty, lockstep, stats }: RunRequest, { env, bootTimeout }: RunOptions): void {
  if (name === undefined && detach) throw cliError('USAGE', '--detach is for a guest with a name: give it one with --name')
  if (name === undefined) return
  if (command !== undefined) throw cliError('USAGE', 'a named guest boots as a machine does, and takes no command: leave out what follows --')
  const unfit = Object.entries({ '--tty': tty, '--lockstep': lockstep, '--stats': stats, '--env': env, '--boot-timeout': bootTimeout }).find(([, value]) => value)
  if (unfit !== undefined) throw cliError('USAGE', `${unfit[0]} is for guests without a name: leave it out`)
}

function checkSeed({ seed, image, kernel }: RunRequest): void {
  if (seed === undefined || kernel !== undefined || isDiskImageName(image)) return
  throw cliError('USAGE', `${image} has no cloud-init, which --ssh-key, --user-data and --hostname are for: choose an image with a disk, such as debian:12`)
}
