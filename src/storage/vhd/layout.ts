/**
 * Virtual hard disks: layout. Specification: Microsoft, Virtual Hard Disk Image Format Specification, version 1.0 (2006). All numbers
 * are big-endian, field names are the specification's.
 *
 *   fixed                      data, footer
 *   dynamic, differencing      copy of the footer, dynamic disk header, block allocation table (BAT), parent locators, blocks, footer
 *   block                      sector bitmap (whole sectors), data of Block Size bytes
 *
 * A BAT entry is the sector at which a block's bitmap starts, or 0xffffffff. A bit of the bitmap, the highest of a byte first, says that
 * the sector is in the block; if not, it is the parent's, or zeros in a dynamic disk.
 *
 * Left out: footers of 511 bytes (before Virtual PC 2004), Macintosh parent locators, saved states.
 */
import { storageError } from '../errors.ts'

export const SECTOR = 512
export const FOOTER_LENGTH = 512
export const HEADER_LENGTH = 1024
export const UNUSED_BLOCK = 0xffffffff
export const DEFAULT_BLOCK_SIZE = 2 << 20
/** What BAT entries can reach, less what the rest takes: the limit of every other program, too. */
export const MAXIMUM_SIZE = 2040 * 2 ** 30
/** Bytes from 1 January 1970 to 2000, in seconds: timestamps count from the latter. */
const EPOCH_2000 = 946_684_800

export const DiskType = { FIXED: 2, DYNAMIC: 3, DIFFERENCING: 4 } as const

export interface Footer {
  /** Where the dynamic disk header is; of no meaning in a fixed disk. */
  readonly dataOffset: number
  /** Seconds since 2000, of the disk's making. */
  readonly timeStamp: number
  /** Bytes. */
  readonly currentSize: number
  /** DiskType. */
  readonly diskType: number
  /** 16 bytes. */
  readonly uniqueId: Uint8Array
}

export interface ParentLocator {
  /** Four characters: W2ru is a relative path in UTF-16, W2ku an absolute one. */
  readonly platformCode: string
  readonly dataLength: number
  readonly dataOffset: number
}

export interface DynamicHeader {
  readonly tableOffset: number
  readonly maxTableEntries: number
  readonly blockSize: number
  readonly parentUniqueId: Uint8Array
  readonly parentTimeStamp: number
  readonly parentUnicodeName: string
  readonly parentLocators: readonly ParentLocator[]
}

const FOOTER_COOKIE = 'conectix'
const HEADER_COOKIE = 'cxsparse'
const FOOTER_CHECKSUM = 64
const HEADER_CHECKSUM = 36
const VERSION_1 = 0x00010000
const LOCATORS = 8

/** Seconds since 1970 as a timestamp. */
export function toTimeStamp(seconds: number): number { return Math.max(0, Math.min(0xffffffff, Math.floor(seconds) - EPOCH_2000)) }

/** Whether a footer starts here, to judge by its cookie. */
export function isFooter(bytes: Uint8Array): boolean { return bytes.length >= FOOTER_LENGTH && ascii(bytes, 0, 8) === FOOTER_COOKIE }

/** The footer in 512 bytes, or null if they are none, or a damaged one. */
export function parseFooter(bytes: Uint8Array): Footer | null {
  if (!isFooter(bytes) || checksum(bytes.subarray(0, FOOTER_LENGTH), FOOTER_CHECKSUM) !== u32(bytes, FOOTER_CHECKSUM)) return null
  return {
    dataOffset: u64(bytes, 16), timeStamp: u32(bytes, 24), currentSize: u64(bytes, 48), diskType: u32(bytes, 60), uniqueId: bytes.slice(68, 84),
  }
}

/** The footer's 512 bytes. */
export function formatFooter(footer: Footer): Uint8Array {
  const bytes = new Uint8Array(FOOTER_LENGTH)
  putAscii(bytes, 0, FOOTER_COOKIE)
  putU32(bytes, 8, 2)
  putU32(bytes, 12, VERSION_1)
  if (footer.diskType === DiskType.FIXED) bytes.fill(0xff, 16, 24)
  else putU64(bytes, 16, footer.dataOffset)
  putU32(bytes, 24, footer.timeStamp)
  // Other programs take the size from the geometry, unless they know the creator as one whose Current Size counts, as it does here.
  putAscii(bytes, 28, 'win ')
  putU32(bytes, 32, 0x000a0000)
  putAscii(bytes, 36, 'Wi2k')
  putU64(bytes, 40, footer.currentSize)
  putU64(bytes, 48, footer.currentSize)
  putGeometry(bytes, 56, footer.currentSize / SECTOR)
  putU32(bytes, 60, footer.diskType)
  bytes.set(footer.uniqueId, 68)
  putU32(bytes, FOOTER_CHECKSUM, checksum(bytes, FOOTER_CHECKSUM))
  return bytes
}

/** The header in 1,024 bytes. Throws DISK_CORRUPT if they are none. */
export function parseHeader(bytes: Uint8Array, path: string): DynamicHeader {
  if (ascii(bytes, 0, 8) !== HEADER_COOKIE || checksum(bytes, HEADER_CHECKSUM) !== u32(bytes, HEADER_CHECKSUM)) {
    throw storageError('DISK_CORRUPT', `${path}: the dynamic disk header is damaged`)
  }
  if (u32(bytes, 24) >>> 16 !== VERSION_1 >>> 16) throw storageError('DISK_UNSUPPORTED', `${path}: its dynamic disk header has an unknown version`)
  return {
    tableOffset: u64(bytes, 16), maxTableEntries: u32(bytes, 28), blockSize: u32(bytes, 32), parentUniqueId: bytes.slice(40, 56),
    parentTimeStamp: u32(bytes, 56), parentUnicodeName: utf16(bytes.subarray(64, 576), false), parentLocators: parseLocators(bytes),
  }
}

function parseLocators(bytes: Uint8Array): ParentLocator[] {
  return Array.from({ length: LOCATORS }, (_, index) => 576 + index * 24)
    .map(at => ({ platformCode: ascii(bytes, at, 4), dataLength: u32(bytes, at + 8), dataOffset: u64(bytes, at + 16) }))
    .filter(({ platformCode }) => platformCode !== '\0\0\0\0')
}

/** The header's 1,024 bytes. */
export function formatHeader(header: DynamicHeader): Uint8Array {
  const bytes = new Uint8Array(HEADER_LENGTH)
  putAscii(bytes, 0, HEADER_COOKIE)
  bytes.fill(0xff, 8, 16)
  putU64(bytes, 16, header.tableOffset)
  putU32(bytes, 24, VERSION_1)
  putU32(bytes, 28, header.maxTableEntries)
  putU32(bytes, 32, header.blockSize)
  bytes.set(header.parentUniqueId, 40)
  putU32(bytes, 56, header.parentTimeStamp)
  bytes.set(fromUtf16(header.parentUnicodeName.slice(0, 255), false), 64)
  for (const [index, { platformCode, dataLength, dataOffset }] of header.parentLocators.entries()) {
    const at = 576 + index * 24
    putAscii(bytes, at, platformCode)
    putU32(bytes, at + 4, Math.ceil(dataLength / SECTOR) * SECTOR)
    putU32(bytes, at + 8, dataLength)
    putU64(bytes, at + 16, dataOffset)
  }
  putU32(bytes, HEADER_CHECKSUM, checksum(bytes, HEADER_CHECKSUM))
  return bytes
}

/** Sum of all bytes but the checksum's own, complemented. */
function checksum(bytes: Uint8Array, at: number): number {
  let sum = 0
  for (let index = 0; index < bytes.length; index++) if (index < at || index >= at + 4) sum += bytes[index]
  return ~sum >>> 0
}

/** Cylinders, heads and sectors per track: the specification's appendix. */
function putGeometry(bytes: Uint8Array, at: number, sectors: number): void {
  const total = Math.min(sectors, 65535 * 16 * 255)
  let [sectorsPerTrack, heads] = [17, 0]
  let tracks = Math.floor(total / sectorsPerTrack)
  if (total >= 65535 * 16 * 63) [sectorsPerTrack, heads, tracks] = [255, 16, Math.floor(total / 255)]
  else {
    heads = Math.max(4, Math.floor((tracks + 1023) / 1024))
    if (tracks >= heads * 1024 || heads > 16) [sectorsPerTrack, heads, tracks] = [31, 16, Math.floor(total / 31)]
    if (tracks >= heads * 1024) [sectorsPerTrack, heads, tracks] = [63, 16, Math.floor(total / 63)]
  }
  const cylinders = Math.floor(tracks / heads)
  bytes.set([cylinders >>> 8, cylinders & 0xff, heads, sectorsPerTrack], at)
}

/** UTF-16 up to the first NUL. */
export function utf16(bytes: Uint8Array, isLittleEndian: boolean): string {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const units = Array.from({ length: bytes.length >>> 1 }, (_, index) => view.getUint16(index * 2, isLittleEndian))
  const end = units.indexOf(0)
  return String.fromCharCode(...end < 0 ? units : units.slice(0, end))
}

export function fromUtf16(text: string, isLittleEndian: boolean): Uint8Array {
  const bytes = new Uint8Array(text.length * 2)
  const view = new DataView(bytes.buffer)
  for (let index = 0; index < text.length; index++) view.setUint16(index * 2, text.charCodeAt(index), isLittleEndian)
  return bytes
}

function ascii(bytes: Uint8Array, at: number, length: number): string { return String.fromCharCode(...bytes.subarray(at, at + length)) }

function putAscii(bytes: Uint8Array, at: number, text: string): void {
  for (let index = 0; index < text.length; index++) bytes[at + index] = text.charCodeAt(index)
}

export function u32(bytes: Uint8Array, at: number): number {
  return (bytes[at] << 24 | bytes[at + 1] << 16 | bytes[at + 2] << 8 | bytes[at + 3]) >>> 0
}

export function putU32(bytes: Uint8Array, at: number, value: number): void {
  bytes.set([value >>> 24, value >>> 16 & 0xff, value >>> 8 & 0xff, value & 0xff], at)
}

/** Exact up to 2^53, and beyond only large. */
function u64(bytes: Uint8Array, at: number): number { return u32(bytes, at) * 2 ** 32 + u32(bytes, at + 4) }

function putU64(bytes: Uint8Array, at: number, value: number): void {
  putU32(bytes, at, Math.floor(value / 2 ** 32))
  putU32(bytes, at + 4, value % 2 ** 32)
}
