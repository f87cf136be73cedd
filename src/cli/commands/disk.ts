import { Command, Option } from 'commander'
import { cliError } from '../errors.ts'
import type * as tasks from '../disk-tasks.ts'
import type { CheckRequest, CompactRequest, ConvertRequest, CreateRequest, InfoRequest, ResizeRequest, ServeRequest, SnapshotRequest } from '../disk-tasks.ts'
import { isDescription } from '../../host/disks/disk-description.ts'
import { task } from '../task.ts'
import type { AddCommand, CommandLine, Task } from '../task.ts'
import { parseExportName, parsePort, parseSize, parseSizeChange } from '../values.ts'

const FORMATS = 'raw, qcow2, vhd or vmdk'

const EXAMPLES = `
Examples:
  tenon disk create data.qcow2 --size 10G
  tenon disk create child.qcow2 --backing base.qcow2
  tenon disk convert disk.vmdk disk.qcow2
  tenon disk convert disk.qcow2 small.qcow2 --compress
  tenon disk snapshot create disk.qcow2 before-upgrade
  tenon disk snapshot create guest:web before-upgrade
  tenon disk serve disk.qcow2 --readonly
  tenon disk create data.disk.yaml             a mirror, a stripe, …: what the file describes (src/host/README.md)

A disk that another program writes is never written, and a file that is there is never replaced without --force.
The format is probed unless --format says it; a new file's follows from its name, and is qcow2 where that says nothing.`

/** What carries the commands out is loaded when it is needed: it is much, and other commands do without it. */
type Tasks = typeof tasks

export const addDisk: AddCommand = (program, line) => {
  const disk = program.command('disk').summary('make, look at, convert and serve virtual disks')
    .description('Virtual disks as files: qcow2, raw, VHD and VMDK.').addHelpText('after', EXAMPLES)
  addCreate(disk, line)
  addInfo(disk, line)
  addConvert(disk, line)
  addCheck(disk, line)
  addResize(disk, line)
  addSnapshots(disk, line)
  addCompact(disk, line)
  addServe(disk, line)
}

function later<Request>(request: Request, perform: (tasks: Tasks) => (request: Request, surroundings: Parameters<Task['perform']>[0]) => Promise<number>): Task {
  return task(request, async (asked, surroundings) => perform(await import('../disk-tasks.ts'))(asked, surroundings))
}

const formatOption = (what = 'its format'): Option => new Option('-f, --format <name>', `${what}: ${FORMATS}`)
const suspendedOption = (): Option => new Option('--force', 'also if a suspended guest has it, which can only be started with --fresh then')
const forceOption = (): Option => new Option('--force', 'replace a file that is there')

function addCreate(disk: Command, line: CommandLine): void {
  disk.command('create')
    .summary('make an empty disk')
    .description('Makes an empty disk; or for NAME.disk.yaml, which describes a disk of several parts, the files that it has of its own.')
    .argument('<file>', 'the new disk; or NAME.disk.yaml, which is there')
    .addOption(new Option('-s, --size <size>', 'how large it is to a guest, such as 512M or 10G').argParser(text => parseSize('--size', text)))
    .addOption(formatOption())
    .option('-b, --backing <file>', 'the disk that it shows until it is written to, and whose size it has without --size')
    .option('--backing-format <name>', 'that disk\'s format')
    .option('--thick', 'take all of its room on the host now')
    .addOption(new Option('--cluster-size <size>', 'of a qcow2: 512 bytes to 2M').argParser(text => parseSize('--cluster-size', text)))
    .addOption(forceOption())
    .action((file: string, options: Omit<CreateRequest, 'file'>) => {
      if (options.size === undefined && options.backing === undefined && !isDescription(file)) throw cliError('USAGE', 'how large shall the disk be? Give --size, or --backing')
      if (options.thick && options.backing !== undefined) throw cliError('USAGE', 'a disk with a backing file is thin: leave out --thick or --backing')
      line.take(later<CreateRequest>({ ...options, file }, each => each.create))
    })
}

function addInfo(disk: Command, line: CommandLine): void {
  disk.command('info')
    .summary('what a disk is')
    .description('Shows format, sizes, backing files and snapshots, also of a disk that is in use.')
    .argument('<file>', 'a disk, NAME.disk.yaml, or nbd://host/name')
    .addOption(formatOption())
    .option('--json', 'for programs')
    .action((file: string, options: Omit<InfoRequest, 'file'>) => line.take(later<InfoRequest>({ ...options, file }, each => each.info)))
}

function addConvert(disk: Command, line: CommandLine): void {
  disk.command('convert')
    .summary('copy a disk to another format')
    .description('Copies what a disk reads as, through all its backing files, to a new one without the zeros.')
    .argument('<source>', 'a disk, NAME.disk.yaml, or nbd://host/name')
    .argument('<target>', 'the new disk; or nbd://host/name or NAME.disk.yaml, which is overwritten')
    .addOption(formatOption('the new disk\'s format'))
    .option('--source-format <name>', 'the format of the source')
    .option('-c, --compress', 'compress it: a qcow2, or a stream-optimized VMDK')
    .option('--thick', 'take all of its room on the host')
    .addOption(forceOption())
    .action((source: string, target: string, options: Omit<ConvertRequest, 'source' | 'target'>) => {
      line.take(later<ConvertRequest>({ ...options, source, target }, each => each.convert))
    })
}

function addCheck(disk: Command, line: CommandLine): void {
  disk.command('check')
    .summary('look for damage')
    .description('Looks for contradictions in a disk. Exit status: 0 if there are none, 2 for errors, 3 for room that is lost and nothing worse.')
    .argument('<file>', 'the disk')
    .addOption(formatOption())
    .addOption(new Option('-r, --repair [what]', 'of a qcow2: leaks gives back lost room, all makes all counts right').choices(['leaks', 'all']).preset('all'))
    .addOption(suspendedOption())
    .option('--json', 'for programs')
    .action((file: string, options: Omit<CheckRequest, 'file'>) => line.take(later<CheckRequest>({ ...options, file }, each => each.check)))
}

function addResize(disk: Command, line: CommandLine): void {
  disk.command('resize')
    .summary('change a disk\'s size')
    .description('Gives a raw disk or a qcow2 another size. Partitions and file systems on it stay as they are: a guest can grow them.')
    .argument('<file>', 'the disk')
    .addOption(new Option('-s, --size <size>', 'all of it (20G), or the difference (+5G, -5G)').argParser(parseSizeChange).makeOptionMandatory())
    .option('--shrink', 'allow that the end is cut off')
    .addOption(formatOption())
    .addOption(suspendedOption())
    .action((file: string, options: Omit<ResizeRequest, 'file'>) => line.take(later<ResizeRequest>({ ...options, file }, each => each.resize)))
}

function addSnapshots(disk: Command, line: CommandLine): void {
  const snapshot = disk.command('snapshot').summary('keep states of a qcow2, and go back to them')
    .description('Internal snapshots of a qcow2 that no guest uses at the time; or of all disks of a named guest at one moment, also while it runs: '
      + 'guest:NAME stands for them. The guest agent, if there is one, has the file systems of a running guest frozen meanwhile.')
  const which = 'its file, or guest:NAME'
  const add = (action: SnapshotRequest['action'], summary: string): void => {
    snapshot.command(action).summary(summary).argument('<disk>', which).argument('<name>', action === 'create' ? 'what to call it' : 'its name; of a file also its ID')
      .addOption(suspendedOption())
      .action((file: string, name: string, options: Pick<SnapshotRequest, 'force'>) => {
        line.take(later<SnapshotRequest>({ action, file, name, ...options }, each => each.snapshot))
      })
  }
  add('create', 'keep the disk as it is')
  add('apply', 'have the disk be what it was: what it is now is lost; not of a guest that runs')
  add('delete', 'forget a state')
  snapshot.command('list').summary('the states that are kept').argument('<disk>', which).option('--json', 'for programs')
    .action((file: string, options: { readonly json?: boolean }) => {
      line.take(later<SnapshotRequest>({ action: 'list', file, name: '', ...options }, each => each.snapshot))
    })
}

function addCompact(disk: Command, line: CommandLine): void {
  disk.command('compact')
    .summary('make a disk\'s file as small as what it holds')
    .description('Writes a disk anew, without what it does not use, and puts it in its place. Needs the room for both.')
    .argument('<file>', 'the disk')
    .addOption(formatOption())
    .addOption(suspendedOption())
    .action((file: string, options: Omit<CompactRequest, 'file'>) => line.take(later<CompactRequest>({ ...options, file }, each => each.compact)))
}

function addServe(disk: Command, line: CommandLine): void {
  disk.command('serve')
    .summary('give others a disk over the network (NBD)')
    .description('Serves a disk over NBD until it is interrupted. Who can connect can read it, and write it: there are no passwords.')
    .argument('<file>', 'the disk')
    .addOption(new Option('-p, --port <number>', 'a TCP port; 0 takes a free one (default: 10809)').argParser(parsePort))
    .option('--host <address>', 'the address to listen at (default: 127.0.0.1, this computer alone)')
    .option('--socket <path>', 'a Unix socket instead')
    .addOption(new Option('--name <name>', 'what clients call it').argParser(parseExportName).default('', 'nothing'))
    .option('-r, --readonly', 'clients may only read')
    .addOption(formatOption())
    .action((file: string, options: Omit<ServeRequest, 'file'>) => {
      if (options.socket !== undefined && (options.port !== undefined || options.host !== undefined)) {
        throw cliError('USAGE', 'a disk is served at a port or at a socket: leave out one of the two')
      }
      line.take(later<ServeRequest>({ ...options, file }, each => each.serve))
    })
}
