import { extname } from 'node:path'
import { storageError } from '../../storage/errors.ts'
import { FORMAT_ALIASES, FORMATS } from '../../storage/formats.ts'
import { isDescription, readDescriptions } from '../disks/disk-description.ts'
import type { DiskGraph } from '../disks/disk-order.ts'
import { isNbdUri } from '../disks/nbd-uri.ts'

/** Formats that disks can be made in. */
export type FormatName = 'raw' | 'qcow2' | 'vhd' | 'vmdk'

export const FORMAT_NAMES: readonly FormatName[] = ['raw', 'qcow2', 'vhd', 'vmdk']

const EXTENSIONS: Readonly<Record<string, FormatName>> = {
  '.raw': 'raw', '.img': 'raw', '.iso': 'raw', '.qcow2': 'qcow2', '.vhd': 'vhd', '.vpc': 'vhd', '.vmdk': 'vmdk',
}

/** The format that a name means: ours, or QEMU's. Throws DISK_UNSUPPORTED. */
export function formatByName(name: string): FormatName {
  const lower = name.toLowerCase()
  const own = FORMAT_ALIASES[lower] ?? lower
  const format = FORMAT_NAMES.find(each => each === own)
  if (format !== undefined) return format
  throw storageError('DISK_UNSUPPORTED', `${JSON.stringify(name)} is no format of disks: there is ${FORMATS.map(each => each.name).join(', ')}`)
}

/** The format that a new file's name suggests; qcow2 where it suggests none. */
export function formatForPath(path: string): FormatName { return EXTENSIONS[extname(path).toLowerCase()] ?? 'qcow2' }

/** The name that QEMU has for a format: what is written into the files of others. */
export function qemuName(format: string): string { return format === 'vhd' ? 'vpc' : format }

/**
 * What a user's name of a disk means: a file, or a disk over the network. `format`: as the user says; probed without it. Throws
 * DISK_UNSUPPORTED for a disk that is only described.
 */
export function graphOf(name: string, format?: FormatName): DiskGraph {
  if (isDescription(name)) {
    throw storageError('DISK_UNSUPPORTED', `${name} describes a disk of several parts, with which this cannot be done: name one of its parts`)
  }
  if (!isNbdUri(name)) return { kind: 'file', path: name, ...format === undefined ? {} : { format } }
  if (format !== undefined && format !== 'raw') throw storageError('DISK_UNSUPPORTED', `${name} is served as raw bytes, not as ${format}: leave the format out`)
  return { kind: 'nbd', uri: name }
}

/** As `graphOf`, also for a disk that a file describes. Rejects as `readDescriptions`. */
export async function describedGraphOf(name: string, format?: FormatName): Promise<DiskGraph> {
  if (!isDescription(name)) return graphOf(name, format)
  if (format !== undefined) throw storageError('DISK_UNSUPPORTED', `${name} describes a disk, which has no format: leave it out`)
  return readDescriptions({ kind: 'file', path: name })
}
