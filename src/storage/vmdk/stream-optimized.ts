import type { BlockNode } from '../block-node.ts'
import { isZero } from '../buffers.ts'
import { storageError } from '../errors.ts'
import { contentExtent } from '../extents.ts'
import { checkCreation, paddedDescriptor } from './create.ts'
import {
  DESCRIPTOR_SECTORS, directoryLength, ENTRIES_PER_TABLE, formatEntries, formatMarker, formatSparseHeader, GRAIN_MARKER_LENGTH, HeaderFlag,
  Marker, putU32, putU64, SECTOR, type SparseHeader,
} from './layout.ts'

export interface StreamOptions {
  /** The file's name, which its descriptor mentions. */
  readonly fileName: string
  /** See VmdkCreation. */
  readonly contentId: number
  readonly adapterType?: 'ide' | 'buslogic' | 'lsilogic'
  /** zlib (RFC 1950). */
  compress(bytes: Uint8Array): Uint8Array | Promise<Uint8Array>
  /** Takes what comes next of the file. */
  write(bytes: Uint8Array): Promise<void>
  /** Told of how far it is, in bytes of the disk. Throwing ends it. */
  progress?(done: number, total: number): void
}

const GRAIN_SECTORS = 128
const GRAIN_BYTES = GRAIN_SECTORS * SECTOR
const TABLE_BYTES = GRAIN_BYTES * ENTRIES_PER_TABLE

/**
 * Writes a disk as a stream-optimized VMDK, as appliances (OVF) have them: from start to end, never going back, so that it can go over a
 * network. The disk should not change meanwhile. Rejects as its reading and `write` do, or with DISK_OUT_OF_RANGE if it is too large.
 */
export async function writeStreamOptimizedVmdk(source: BlockNode, options: StreamOptions): Promise<void> {
  const creation = { size: source.size, contentId: options.contentId, adapterType: options.adapterType, grainSectors: GRAIN_SECTORS }
  checkCreation(options.fileName, creation)
  const header: SparseHeader = {
    version: 3, flags: HeaderFlag.NEWLINE_TEST | HeaderFlag.COMPRESSED | HeaderFlag.MARKERS, capacity: source.size / SECTOR, grainSize: GRAIN_SECTORS,
    descriptorOffset: 1, descriptorSize: DESCRIPTOR_SECTORS, rgdOffset: 0, gdOffset: null, overHead: GRAIN_SECTORS,
  }
  const stream = new SectorStream(bytes => options.write(bytes))
  const start = new Uint8Array(GRAIN_SECTORS * SECTOR)
  start.set(formatSparseHeader(header))
  start.set(paddedDescriptor(options.fileName, creation, 'streamOptimized'), SECTOR)
  await stream.write(start)
  const directory = new Uint32Array(directoryLength(header.capacity, GRAIN_SECTORS))
  for (let index = 0; index < directory.length; index++) directory[index] = await writeTable(source, index, stream, options)
  const gdOffset = await writeBehindMarker(stream, Marker.GRAIN_DIRECTORY, formatEntries(directory))
  await writeBehindMarker(stream, Marker.FOOTER, formatSparseHeader({ ...header, gdOffset }))
  await stream.write(formatMarker(Marker.END_OF_STREAM, 0))
  options.progress?.(source.size, source.size)
}

/** Writes the grains of one table, and the table. Returns its sector, or 0 if none of its grains has data. */
async function writeTable(source: BlockNode, index: number, stream: SectorStream, options: StreamOptions): Promise<number> {
  const table = new Uint32Array(ENTRIES_PER_TABLE)
  const end = Math.min(source.size, (index + 1) * TABLE_BYTES)
  for (let at = index * TABLE_BYTES; at < end;) {
    options.progress?.(at, source.size)
    const { state, length } = await contentExtent(source, at, end - at)
    if (state === 'zero' && (length >= GRAIN_BYTES || at + length === end)) {
      at = at + length === end ? end : at + Math.floor(length / GRAIN_BYTES) * GRAIN_BYTES
      continue
    }
    const grain = at / GRAIN_BYTES
    table[grain % ENTRIES_PER_TABLE] = await writeGrain(source, grain, stream, options)
    at += GRAIN_BYTES
  }
  return table.every(entry => entry === 0) ? 0 : writeBehindMarker(stream, Marker.GRAIN_TABLE, formatEntries(table))
}

/** Returns the grain's sector, or 0 for one of zeros, which is not written. What lies behind the disk's end is zeros. */
async function writeGrain(source: BlockNode, grain: number, stream: SectorStream, options: StreamOptions): Promise<number> {
  const bytes = new Uint8Array(GRAIN_BYTES)
  const offset = grain * GRAIN_BYTES
  await source.read(offset, [bytes.subarray(0, Math.min(GRAIN_BYTES, source.size - offset))])
  if (isZero(bytes)) return 0
  const compressed = await options.compress(bytes)
  const record = new Uint8Array(Math.ceil((GRAIN_MARKER_LENGTH + compressed.length) / SECTOR) * SECTOR)
  putU64(record, 0, grain * GRAIN_SECTORS)
  putU32(record, 8, compressed.length)
  record.set(compressed, GRAIN_MARKER_LENGTH)
  return stream.write(record)
}

/** Returns the sector behind the marker. */
async function writeBehindMarker(stream: SectorStream, type: number, bytes: Uint8Array): Promise<number> {
  const padded = new Uint8Array(Math.ceil(bytes.length / SECTOR) * SECTOR)
  padded.set(bytes)
  await stream.write(formatMarker(type, padded.length / SECTOR))
  return stream.write(padded)
}

/** Counts what it passes on. */
class SectorStream {
  private readonly take: (bytes: Uint8Array) => Promise<void>
  private sectors = 0

  constructor(take: (bytes: Uint8Array) => Promise<void>) { this.take = take }

  /** Whole sectors. Returns the sector where they begin. */
  async write(bytes: Uint8Array): Promise<number> {
    const sector = this.sectors
    this.sectors += bytes.length / SECTOR
    if (this.sectors > 0xffffffff) throw storageError('DISK_FULL', 'a stream-optimized VMDK cannot be larger than 2 TiB: this one would be')
    await this.take(bytes)
    return sector
  }
}
