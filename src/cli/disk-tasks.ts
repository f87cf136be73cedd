/** What `tenon disk` does, loaded when it is asked for. */
import { applySnapshot, createSnapshot, deleteSnapshot, listSnapshots, resizeDisk } from '../host/disk-files/change.ts'
import type { SizeChange } from '../host/disk-files/change.ts'
import { checkDisk } from '../host/disk-files/check.ts'
import type { RepairKind } from '../host/disk-files/check.ts'
import { compactDisk } from '../host/disk-files/compact.ts'
import { convertDisk } from '../host/disk-files/convert.ts'
import { createDescribed } from '../host/disk-files/create-described.ts'
import { createDisk } from '../host/disk-files/create.ts'
import { formatByName, formatForPath } from '../host/disk-files/formats.ts'
import type { FormatName } from '../host/disk-files/formats.ts'
import { describeDisk } from '../host/disk-files/info.ts'
import { serveDisk } from '../host/disk-files/serve.ts'
import { isDescription } from '../host/disks/disk-description.ts'
import { isNbdUri, NBD_PORT } from '../host/disks/nbd-uri.ts'
import type { NbdAddress } from '../host/disks/nbd-uri.ts'
import { checkLines, infoLines, snapshotLines } from './disk-report.ts'
import { cliError, ExitStatus } from './errors.ts'
import { guestOf, guestSnapshot } from './guest-snapshots.ts'
import { withProgress } from './progress-display.ts'
import type { Surroundings } from './surroundings.ts'
import { formatSize } from './values.ts'

interface DiskRequest {
  readonly file: string
  readonly format?: string
}

export interface CreateRequest extends DiskRequest {
  readonly size?: number
  readonly backing?: string
  readonly backingFormat?: string
  readonly thick?: boolean
  readonly clusterSize?: number
  readonly force?: boolean
}

export interface InfoRequest extends DiskRequest { readonly json?: boolean }

export interface ConvertRequest {
  readonly source: string
  readonly target: string
  readonly format?: string
  readonly sourceFormat?: string
  readonly compress?: boolean
  readonly thick?: boolean
  readonly force?: boolean
}

export interface CheckRequest extends DiskRequest {
  readonly repair?: RepairKind
  readonly force?: boolean
  readonly json?: boolean
}

export interface ResizeRequest extends DiskRequest {
  readonly size: SizeChange
  readonly shrink?: boolean
  readonly force?: boolean
}

export interface SnapshotRequest {
  readonly action: 'create' | 'list' | 'apply' | 'delete'
  readonly file: string
  readonly name: string
  readonly json?: boolean
  readonly force?: boolean
}

export interface CompactRequest extends DiskRequest { readonly force?: boolean }

export interface ServeRequest extends DiskRequest {
  readonly port?: number
  readonly host?: string
  readonly socket?: string
  readonly name: string
  readonly readonly?: boolean
}

/** Statuses of `check`, as QEMU's users know them. */
const CHECK_STATUS = { ERRORS: 2, LEAKS: 3 } as const

export async function create(request: CreateRequest, surroundings: Surroundings): Promise<number> {
  return isDescription(request.file) ? createOwnFiles(request, surroundings) : createFile(request, surroundings)
}

async function createOwnFiles({ file, size, ...options }: CreateRequest, { stderr }: Surroundings): Promise<number> {
  const unfit = Object.entries(options).find(([, value]) => value !== undefined)
  if (unfit !== undefined) throw cliError('USAGE', `${file} describes a disk, which is made as it says: leave out all but --size`)
  const bytes = await createDescribed(file, { size })
  stderr.write(`tenon: made the disk that ${file} describes: ${formatSize(bytes)}\n`)
  return ExitStatus.OK
}

async function createFile(request: CreateRequest, { stderr, quit }: Surroundings): Promise<number> {
  const { file, backing, thick, clusterSize, force } = request
  const format = formatNamed(request.format) ?? formatForPath(file)
  const size = await withProgress(stderr, progress => createDisk(file, {
    format, size: request.size, backing, backingFormat: formatNamed(request.backingFormat), thick, clusterSize, force, progress, signal: quit.signal,
  }))
  stderr.write(`tenon: made ${file}: ${format}, ${formatSize(size)}\n`)
  return ExitStatus.OK
}

export async function info({ file, format, json }: InfoRequest, { stdout }: Surroundings): Promise<number> {
  const report = await describeDisk(file, formatNamed(format))
  stdout.write(json ? jsonText(report) : infoLines(report).map(line => `${line}\n`).join(''))
  return ExitStatus.OK
}

export async function convert(request: ConvertRequest, { stderr, quit }: Surroundings): Promise<number> {
  const { source, target, compress, thick, force } = request
  const format = formatNamed(request.format) ?? (isNbdUri(target) || isDescription(target) ? 'raw' : formatForPath(target))
  const size = await withProgress(stderr, progress => convertDisk(source, target, {
    format, sourceFormat: formatNamed(request.sourceFormat), compress, thick, force, progress, signal: quit.signal,
  }))
  stderr.write(`tenon: made ${target} of ${source}: ${format}, ${formatSize(size)}\n`)
  return ExitStatus.OK
}

export async function check({ file, format, repair = 'none', json, force }: CheckRequest, { stdout, stderr, quit }: Surroundings): Promise<number> {
  const report = await withProgress(stderr, progress => checkDisk(file, repair, formatNamed(format), {
    progress, signal: quit.signal, disturbSuspended: force,
  }))
  stdout.write(json ? jsonText(report) : checkLines(report).map(line => `${line}\n`).join(''))
  if (report.errorCount > 0) return CHECK_STATUS.ERRORS
  return report.leaks > 0 ? CHECK_STATUS.LEAKS : ExitStatus.OK
}

export async function resize({ file, size, shrink, format, force }: ResizeRequest, { stderr }: Surroundings): Promise<number> {
  const { before, after } = await resizeDisk(file, size, { shrink, format: formatNamed(format), disturbSuspended: force })
  stderr.write(`tenon: ${file} has ${formatSize(after)} now, ${formatSize(before)} before\n`)
  return ExitStatus.OK
}

export async function snapshot(request: SnapshotRequest, surroundings: Surroundings): Promise<number> {
  const { action, file, name, json, force } = request
  const { stdout, stderr } = surroundings
  const guest = guestOf(file)
  if (guest !== undefined) return guestSnapshot(guest, request, surroundings)
  if (action === 'list') {
    const snapshots = await listSnapshots(file)
    stdout.write(json ? jsonText(snapshots) : snapshotLines(snapshots).map(line => `${line}\n`).join(''))
  } else if (action === 'create') {
    const { id } = await createSnapshot(file, name, force)
    stderr.write(`tenon: ${file} as it is now is its snapshot ${name}, with the ID ${id}\n`)
  } else if (action === 'apply') {
    await applySnapshot(file, name, force)
    stderr.write(`tenon: ${file} is what it was at its snapshot ${name}\n`)
  } else {
    await deleteSnapshot(file, name, force)
    stderr.write(`tenon: ${file} has no snapshot ${name} any more\n`)
  }
  return ExitStatus.OK
}

export async function compact({ file, format, force }: CompactRequest, { stderr, quit }: Surroundings): Promise<number> {
  const { before, after } = await withProgress(stderr, progress => compactDisk(file, { progress, signal: quit.signal, disturbSuspended: force }, formatNamed(format)))
  stderr.write(`tenon: ${file} takes ${formatSize(after)} now, ${formatSize(before)} before\n`)
  return ExitStatus.OK
}

export async function serve(request: ServeRequest, { stderr, quit }: Surroundings): Promise<number> {
  const { file, format, port = NBD_PORT, host = '127.0.0.1', socket, name, readonly } = request
  const address: NbdAddress = socket === undefined ? { kind: 'tcp', host, port } : { kind: 'unix', path: socket }
  await serveDisk(file, {
    address, exportName: name, readOnly: readonly, format: formatNamed(format), signal: quit.signal,
    onReady: uri => stderr.write(`tenon: ${file} is served at ${uri} (Ctrl-C ends it)\n`),
    onClient: (peer, error) => { if (error !== null) stderr.write(`tenon: ${peer} was cut off: ${error.message}\n`) },
  })
  throw quit.signal.reason
}

function formatNamed(name: string | undefined): FormatName | undefined { return name === undefined ? undefined : formatByName(name) }

function jsonText(value: unknown): string { return `${JSON.stringify(value, null, 2)}\n` }
