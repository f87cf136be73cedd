/**
 * The qcow2 header and its extensions (QEMU docs/interop/qcow2.txt, sections "Header" and "Header extensions"). All numbers are
 * big-endian; version 2 ends at byte 72.
 *
 * | byte | field | byte | field |
 * |---|---|---|---|
 * | 0 | magic, "QFI\xfb" | 48 | refcount_table_offset |
 * | 4 | version, 2 or 3 | 56 | refcount_table_clusters |
 * | 8 | backing_file_offset | 60 | nb_snapshots |
 * | 16 | backing_file_size | 64 | snapshots_offset |
 * | 20 | cluster_bits | 72 | incompatible_features |
 * | 24 | size | 80 | compatible_features |
 * | 32 | crypt_method | 88 | autoclear_features |
 * | 36 | l1_size | 96 | refcount_order |
 * | 40 | l1_table_offset | 100 | header_length |
 * | | | 104 | compression_type |
 *
 * Bytes 24 to 71 lie in one sector: a new size, L1 table, refcount table and snapshot table come into force together.
 */
import { decodeUtf8, encodeUtf8 } from '../../base/utf8.ts'
import { storageError } from '../errors.ts'
import type { StorageFile } from '../storage-file.ts'
import {
  corrupt, ENTRY_BYTES, Geometry, MAX_CLUSTER_BITS, MAX_L1_BYTES, MAX_OFFSET, MAX_REFCOUNT_ORDER, MAX_REFCOUNT_TABLE_BYTES, MIN_CLUSTER_BITS,
  readU64, viewOf, writeU64,
} from './layout.ts'

export const MAGIC = 0x514649fb
export const V2_LENGTH = 72
export const V3_LENGTH = 104
const WHOLE_LENGTH = 112

/** Bits of incompatible_features. */
export const DIRTY = 1
export const CORRUPT = 2
export const COMPRESSION_TYPE = 8
const SUPPORTED = DIRTY | CORRUPT | COMPRESSION_TYPE
/** Bit of compatible_features. */
const LAZY_REFCOUNTS = 1
/** Bit of autoclear_features. */
const BITMAPS = 1

export const BACKING_FORMAT = 0xe2792aca
const FEATURE_NAMES = 0x6803f857
const BITMAPS_EXTENSION = 0x23852875
const MAX_BACKING_NAME = 1023
const MAX_SNAPSHOTS = 65536

export type CompressionType = 'zlib' | 'zstd'

/** What a header says. Made by `readHeader`, or for a new image. */
export interface Header {
  readonly version: 2 | 3
  readonly clusterBits: number
  readonly refcountOrder: number
  /** Bytes of the disk. */
  size: number
  /** Entries. */
  l1Size: number
  l1TableOffset: number
  refcountTableOffset: number
  refcountTableClusters: number
  snapshotCount: number
  snapshotsOffset: number
  /** Low half; the high half holds no bit that is supported. */
  incompatible: number
  readonly lazyRefcounts: boolean
  /** Whether any bit of autoclear_features is set: who writes without knowing all of them clears them. */
  hasAutoclear: boolean
  readonly compression: CompressionType
  readonly backingFile: string | null
  readonly backingFormat: string | null
  /** Dirty bitmaps that are in force: they take clusters. */
  bitmaps: BitmapsExtension | null
}

export interface BitmapsExtension {
  readonly count: number
  readonly directorySize: number
  readonly directoryOffset: number
}

/** Whether a file begins as a qcow2 image does. At least the first 8 bytes are needed. */
export function isQcow2(start: Uint8Array): boolean {
  return start.length >= 8 && viewOf(start).getUint32(0) === MAGIC && viewOf(start).getUint32(4) >= 2
}

/**
 * Reads and checks the header of a file.
 *
 * Rejects with DISK_UNKNOWN_FORMAT if it is no qcow2 image, DISK_UNSUPPORTED for versions and features that are not known, and
 * DISK_CORRUPT for values that cannot be.
 */
export async function readHeader(file: StorageFile): Promise<Header> {
  const start = new Uint8Array(WHOLE_LENGTH)
  await file.read(0, [start])
  if (viewOf(start).getUint32(0) !== MAGIC) throw storageError('DISK_UNKNOWN_FORMAT', `${file.path} is not a qcow2 image: it has no such magic`)
  const version = viewOf(start).getUint32(4)
  if (version !== 2 && version !== 3) throw unsupported(file.path, `qcow2 of version ${version}; 2 and 3 are known`)
  const clusterBits = viewOf(start).getUint32(20)
  if (clusterBits < MIN_CLUSTER_BITS) throw corrupt(file.path, `clusters of 2^${clusterBits} bytes are below the format's least size`)
  if (clusterBits > MAX_CLUSTER_BITS) throw unsupported(file.path, `clusters of 2^${clusterBits} bytes; 2 MiB are the most`)
  const cluster = new Uint8Array(2 ** clusterBits)
  await file.read(0, [cluster])
  const header = parse(file.path, cluster, version, clusterBits)
  checkTables(file, header)
  return header
}

function parse(path: string, cluster: Uint8Array, version: 2 | 3, clusterBits: number): Header {
  const view = viewOf(cluster)
  const length = version === 2 ? V2_LENGTH : headerLength(path, view, cluster.length)
  const extensions = readExtensions(path, cluster, length)
  const features = version === 2 ? NO_FEATURES : readFeatures(path, view, length, extensions)
  if (view.getUint32(32) !== 0) throw unsupported(path, `encryption (crypt_method ${view.getUint32(32)})`)
  const refcountOrder = version === 2 ? 4 : view.getUint32(96)
  if (refcountOrder > MAX_REFCOUNT_ORDER) throw corrupt(path, `the refcount order is ${refcountOrder}, above 6`)
  const backingFile = readBackingFile(path, cluster)
  return {
    version, clusterBits, refcountOrder, backingFile,
    size: readU64(view, 24),
    l1Size: view.getUint32(36),
    l1TableOffset: readU64(view, 40),
    refcountTableOffset: readU64(view, 48),
    refcountTableClusters: view.getUint32(56),
    snapshotCount: view.getUint32(60),
    snapshotsOffset: readU64(view, 64),
    backingFormat: backingFile === null ? null : text(extensions.get(BACKING_FORMAT)),
    bitmaps: features.bitmapsInForce ? readBitmaps(path, extensions.get(BITMAPS_EXTENSION)) : null,
    ...features.known,
  }
}

function headerLength(path: string, view: DataView, clusterSize: number): number {
  const length = view.getUint32(100)
  if (length < V3_LENGTH || length % 8 !== 0 || length > clusterSize) throw corrupt(path, `its header cannot have a length of ${length} bytes`)
  return length
}

interface Features {
  readonly known: Pick<Header, 'incompatible' | 'lazyRefcounts' | 'hasAutoclear' | 'compression'>
  readonly bitmapsInForce: boolean
}

const NO_FEATURES: Features = {
  known: { incompatible: 0, lazyRefcounts: false, hasAutoclear: false, compression: 'zlib' }, bitmapsInForce: false,
}

function readFeatures(path: string, view: DataView, length: number, extensions: ReadonlyMap<number, Uint8Array>): Features {
  const incompatible = view.getUint32(76)
  if (view.getUint32(72) !== 0 || (incompatible & ~SUPPORTED) !== 0) {
    throw unsupported(path, unknownFeatures(view.getUint32(72), (incompatible & ~SUPPORTED) >>> 0, extensions.get(FEATURE_NAMES)))
  }
  const autoclear = view.getUint32(92)
  return {
    known: {
      incompatible,
      lazyRefcounts: (view.getUint32(84) & LAZY_REFCOUNTS) !== 0,
      hasAutoclear: (view.getUint32(88) | autoclear) !== 0,
      compression: compressionType(path, incompatible, length > 104 ? view.getUint8(104) : 0),
    },
    bitmapsInForce: (autoclear & BITMAPS) !== 0,
  }
}

function compressionType(path: string, incompatible: number, type: number): CompressionType {
  if (((incompatible & COMPRESSION_TYPE) !== 0) !== (type !== 0)) throw corrupt(path, `its compression type ${type} contradicts its feature bit`)
  if (type > 1) throw unsupported(path, `compression of type ${type}; 0 (zlib) and 1 (zstd) are known`)
  return type === 0 ? 'zlib' : 'zstd'
}

/** Names the bits that are not supported: from the image's own table if it has one. */
function unknownFeatures(high: number, low: number, table: Uint8Array | undefined): string {
  const names: string[] = []
  for (let bit = 0; bit < 64; bit++) {
    if (((bit < 32 ? low >>> bit : high >>> (bit - 32)) & 1) !== 0) names.push(featureName(table, bit) ?? FEATURES[bit] ?? `feature bit ${bit}`)
  }
  return names.join(', ')
}

const INCOMPATIBLE_TYPE = 0
const FEATURE_ENTRY = 48
const FEATURES: Readonly<Record<number, string>> = { 0: 'dirty bit', 1: 'corrupt bit', 2: 'external data file', 3: 'compression type', 4: 'extended L2 entries' }

function featureName(table: Uint8Array | undefined, bit: number): string | null {
  if (table === undefined) return null
  for (let at = 0; at + FEATURE_ENTRY <= table.length; at += FEATURE_ENTRY) {
    if (table[at] === INCOMPATIBLE_TYPE && table[at + 1] === bit) return printable(text(table.subarray(at + 2, at + FEATURE_ENTRY)) ?? '')
  }
  return null
}

/** What a file says of itself goes into messages without control characters. */
function printable(name: string): string { return name.replaceAll(/[^\x20-\x7e]/g, '').trim() }

function readExtensions(path: string, cluster: Uint8Array, start: number): Map<number, Uint8Array> {
  const view = viewOf(cluster)
  const extensions = new Map<number, Uint8Array>()
  for (let at = start; at + 8 <= cluster.length;) {
    const type = view.getUint32(at)
    const length = view.getUint32(at + 4)
    if (type === 0) break
    if (length > cluster.length - at - 8) throw corrupt(path, `its header extension 0x${type.toString(16)} is longer than its first cluster`)
    if (!extensions.has(type)) extensions.set(type, cluster.subarray(at + 8, at + 8 + length))
    at += 8 + Math.ceil(length / 8) * 8
  }
  return extensions
}

function readBackingFile(path: string, cluster: Uint8Array): string | null {
  const offset = readU64(viewOf(cluster), 8)
  const length = viewOf(cluster).getUint32(16)
  if (offset === 0) return null
  if (length > MAX_BACKING_NAME || offset + length > cluster.length) throw corrupt(path, 'the name of its backing file is not in its first cluster')
  return text(cluster.subarray(offset, offset + length))
}

function readBitmaps(path: string, extension: Uint8Array | undefined): BitmapsExtension {
  if (extension === undefined || extension.length !== 24) throw corrupt(path, 'it is said to have bitmaps, and has no extension for them')
  const view = viewOf(extension)
  return { count: view.getUint32(0), directorySize: readU64(view, 8), directoryOffset: readU64(view, 16) }
}

/** Ends at a NUL, if there is one. */
function text(bytes: Uint8Array | undefined): string | null {
  if (bytes === undefined) return null
  const end = bytes.indexOf(0)
  return decodeUtf8(end < 0 ? bytes : bytes.subarray(0, end))
}

function unsupported(path: string, what: string): Error {
  return storageError('DISK_UNSUPPORTED', `${path} uses what is not supported: ${what}; convert it with the program that made it`)
}

function checkTables(file: StorageFile, header: Header): void {
  const geometry = new Geometry(header.clusterBits, header.refcountOrder)
  const limit = geometry.roundUp(file.size)
  const inside = (name: string, offset: number, bytes: number): void => {
    if (!geometry.isAligned(offset)) throw corrupt(file.path, `its ${name} is at ${offset}, which is not the start of a cluster`)
    if (bytes > 0 && (offset === 0 || offset + bytes > limit)) throw corrupt(file.path, `its ${name} at ${offset} is not inside the file: is it cut off?`)
  }
  if (header.size >= MAX_OFFSET) throw unsupported(file.path, `a disk of ${header.size} bytes; 8 PiB are the most`)
  if (header.l1Size * ENTRY_BYTES > MAX_L1_BYTES) throw unsupported(file.path, `an L1 table of ${header.l1Size} entries; 32 MiB are the most`)
  if (header.l1Size < geometry.l1EntriesFor(header.size)) throw corrupt(file.path, `its L1 table of ${header.l1Size} entries is too small for its size`)
  if (header.refcountTableClusters * geometry.clusterSize > Math.max(MAX_REFCOUNT_TABLE_BYTES, geometry.clusterSize)) {
    throw unsupported(file.path, `a refcount table of ${header.refcountTableClusters} clusters; 8 MiB are the most`)
  }
  if (header.refcountTableClusters === 0) throw corrupt(file.path, 'it has no refcount table')
  if (header.snapshotCount > MAX_SNAPSHOTS) throw unsupported(file.path, `${header.snapshotCount} snapshots; ${MAX_SNAPSHOTS} are the most`)
  inside('L1 table', header.l1TableOffset, header.l1Size * ENTRY_BYTES)
  inside('refcount table', header.refcountTableOffset, header.refcountTableClusters * geometry.clusterSize)
  inside('snapshot table', header.snapshotsOffset, header.snapshotCount * 40)
  checkOverlaps(file.path, geometry, header)
}

/** The header's own cluster and its tables are apart. */
function checkOverlaps(path: string, geometry: Geometry, header: Header): void {
  const areas = constantAreas(geometry, header)
  for (const [index, area] of areas.entries()) {
    const other = areas.slice(0, index).find(each => each.start < area.end && area.start < each.end)
    if (other !== undefined) throw corrupt(path, `its ${area.name} lies over its ${other.name}`)
  }
}

/** A table whose place the header gives, in bytes of the file. */
export interface Area {
  readonly name: string
  readonly start: number
  readonly end: number
}

/** What no cluster of data and no L2 table may lie over. Of the snapshot table only the first cluster is known from the header. */
export function constantAreas(geometry: Geometry, header: Header): readonly Area[] {
  const area = (name: string, start: number, bytes: number): Area => ({ name, start, end: start + geometry.roundUp(bytes) })
  return [
    area('header', 0, 1),
    area('L1 table', header.l1TableOffset, header.l1Size * ENTRY_BYTES),
    area('refcount table', header.refcountTableOffset, header.refcountTableClusters * geometry.clusterSize),
    area('snapshot table', header.snapshotsOffset, header.snapshotCount > 0 ? 1 : 0),
  ].filter(each => each.end > each.start)
}

/** Bytes 24 to 71 of the header, to be written at 24 in one piece. */
export function encodeTables(header: Header): Uint8Array {
  const bytes = new Uint8Array(V2_LENGTH)
  const view = viewOf(bytes)
  writeU64(view, 24, header.size)
  view.setUint32(36, header.l1Size)
  writeU64(view, 40, header.l1TableOffset)
  writeU64(view, 48, header.refcountTableOffset)
  view.setUint32(56, header.refcountTableClusters)
  view.setUint32(60, header.snapshotCount)
  writeU64(view, 64, header.snapshotsOffset)
  return bytes.subarray(24)
}

export const TABLES_AT = 24

/** The first cluster of a new image. Throws DISK_UNSUPPORTED if the backing file's name does not fit. */
export function encodeHeader(header: Header): Uint8Array {
  const cluster = new Uint8Array(2 ** header.clusterBits)
  const view = viewOf(cluster)
  view.setUint32(0, MAGIC)
  view.setUint32(4, header.version)
  view.setUint32(20, header.clusterBits)
  cluster.set(encodeTables(header), TABLES_AT)
  if (header.version === 3) encodeFeatures(view, header)
  const length = header.version === 2 ? V2_LENGTH : WHOLE_LENGTH
  const end = encodeExtensions(cluster, length, header)
  if (header.backingFile !== null) encodeBackingFile(cluster, end, header.backingFile)
  return cluster
}

function encodeFeatures(view: DataView, header: Header): void {
  view.setUint32(76, header.incompatible)
  view.setUint32(84, header.lazyRefcounts ? LAZY_REFCOUNTS : 0)
  view.setUint32(96, header.refcountOrder)
  view.setUint32(100, WHOLE_LENGTH)
  view.setUint8(104, header.compression === 'zstd' ? 1 : 0)
}

/** Extensions, the end marker included; returns where they end. A feature table only where there is room for it. */
function encodeExtensions(cluster: Uint8Array, start: number, header: Header): number {
  let at = start
  const add = (type: number, data: Uint8Array): void => {
    viewOf(cluster).setUint32(at, type)
    viewOf(cluster).setUint32(at + 4, data.length)
    cluster.set(data, at + 8)
    at += 8 + Math.ceil(data.length / 8) * 8
  }
  if (header.backingFormat !== null) add(BACKING_FORMAT, encodeUtf8(header.backingFormat))
  if (header.version === 3 && cluster.length >= 4096) add(FEATURE_NAMES, featureTable())
  return at + 8
}

const NAMED_FEATURES: readonly (readonly [type: number, bit: number, name: string])[] = [
  ...Object.entries(FEATURES).map(([bit, name]) => [INCOMPATIBLE_TYPE, Number(bit), name] as const),
  [1, 0, 'lazy refcounts'],
  [2, 0, 'bitmaps'],
]

function featureTable(): Uint8Array {
  const table = new Uint8Array(NAMED_FEATURES.length * FEATURE_ENTRY)
  for (const [index, [type, bit, name]] of NAMED_FEATURES.entries()) {
    table.set([type, bit, ...encodeUtf8(name)], index * FEATURE_ENTRY)
  }
  return table
}

function encodeBackingFile(cluster: Uint8Array, at: number, name: string): void {
  const bytes = encodeUtf8(name)
  if (bytes.length > MAX_BACKING_NAME || at + bytes.length > cluster.length) {
    throw storageError('DISK_UNSUPPORTED', `the name of the backing file is too long for clusters of ${cluster.length} bytes: ${name}`)
  }
  writeU64(viewOf(cluster), 8, at)
  viewOf(cluster).setUint32(16, bytes.length)
  cluster.set(bytes, at)
}
