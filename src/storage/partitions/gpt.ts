/**
 * GUID partition tables. Source: UEFI 2.10 §5.3. Little-endian; blocks are those of the disk, 512 or 4096 bytes.
 *
 *   block 0              protective MBR (mbr.ts)
 *   block 1              header; the last block has a second one
 *   block 2 …            entries; a second copy stands before the second header
 *
 *   header   0 "EFI PART", 8 revision u32, 12 size u32, 16 CRC-32 of it u32, 24 own block u64, 32 the other header's u64,
 *            40 first and 48 last block for partitions u64, 56 GUID of the disk, 72 block of the entries u64, 80 entries u32,
 *            84 size of one u32, 88 CRC-32 of all entries u32
 *   entry    0 type GUID (zero: unused), 16 GUID, 32 first and 40 last block u64, 48 attributes u64, 56 name (36 UTF-16 characters)
 */
import { crc32 } from '../../base/crc32.ts'
import { storageError } from '../errors.ts'
import { decodeGuid, encodeGuid, GUID_SIZE } from './guid.ts'
import type { Partition } from './partition.ts'

const SIGNATURE = 'EFI PART'
const REVISION = 0x00010000
export const HEADER_SIZE = 92
const HEADER_CHECKSUM = 16
export const ENTRY_SIZE = 128
export const NAME_LENGTH = 36
/** What the specification wants at least, and everybody has. */
export const ENTRIES = 128
/** More is not read: 4096 of the usual size. */
const LARGEST_TABLE = 512 * 1024
const UNUSED = '00000000-0000-0000-0000-000000000000'

export interface GptHeader {
  readonly block: number
  readonly otherBlock: number
  readonly firstUsable: number
  readonly lastUsable: number
  readonly guid: string
  readonly entriesBlock: number
  readonly entries: number
  readonly entrySize: number
  /** CRC-32. */
  readonly entriesChecksum: number
}

export function encodeHeader(header: GptHeader, blockSize: number): Uint8Array {
  const bytes = new Uint8Array(blockSize)
  const view = new DataView(bytes.buffer)
  for (let at = 0; at < SIGNATURE.length; at++) bytes[at] = SIGNATURE.charCodeAt(at)
  const longs = [[24, header.block], [32, header.otherBlock], [40, header.firstUsable], [48, header.lastUsable], [72, header.entriesBlock]]
  for (const [offset, value] of longs) view.setBigUint64(offset, BigInt(value), true)
  const words = [[8, REVISION], [12, HEADER_SIZE], [80, header.entries], [84, header.entrySize], [88, header.entriesChecksum]]
  for (const [offset, value] of words) view.setUint32(offset, value, true)
  bytes.set(encodeGuid(header.guid), 56)
  view.setUint32(HEADER_CHECKSUM, crc32(bytes.subarray(0, HEADER_SIZE)), true)
  return bytes
}

/** The header in a disk's block, or undefined if there is none that is intact. `blocks` are the disk's. */
export function decodeHeader(bytes: Uint8Array, block: number, blocks: number): GptHeader | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const isSigned = [...SIGNATURE].every((character, at) => bytes[at] === character.charCodeAt(0))
  const size = isSigned ? view.getUint32(12, true) : 0
  if (size < HEADER_SIZE || size > bytes.length || !hasChecksum(bytes.subarray(0, size))) return undefined
  const [entries, entrySize, entriesChecksum] = [80, 84, 88].map(offset => view.getUint32(offset, true))
  const [own, otherBlock, firstUsable, lastUsable, entriesBlock] = [24, 32, 40, 48, 72].map(offset => readLong(view, offset))
  const isPossible = own === block && firstUsable <= lastUsable + 1 && lastUsable < blocks && entriesBlock > 0 && entriesBlock < blocks
  const hasTable = entrySize >= ENTRY_SIZE && entrySize % 8 === 0 && entries * entrySize <= LARGEST_TABLE
  if (!isPossible || !hasTable) return undefined
  const guid = decodeGuid(bytes.subarray(56))
  return { block, otherBlock, firstUsable, lastUsable, guid, entriesBlock, entries, entrySize, entriesChecksum }
}

/** Above 2^53 a number is not exact, and larger than every disk in any case. */
function readLong(view: DataView, offset: number): number {
  return Number(view.getBigUint64(offset, true))
}

function hasChecksum(header: Uint8Array): boolean {
  const copy = header.slice()
  copy.fill(0, HEADER_CHECKSUM, HEADER_CHECKSUM + 4)
  const view = new DataView(header.buffer, header.byteOffset)
  return crc32(copy) === view.getUint32(HEADER_CHECKSUM, true)
}

/** The table of entries, `ENTRIES` of them. */
export function encodeEntries(partitions: readonly Partition[], blockSize: number): Uint8Array {
  const bytes = new Uint8Array(ENTRIES * ENTRY_SIZE)
  for (const { number, type, guid, offset, size, name, attributes } of partitions) {
    const at = (number - 1) * ENTRY_SIZE
    const view = new DataView(bytes.buffer, at, ENTRY_SIZE)
    bytes.set(encodeGuid(type), at)
    bytes.set(encodeGuid(guid), at + GUID_SIZE)
    view.setBigUint64(32, BigInt(offset / blockSize), true)
    view.setBigUint64(40, BigInt((offset + size) / blockSize - 1), true)
    view.setBigUint64(48, attributes, true)
    for (let index = 0; index < name.length; index++) view.setUint16(56 + index * 2, name.charCodeAt(index), true)
  }
  return bytes
}

/** @throws TenonError DISK_CORRUPT: a partition outside of the disk, or over another */
export function decodeEntries(bytes: Uint8Array, header: GptHeader, blockSize: number): Partition[] {
  const { firstUsable, lastUsable, entries, entrySize } = header
  const partitions: Partition[] = []
  for (let index = 0; index < entries; index++) {
    const entry = bytes.subarray(index * entrySize, (index + 1) * entrySize)
    if (decodeGuid(entry) === UNUSED) continue
    const view = new DataView(entry.buffer, entry.byteOffset, ENTRY_SIZE)
    const [first, last] = [readLong(view, 32), readLong(view, 40)]
    if (first < firstUsable || last > lastUsable || first > last) throw outside(index + 1)
    partitions.push({
      number: index + 1, type: decodeGuid(entry), guid: decodeGuid(entry.subarray(GUID_SIZE)), offset: first * blockSize,
      size: (last + 1 - first) * blockSize, name: decodeName(view), attributes: view.getBigUint64(48, true),
    })
  }
  checkOverlaps(partitions)
  return partitions
}

function decodeName(view: DataView): string {
  const codes = Array.from({ length: NAME_LENGTH }, (_, index) => view.getUint16(56 + index * 2, true))
  return String.fromCharCode(...codes.slice(0, [...codes, 0].indexOf(0)))
}

function outside(number: number): Error {
  return storageError('DISK_CORRUPT', `partition ${number} is not inside the disk: its partition table is damaged`)
}

/** @throws TenonError DISK_CORRUPT */
export function checkOverlaps(partitions: readonly Partition[]): void {
  const sorted = partitions.toSorted((a, b) => a.offset - b.offset)
  sorted.slice(1).forEach((after, index) => {
    const before = sorted[index]
    if (before.offset + before.size <= after.offset) return
    throw storageError('DISK_CORRUPT', `partitions ${before.number} and ${after.number} overlap: the disk's partition table is damaged`)
  })
}
