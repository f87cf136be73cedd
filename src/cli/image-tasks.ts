/** What `tenon image` does, loaded when it is asked for. */
import { writeFile } from 'node:fs/promises'
import { cacheFolder } from '../host/cache/folder.ts'
import { convertDisk } from '../host/disk-files/convert.ts'
import { formatByName, formatForPath } from '../host/disk-files/formats.ts'
import { hostError } from '../host/errors.ts'
import { inspectImages, listImages, removeImages } from '../host/images/cached-images.ts'
import { DEBIAN_IMAGE_NAMES } from '../host/images/debian/names.ts'
import { importDisk as takeDisk } from '../host/images/disks/import.ts'
import { DiskImageStore } from '../host/images/disks/store.ts'
import { cliError, ExitStatus } from './errors.ts'
import { imageLines, imageTable } from './image-report.ts'
import { prepareDiskImage } from './prepare-image.ts'
import { withProgress } from './progress-display.ts'
import type { Surroundings } from './surroundings.ts'
import { formatSize } from './values.ts'

export interface ListRequest { readonly json?: boolean }

export interface BuildRequest {
  readonly file: string
  readonly refresh?: boolean
  readonly verbose?: boolean
  readonly mirror?: string
}

export interface ImportRequest {
  readonly disk: string
  readonly name: string
  readonly kernel?: string
  readonly initrd?: string
  readonly append?: string
  readonly format?: string
  readonly force?: boolean
}

export interface ExportRequest {
  readonly name: string
  readonly file: string
  readonly format?: string
  readonly kernel?: string
  readonly force?: boolean
}

export interface RemoveRequest { readonly names: readonly string[] }

export interface InspectRequest {
  readonly name: string
  readonly json?: boolean
  readonly packages?: boolean
}

export async function list({ json }: ListRequest, { stdout, environment }: Surroundings): Promise<number> {
  const images = await listImages(cacheFolder(environment))
  stdout.write(json ? `${JSON.stringify(images, null, 2)}\n` : linesOf(imageTable(images)))
  return ExitStatus.OK
}

export async function build({ file, ...options }: BuildRequest, surroundings: Surroundings): Promise<number> {
  const { name } = await prepareDiskImage(file, options, surroundings)
  surroundings.stderr.write(`tenon: ${name} is there: tenon run ${name.includes(':') ? name : file}\n`)
  return ExitStatus.OK
}

export async function importDisk({ disk, name, format, ...options }: ImportRequest, { stderr, environment, quit }: Surroundings): Promise<number> {
  const image = await withProgress(stderr, progress => takeDisk(name, disk, {
    ...options, format: format === undefined ? undefined : formatByName(format), cache: cacheFolder(environment), reserved: DEBIAN_IMAGE_NAMES, progress, signal: quit.signal,
  }))
  stderr.write(`tenon: ${name} is there, and boots with ${image.commandLine}: tenon run ${name}\n`)
  return ExitStatus.OK
}

export async function exportImage({ name, file, kernel, force, ...options }: ExportRequest, { stderr, environment, quit }: Surroundings): Promise<number> {
  const store = new DiskImageStore(cacheFolder(environment))
  const [stored] = await store.find(name)
  const image = stored && await store.load(stored.folder)
  if (image === undefined) throw hostError('IMAGE_UNKNOWN', `there is no image ${JSON.stringify(name)} with a disk in the cache: see tenon image ls, and tenon image pull`)
  const format = options.format === undefined ? formatForPath(file) : formatByName(options.format)
  const size = await withProgress(stderr, progress => convertDisk(image.diskPath, file, {
    format, sourceFormat: 'raw', compress: format === 'qcow2', force, progress, signal: quit.signal,
  }))
  if (kernel !== undefined) await writeNew(kernel, image.kernel, force)
  stderr.write(`tenon: made ${file} of ${name}: ${format}, ${formatSize(size)}; it boots with ${image.commandLine}\n`)
  return ExitStatus.OK
}

async function writeNew(path: string, bytes: Uint8Array, force = false): Promise<void> {
  await writeFile(path, bytes, { flag: force ? 'w' : 'wx' }).catch((error: NodeJS.ErrnoException) => {
    const why = error.code === 'EEXIST' ? 'it is there already: choose another name, or replace it with --force' : error.code ?? error.message
    throw cliError('OUTPUT_FAILED', `the kernel cannot be written to ${path}: ${why}`, error)
  })
}

export async function remove({ names }: RemoveRequest, { stderr, environment }: Surroundings): Promise<number> {
  for (const name of names) {
    for (const each of await removeImages(name, cacheFolder(environment))) {
      const rest = each.isShared ? '; guests that were made of it keep its disk' : ''
      stderr.write(`tenon: removed the image ${each.name}${each.id === '' ? '' : ` (${each.id})`}${rest}\n`)
    }
  }
  return ExitStatus.OK
}

export async function inspect({ name, json, packages = false }: InspectRequest, { stdout, environment }: Surroundings): Promise<number> {
  const images = await inspectImages(name, cacheFolder(environment))
  stdout.write(json ? `${JSON.stringify(images, null, 2)}\n` : linesOf(images.flatMap(image => imageLines(image, packages))))
  return ExitStatus.OK
}

function linesOf(lines: readonly string[]): string { return lines.map(line => `${line}\n`).join('') }
