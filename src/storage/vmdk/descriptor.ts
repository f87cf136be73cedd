/**
 * The descriptor of a VMDK: a text that says of which files the disk consists. It is hostile, like the rest: a file that it names lies in
 * its own folder, and has a name without a path.
 *
 *     # Disk DescriptorFile
 *     version=1
 *     CID=7b3c2a10                          changes with the first write after each opening
 *     parentCID=ffffffff                    no parent
 *     createType="twoGbMaxExtentSparse"
 *     RW 4192256 SPARSE "disk-s001.vmdk"    access, sectors, kind, file, and of FLAT where in it
 *     ddb.adapterType = "lsilogic"
 */
import { corrupt, unsupported } from './layout.ts'

export interface ExtentLine {
  readonly access: 'RW' | 'RDONLY'
  readonly sectors: number
  readonly kind: 'SPARSE' | 'FLAT' | 'ZERO'
  /** Empty for ZERO. */
  readonly fileName: string
  /** Sectors into the file; of FLAT only. */
  readonly offset: number
}

export interface Descriptor {
  readonly createType: string
  readonly contentId: number
  /** Null: there is no parent. */
  readonly parentContentId: number | null
  readonly parentFileNameHint: string
  readonly extents: readonly ExtentLine[]
}

const NO_PARENT = 0xffffffff
/** Each is an open file. A disk of 2 TiB in pieces of 2 GiB has half of that. */
const EXTENTS_LIMIT = 2048

export function isDescriptor(bytes: Uint8Array): boolean {
  return /^\s*#\s*Disk DescriptorFile/i.test(String.fromCharCode(...bytes.subarray(0, 64)))
}

/** Throws DISK_CORRUPT for what is none, DISK_UNSUPPORTED for kinds of extents that are not known. */
export function parseDescriptor(text: string, path: string): Descriptor {
  const fields = new Map<string, string>()
  const extents: ExtentLine[] = []
  for (const line of text.split('\0')[0].split(/\r?\n/).map(each => each.trim())) {
    const field = /^([\w.]+)\s*=\s*"?([^"]*)"?$/.exec(line)
    if (field !== null) fields.set(field[1].toLowerCase(), field[2].trim())
    else if (/^(?:RW|RDONLY|NOACCESS)\s/.test(line)) extents.push(parseExtent(line, path))
  }
  if (extents.length > EXTENTS_LIMIT) throw corrupt(path, `its descriptor names ${extents.length} extents`)
  const parent = contentIdOf(fields, 'parentcid', path) ?? NO_PARENT
  return {
    createType: fields.get('createtype') ?? '', contentId: contentIdOf(fields, 'cid', path) ?? 0,
    parentContentId: parent === NO_PARENT ? null : parent, parentFileNameHint: fields.get('parentfilenamehint') ?? '', extents,
  }
}

function contentIdOf(fields: ReadonlyMap<string, string>, name: string, path: string): number | null {
  const text = fields.get(name)
  if (text === undefined) return null
  if (!/^[0-9a-f]{1,8}$/i.test(text)) throw corrupt(path, `its ${name} "${text.slice(0, 20)}" is no number`)
  return Number.parseInt(text, 16)
}

function parseExtent(line: string, path: string): ExtentLine {
  const parts = /^(RW|RDONLY|NOACCESS)\s+(\d{1,15})\s+([A-Z]+)(?:\s+"([^"]*)"(?:\s+(\d{1,15}))?)?/.exec(line)
  if (parts === null) throw corrupt(path, `the line "${line.slice(0, 80)}" of its descriptor cannot be read`)
  const [, access, sectors, name, fileName = '', offset = '0'] = parts
  const kind = name === 'VMFS' ? 'FLAT' : name
  if (access === 'NOACCESS') throw unsupported(path, 'an extent without access')
  if (kind !== 'SPARSE' && kind !== 'FLAT' && kind !== 'ZERO') throw unsupported(path, `an extent of the kind ${kind}`)
  if (kind !== 'ZERO') checkFileName(fileName, path)
  return { access: access === 'RW' ? 'RW' : 'RDONLY', sectors: Number(sectors), kind, fileName, offset: Number(offset) }
}

function checkFileName(name: string, path: string): void {
  if (name !== '' && name !== '.' && name !== '..' && !/[/\\:\0]/.test(name)) return
  throw unsupported(path, `an extent in "${name.slice(0, 200)}", which is no file beside it`)
}

/** Throws DISK_UNSUPPORTED for a path that leads out of the disk's folder. */
export function checkParentHint(hint: string, path: string): string {
  const reference = hint.replaceAll('\\', '/')
  const leadsOut = reference.startsWith('/') || /^[a-z]:/i.test(reference) || reference.split('/').includes('..') || reference.includes('\0')
  if (reference === '') throw corrupt(path, 'it has a parent and does not name it')
  if (leadsOut) throw unsupported(path, `a parent outside of its folder, "${hint.slice(0, 200)}": name it with the disk as its backing; a parent there`)
  return reference
}

/** A descriptor's bytes with another CID. The rest stays as it is, in whatever encoding. */
export function withContentId(bytes: Uint8Array, contentId: number): Uint8Array {
  const text = Array.from(bytes, byte => String.fromCharCode(byte)).join('')
  return Uint8Array.from(text.replace(/^(\s*CID\s*=\s*)[0-9a-f]{1,8}/im, `$1${hex(contentId)}`), character => character.charCodeAt(0))
}

export interface DescriptorCreation {
  readonly createType: string
  readonly contentId: number
  readonly parent: { readonly contentId: number, readonly fileNameHint: string } | null
  readonly extents: readonly ExtentLine[]
  /** `lsilogic`, `buslogic`, `ide`. */
  readonly adapterType: string
}

export function formatDescriptor(descriptor: DescriptorCreation): string {
  const { createType, contentId, parent, extents, adapterType } = descriptor
  const sectors = extents.reduce((sum, each) => sum + each.sectors, 0)
  const [heads, sectorsPerTrack] = adapterType === 'ide' ? [16, 63] : [255, 63]
  const cylinders = Math.min(adapterType === 'ide' ? 16383 : 65535, Math.ceil(sectors / (heads * sectorsPerTrack)))
  return [
    '# Disk DescriptorFile', 'version=1', `CID=${hex(contentId)}`, `parentCID=${hex(parent?.contentId ?? NO_PARENT)}`,
    `createType="${createType}"`, ...parent === null ? [] : [`parentFileNameHint="${parent.fileNameHint}"`],
    '', '# Extent description', ...extents.map(formatExtent),
    '', '# The Disk Data Base', '#DDB', '', 'ddb.virtualHWVersion = "4"', `ddb.geometry.cylinders = "${cylinders}"`,
    `ddb.geometry.heads = "${heads}"`, `ddb.geometry.sectors = "${sectorsPerTrack}"`, `ddb.adapterType = "${adapterType}"`, '',
  ].join('\n')
}

function formatExtent({ access, sectors, kind, fileName, offset }: ExtentLine): string {
  return kind === 'FLAT' ? `${access} ${sectors} FLAT "${fileName}" ${offset}` : `${access} ${sectors} ${kind} "${fileName}"`
}

function hex(contentId: number): string { return contentId.toString(16).padStart(8, '0') }
