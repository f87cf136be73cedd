/**
 * VMware virtual disks: layout. Specification: VMware, Virtual Disk Format 1.1 (2007) and 5.0 (2011), "Hosted Sparse Extents" and
 * "Stream-Optimized Compressed Sparse Extents". All numbers are little-endian, offsets are in sectors of 512 bytes, field names are the
 * specification's.
 *
 *   sparse              SparseExtentHeader, descriptor, redundant grain directory and tables, grain directory, grain tables, grains
 *   stream-optimized    SparseExtentHeader, descriptor, { grain marker, grain }, tables behind their markers, directory, footer, end
 *
 * The directory's entries are the sectors of grain tables; a table's 512 entries are those of grains: 0 is a grain that is not there
 * (the parent's, or zeros), 1 one of zeros, where the header allows it.
 *
 * Left out: ESX server's formats (COWD, SESPARSE), raw device mappings, tables of other than 512 entries.
 */
import { storageError } from '../errors.ts'

export const SECTOR = 512
export const HEADER_LENGTH = 512
export const ENTRIES_PER_TABLE = 512
export const TABLE_SECTORS = ENTRIES_PER_TABLE * 4 / SECTOR
export const DEFAULT_GRAIN_SECTORS = 128
export const DESCRIPTOR_SECTORS = 20
export const ZEROED_GRAIN = 1

const MAGIC = 0x564d444b
const COWD_MAGIC = 0x44574f43
/** In place of gdOffset: the footer has it. */
const DIRECTORY_AT_END = 0xffffffff
const LARGEST_GRAIN_SECTORS = 32768
const LARGEST_DESCRIPTOR_SECTORS = 2048
/** Directory entries that are kept in memory, at most: 16 MiB. */
const DIRECTORY_LIMIT = 4 << 20

export const HeaderFlag = { NEWLINE_TEST: 1, REDUNDANT_TABLE: 2, ZEROED_GRAINS: 4, COMPRESSED: 1 << 16, MARKERS: 1 << 17 } as const

export const Marker = { END_OF_STREAM: 0, GRAIN_TABLE: 1, GRAIN_DIRECTORY: 2, FOOTER: 3 } as const

/** Bytes before the data of a compressed grain: its first sector as 64 bits, its length as 32. */
export const GRAIN_MARKER_LENGTH = 12

export interface SparseHeader {
  readonly version: number
  /** HeaderFlag. */
  readonly flags: number
  /** Sectors. */
  readonly capacity: number
  readonly grainSize: number
  readonly descriptorOffset: number
  readonly descriptorSize: number
  readonly rgdOffset: number
  /** Null: in the footer. */
  readonly gdOffset: number | null
  readonly overHead: number
}

export function isSparseExtent(bytes: Uint8Array): boolean { return bytes.length >= 4 && u32(bytes, 0) === MAGIC }

export function isServerSparse(bytes: Uint8Array): boolean { return bytes.length >= 4 && u32(bytes, 0) === COWD_MAGIC }

/** The header in 512 bytes. Throws DISK_CORRUPT or DISK_UNSUPPORTED for what cannot be used. */
export function parseSparseHeader(bytes: Uint8Array, path: string): SparseHeader {
  if (!isSparseExtent(bytes)) throw corrupt(path, 'its header is none')
  const [version, flags] = [u32(bytes, 4), u32(bytes, 8)]
  if (version < 1 || version > 3) throw unsupported(path, `version ${version} of the format`)
  if (u32(bytes, 44) !== ENTRIES_PER_TABLE) throw unsupported(path, `grain tables of ${u32(bytes, 44)} entries`)
  const isCompressed = (flags & HeaderFlag.COMPRESSED) !== 0
  if (isCompressed && (u16(bytes, 77) !== 1 || (flags & HeaderFlag.MARKERS) === 0)) throw unsupported(path, 'this kind of compression')
  if ((flags & HeaderFlag.NEWLINE_TEST) !== 0 && ascii(bytes, 73, 4) !== '\n \r\n') throw corrupt(path, 'it was transferred as text')
  const header = {
    version, flags, capacity: u64(bytes, 12), grainSize: u64(bytes, 20), descriptorOffset: u64(bytes, 28), descriptorSize: u64(bytes, 36),
    rgdOffset: u64(bytes, 48), gdOffset: u32(bytes, 60) === DIRECTORY_AT_END ? null : u64(bytes, 56), overHead: u64(bytes, 64),
  }
  checkHeader(header, path)
  return header
}

function checkHeader({ capacity, grainSize, descriptorSize }: SparseHeader, path: string): void {
  if (!Number.isSafeInteger(capacity * SECTOR)) throw corrupt(path, 'it is larger than disks can be')
  if (grainSize < 1 || !Number.isInteger(Math.log2(grainSize))) throw corrupt(path, `its grains have ${grainSize} sectors, which is no power of two`)
  if (grainSize > LARGEST_GRAIN_SECTORS) throw unsupported(path, `grains of ${grainSize} sectors`)
  if (directoryLength(capacity, grainSize) > DIRECTORY_LIMIT) throw unsupported(path, `${capacity} sectors in grains of ${grainSize}: too many`)
  if (descriptorSize > LARGEST_DESCRIPTOR_SECTORS) throw corrupt(path, `its descriptor has ${descriptorSize} sectors`)
}

/** The header's 512 bytes. */
export function formatSparseHeader(header: SparseHeader): Uint8Array {
  const bytes = new Uint8Array(HEADER_LENGTH)
  putU32(bytes, 0, MAGIC)
  putU32(bytes, 4, header.version)
  putU32(bytes, 8, header.flags)
  const fields = [header.capacity, header.grainSize, header.descriptorOffset, header.descriptorSize]
  fields.forEach((value, index) => putU64(bytes, 12 + index * 8, value))
  putU32(bytes, 44, ENTRIES_PER_TABLE)
  putU64(bytes, 48, header.rgdOffset)
  if (header.gdOffset === null) bytes.fill(0xff, 56, 64)
  else putU64(bytes, 56, header.gdOffset)
  putU64(bytes, 64, header.overHead)
  bytes.set([0x0a, 0x20, 0x0d, 0x0a], 73)
  bytes[77] = (header.flags & HeaderFlag.COMPRESSED) === 0 ? 0 : 1
  return bytes
}

/** A marker's sector: what follows it and how long that is, in sectors. */
export function formatMarker(type: number, sectors: number): Uint8Array {
  const bytes = new Uint8Array(SECTOR)
  putU64(bytes, 0, sectors)
  putU32(bytes, 12, type)
  return bytes
}

/** Whether a sector is a marker of this type. */
export function isMarker(bytes: Uint8Array, type: number): boolean { return u32(bytes, 8) === 0 && u32(bytes, 12) === type }

/** Grain tables of an extent. */
export function directoryLength(capacity: number, grainSize: number): number { return Math.ceil(capacity / (grainSize * ENTRIES_PER_TABLE)) }

/** Numbers of 32 bits, as in directories and tables. */
export function parseEntries(bytes: Uint8Array): Uint32Array {
  return Uint32Array.from({ length: bytes.length >>> 2 }, (_, index) => u32(bytes, index * 4))
}

export function formatEntries(entries: ArrayLike<number>): Uint8Array {
  const bytes = new Uint8Array(entries.length * 4)
  for (let index = 0; index < entries.length; index++) putU32(bytes, index * 4, entries[index])
  return bytes
}

export function corrupt(path: string, what: string): Error { return storageError('DISK_CORRUPT', `${path} is damaged: ${what}`) }

export function unsupported(path: string, what: string): Error { return storageError('DISK_UNSUPPORTED', `${path} has ${what}, which is not supported`) }

function ascii(bytes: Uint8Array, at: number, length: number): string { return String.fromCharCode(...bytes.subarray(at, at + length)) }

function u16(bytes: Uint8Array, at: number): number { return bytes[at] | bytes[at + 1] << 8 }

export function u32(bytes: Uint8Array, at: number): number {
  return (bytes[at] | bytes[at + 1] << 8 | bytes[at + 2] << 16 | bytes[at + 3] << 24) >>> 0
}

/** Exact up to 2^53, and beyond only large. */
export function u64(bytes: Uint8Array, at: number): number { return u32(bytes, at + 4) * 2 ** 32 + u32(bytes, at) }

export function putU32(bytes: Uint8Array, at: number, value: number): void {
  bytes.set([value & 0xff, value >>> 8 & 0xff, value >>> 16 & 0xff, value >>> 24], at)
}

export function putU64(bytes: Uint8Array, at: number, value: number): void {
  putU32(bytes, at, value % 2 ** 32)
  putU32(bytes, at + 4, Math.floor(value / 2 ** 32))
}
