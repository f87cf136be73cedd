import { Option } from 'commander'
import type { Command } from 'commander'
import { isDefinitionPath } from '../../host/images/debian/names.ts'
import { isImageName } from '../../host/images/disks/names.ts'
import { cliError } from '../errors.ts'
import type * as tasks from '../image-tasks.ts'
import type { BuildRequest, ExportRequest, ImportRequest, InspectRequest, ListRequest, RemoveRequest } from '../image-tasks.ts'
import { mirrorOption } from '../options.ts'
import { task } from '../task.ts'
import type { AddCommand, CommandLine, Task } from '../task.ts'
import { addPullTo } from './pull.ts'

const EXAMPLES = `
Examples:
  tenon image ls
  tenon image build web.yaml                               a definition of your own: see debian-12.yaml
  tenon image import debian-12-genericcloud-amd64.qcow2 --name cloud:12
  tenon run --memory 1G cloud:12
  tenon image export debian:12 debian.qcow2`

type Tasks = typeof tasks

export const addImage: AddCommand = (program, line) => {
  const image = program.command('image').summary('what guests are made of: list, build, import and export images')
    .description('Images are kept in the cache (TENON_CACHE). Guests that were made of one keep their disks when it is removed or replaced.')
    .addHelpText('after', EXAMPLES)
  addLs(image, line)
  addPullTo(image, line)
  addBuild(image, line)
  addImport(image, line)
  addExport(image, line)
  addRm(image, line)
  addInspect(image, line)
}

function later<Request>(request: Request, perform: (tasks: Tasks) => (request: Request, surroundings: Parameters<Task['perform']>[0]) => Promise<number>): Task {
  return task(request, async (asked, surroundings) => perform(await import('../image-tasks.ts'))(asked, surroundings))
}

function addLs(image: Command, line: CommandLine): void {
  image.command('ls').summary('the images that there are').option('--json', 'for programs')
    .action((options: ListRequest) => line.take(later<ListRequest>(options, each => each.list)))
}

function addBuild(image: Command, line: CommandLine): void {
  image.command('build')
    .summary('build an image by a definition')
    .description('Builds an image from Debian\'s packages as a definition says; does nothing if it is there. Afterwards it can be run by its name.')
    .argument('<file>', 'the definition, .yaml')
    .option('--refresh', 'build it anew, of the newest packages')
    .option('-v, --verbose', 'show on stderr what the guest that configures it says')
    .addOption(mirrorOption())
    .action((file: string, options: Omit<BuildRequest, 'file'>) => {
      if (!isDefinitionPath(file)) throw cliError('USAGE', `${JSON.stringify(file)} is no definition: its name ends with .yaml`)
      line.take(later<BuildRequest>({ ...options, file }, each => each.build))
    })
}

function addImport(image: Command, line: CommandLine): void {
  image.command('import')
    .summary('make an image of a disk')
    .description('Takes a disk of any format into the cache. The newest kernel in its /boot is what guests of it boot.')
    .argument('<disk>', 'a disk with a Linux on ext4, or nbd://host/name')
    .addOption(new Option('--name <name>', 'what to call it, such as web:1').makeOptionMandatory().argParser(parseImageName))
    .option('--kernel <file>', 'boot this kernel instead')
    .option('--initrd <file>', 'with this initial RAM disk')
    .option('--append <text>', 'more for its kernel\'s command line')
    .option('-f, --format <name>', 'the disk\'s format, which is probed otherwise: raw, qcow2, vhd or vmdk')
    .option('--force', 'replace an image of this name')
    .action((disk: string, options: Omit<ImportRequest, 'disk'>) => line.take(later<ImportRequest>({ ...options, disk }, each => each.importDisk)))
}

function parseImageName(text: string): string {
  if (isImageName(text)) return text
  throw cliError('USAGE', `--name ${JSON.stringify(text)} is no name for an image: write NAME:VERSION in lower-case letters, such as web:1`)
}

function addExport(image: Command, line: CommandLine): void {
  image.command('export')
    .summary('copy an image\'s disk to a file')
    .description('Copies an image\'s disk: compressed, unless --format says another format than qcow2. It has no boot loader; --kernel writes what boots it.')
    .argument('<name>', 'the image')
    .argument('<file>', 'the new disk')
    .option('-f, --format <name>', 'its format: raw, qcow2, vhd or vmdk (default: as its name says, or qcow2)')
    .option('--kernel <file>', 'write the kernel to this file')
    .option('--force', 'replace files that are there')
    .action((name: string, file: string, options: Omit<ExportRequest, 'name' | 'file'>) => {
      line.take(later<ExportRequest>({ ...options, name, file }, each => each.exportImage))
    })
}

function addRm(image: Command, line: CommandLine): void {
  image.command('rm').summary('remove images from the cache').argument('<names...>', 'names, or IDs as ls shows them')
    .action((names: string[]) => line.take(later<RemoveRequest>({ names }, each => each.remove)))
}

function addInspect(image: Command, line: CommandLine): void {
  image.command('inspect').summary('what an image is made of').argument('<name>', 'its name, or its ID').option('--json', 'for programs: with definition and packages')
    .option('--packages', 'list the packages')
    .action((name: string, options: Omit<InspectRequest, 'name'>) => line.take(later<InspectRequest>({ ...options, name }, each => each.inspect)))
}
