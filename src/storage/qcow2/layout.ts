/**
 * Sizes and table entries of qcow2 ("qcow2 image file format", QEMU docs/interop/qcow2.txt, sections "Host cluster management" and
 * "Cluster mapping"). All numbers are big-endian.
 *
 * | table | entry | of which |
 * |---|---|---|
 * | refcount table | 64 bits: offset of a refcount block | bits 9-63 |
 * | refcount block | 1 to 64 bits: references to one cluster of the file | |
 * | L1 | 64 bits: offset of an L2 table | bits 9-55; 63 COPIED: its refcount is one |
 * | L2 | 64 bits: where a cluster of the disk is | bits 9-55; 0 zero; 62 compressed; 63 COPIED |
 *
 * An entry is handled as its two halves, `high` and `low`, each an unsigned 32-bit number: no bigint is made for an access. Offsets are
 * numbers, and one from 2^53 on is damage: no file is that long.
 *
 * Left out: extended L2 entries (subclusters), external data files, encryption.
 */
import { storageError } from '../errors.ts'

/** Of the high half of an L1 or L2 entry. */
export const COPIED = 0x8000_0000
export const COMPRESSED = 0x4000_0000
/** Of the low half of an L2 entry. */
export const ZERO = 1

export const ENTRY_BYTES = 8
export const MIN_CLUSTER_BITS = 9
export const MAX_CLUSTER_BITS = 21
export const MAX_REFCOUNT_ORDER = 6
/** QEMU's limits, so that what is made here opens there. */
export const MAX_L1_BYTES = 32 << 20
export const MAX_REFCOUNT_TABLE_BYTES = 8 << 20
/** Bits 9-55 of an offset, and what a number holds. */
export const MAX_OFFSET = 2 ** 53

/** Whether an entry has a bit that must be 0. */
export const L1_RESERVED_HIGH = 0x7f00_0000
export const L2_RESERVED_HIGH = 0x3f00_0000
export const RESERVED_LOW = 0x1ff

export class Geometry {
  readonly clusterBits: number
  readonly clusterSize: number
  /** Entries of an L2 table. */
  readonly l2Entries: number
  readonly refcountOrder: number
  readonly refcountBits: number
  /** Entries of a refcount block: clusters of the file that it counts. */
  readonly blockEntries: number
  readonly maxRefcount: number

  constructor(clusterBits: number, refcountOrder: number) {
    this.clusterBits = clusterBits
    this.clusterSize = 2 ** clusterBits
    this.l2Entries = this.clusterSize / ENTRY_BYTES
    this.refcountOrder = refcountOrder
    this.refcountBits = 2 ** refcountOrder
    this.blockEntries = this.clusterSize * 8 / this.refcountBits
    this.maxRefcount = Math.min(2 ** this.refcountBits - 1, Number.MAX_SAFE_INTEGER)
  }

  /** The number of the cluster that has the byte `offset`. */
  cluster(offset: number): number { return Math.floor(offset / this.clusterSize) }

  /** Clusters that `bytes` take. */
  clusters(bytes: number): number { return Math.ceil(bytes / this.clusterSize) }

  roundUp(bytes: number): number { return this.clusters(bytes) * this.clusterSize }

  isAligned(offset: number): boolean { return offset % this.clusterSize === 0 }

  /** Entries that an L1 table needs for a disk of `size` bytes. */
  l1EntriesFor(size: number): number { return Math.ceil(this.clusters(size) / this.l2Entries) }
}

/** Bits 9 to 55 of an entry. */
export function entryOffset(high: number, low: number): number {
  return (high & 0xff_ffff) * 2 ** 32 + ((low & ~RESERVED_LOW) >>> 0)
}

/** The high half of an entry that holds `offset`. */
export function offsetHigh(offset: number): number { return Math.floor(offset / 2 ** 32) }

export function offsetLow(offset: number): number { return offset % 2 ** 32 }

export function readU64(view: DataView, at: number): number {
  return view.getUint32(at) * 2 ** 32 + view.getUint32(at + 4)
}

export function writeU64(view: DataView, at: number, value: number): void {
  view.setUint32(at, offsetHigh(value))
  view.setUint32(at + 4, offsetLow(value))
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/** Compressed data of one cluster: where in the file, at any byte, and how many bytes at most. */
export interface CompressedPlace {
  readonly offset: number
  readonly length: number
}

const SECTOR = 512

/** Decodes a Compressed Clusters Descriptor. The length is bounded by its field: two clusters. */
export function compressedPlace(geometry: Geometry, high: number, low: number): CompressedPlace {
  const shift = 62 - (geometry.clusterBits - 8) - 32
  const offset = (high & (2 ** shift - 1)) * 2 ** 32 + low
  const sectors = ((high & 0x3fff_ffff) >>> shift) + 1
  return { offset, length: sectors * SECTOR - offset % SECTOR }
}

/** The high half of the descriptor for compressed data; the low half is the offset's. The offset must be below the format's limit. */
export function compressedHigh(geometry: Geometry, offset: number, length: number): number {
  const shift = 62 - (geometry.clusterBits - 8) - 32
  const sectors = Math.floor((offset + length - 1) / SECTOR) - Math.floor(offset / SECTOR)
  return (COMPRESSED + sectors * 2 ** shift + offsetHigh(offset)) >>> 0
}

/** Offsets of compressed data are below this. */
export function compressedLimit(geometry: Geometry): number {
  return Math.min(2 ** (62 - (geometry.clusterBits - 8)), MAX_OFFSET)
}

export function corrupt(path: string, what: string): Error {
  return storageError('DISK_CORRUPT', `${path} is damaged: ${what}; check it, or restore it from a backup`)
}
