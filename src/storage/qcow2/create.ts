/**
 * New images: header, refcount table, refcount blocks and L1 table, in this order, from the file's start on. The header is written
 * last, when all that it points to is durable.
 */
import { storageError } from '../errors.ts'
import { checkSize, checkWritable } from '../gate.ts'
import type { StorageFile } from '../storage-file.ts'
import { COMPRESSION_TYPE, encodeHeader, type CompressionType, type Header } from './header.ts'
import { ENTRY_BYTES, Geometry, MAX_CLUSTER_BITS, MAX_L1_BYTES, MAX_REFCOUNT_ORDER, MIN_CLUSTER_BITS, viewOf, writeU64 } from './layout.ts'
import { Image } from './image.ts'
import { preallocate } from './preallocate.ts'
import { writeCount } from './refcount-entry.ts'

export interface CreateOptions {
  /** Bytes of the disk, a multiple of 512. */
  readonly size: number
  /** Default 3. */
  readonly version?: 2 | 3
  /** Bytes of a cluster: a power of two from 512 to 2 MiB. Default 64 KiB. */
  readonly clusterSize?: number
  /** Bits of a refcount: a power of two from 1 to 64. Default 16; version 2 has no others. */
  readonly refcountBits?: number
  /** Refcounts are written late, and repaired if the image is not closed. Version 3. */
  readonly lazyRefcounts?: boolean
  /** What compressed clusters will be compressed with. Default zlib; version 2 has no other. */
  readonly compression?: CompressionType
  /** Name and format of the backing file, as they are to stand in the image. */
  readonly backingFile?: string
  readonly backingFormat?: string
  /** `metadata`: all clusters have their place in the file, which is sparse. `full`: and their room on the host. Without a backing file. */
  readonly preallocation?: 'off' | 'metadata' | 'full'
}

/**
 * Makes an empty image of a file; all it had is lost.
 *
 * Rejects with DISK_UNSUPPORTED for options that the format, or QEMU, does not allow.
 */
export async function createQcow2(file: StorageFile, options: CreateOptions): Promise<void> {
  checkWritable(file.path, file)
  checkSize(file.path, options.size, 512)
  const header = newHeader(file.path, options)
  const geometry = new Geometry(header.clusterBits, header.refcountOrder)
  const layout = new Layout(geometry, header)
  const first = encodeHeader(Object.assign(header, layout.tables()))
  await file.truncate(0)
  await file.truncate(layout.end * geometry.clusterSize)
  await file.write(geometry.clusterSize, [layout.refcounts()])
  await file.flush()
  await file.write(0, [first])
  await file.flush()
  if (options.preallocation === 'metadata' || options.preallocation === 'full') {
    await preallocate(new Image(file, { ...header, lazyRefcounts: false }, {}), options.preallocation === 'full')
    await file.flush()
  }
}

function newHeader(path: string, options: CreateOptions): Header {
  const { version = 3, clusterSize = 65536, refcountBits = 16, lazyRefcounts = false, compression = 'zlib' } = options
  const clusterBits = Math.log2(clusterSize)
  const refcountOrder = Math.log2(refcountBits)
  const refuse = (what: string): Error => storageError('DISK_UNSUPPORTED', `${path} cannot be made: ${what}`)
  if (!Number.isInteger(clusterBits) || clusterBits < MIN_CLUSTER_BITS || clusterBits > MAX_CLUSTER_BITS) {
    throw refuse(`clusters are a power of two from 512 bytes to 2 MiB, not ${clusterSize}`)
  }
  if (!Number.isInteger(refcountOrder) || refcountOrder < 0 || refcountOrder > MAX_REFCOUNT_ORDER) {
    throw refuse(`refcounts have a power of two of bits from 1 to 64, not ${refcountBits}`)
  }
  if (version === 2 && (refcountBits !== 16 || lazyRefcounts || compression !== 'zlib')) {
    throw refuse('version 2 has refcounts of 16 bits, zlib and no lazy refcounts')
  }
  if (options.backingFormat !== undefined && options.backingFile === undefined) throw refuse('a format is named for a backing file, but no file')
  if (options.backingFile !== undefined && (options.preallocation ?? 'off') !== 'off') throw refuse('an image with a backing file is thin')
  return {
    version, clusterBits, refcountOrder, lazyRefcounts, compression, size: options.size,
    backingFile: options.backingFile ?? null, backingFormat: options.backingFormat ?? null,
    incompatible: compression === 'zlib' ? 0 : COMPRESSION_TYPE, hasAutoclear: false, bitmaps: null,
    l1Size: 0, l1TableOffset: 0, refcountTableOffset: 0, refcountTableClusters: 0, snapshotCount: 0, snapshotsOffset: 0,
  }
}

/** How many clusters each table takes. */
class Layout {
  private readonly geometry: Geometry
  private readonly l1Entries: number
  private readonly l1Clusters: number
  private tableClusters = 1
  private blocks = 1

  constructor(geometry: Geometry, header: Header) {
    this.geometry = geometry
    this.l1Entries = Math.max(1, geometry.l1EntriesFor(header.size))
    if (this.l1Entries * ENTRY_BYTES > MAX_L1_BYTES) {
      throw storageError('DISK_UNSUPPORTED', `a disk of ${header.size} bytes needs clusters larger than ${geometry.clusterSize} bytes`)
    }
    this.l1Clusters = geometry.clusters(this.l1Entries * ENTRY_BYTES)
    while (this.blocks < Math.ceil(this.end / geometry.blockEntries)) {
      this.blocks = Math.ceil(this.end / geometry.blockEntries)
      this.tableClusters = geometry.clusters(this.blocks * ENTRY_BYTES)
    }
  }

  /** Clusters of the image. */
  get end(): number { return 1 + this.tableClusters + this.blocks + this.l1Clusters }

  tables(): Partial<Header> {
    const { clusterSize } = this.geometry
    return {
      refcountTableOffset: clusterSize, refcountTableClusters: this.tableClusters,
      l1Size: this.l1Entries, l1TableOffset: (1 + this.tableClusters + this.blocks) * clusterSize,
    }
  }

  /** The refcount table and the blocks; the L1 table is zeros. */
  refcounts(): Uint8Array {
    const { clusterSize, refcountOrder } = this.geometry
    const bytes = new Uint8Array((this.tableClusters + this.blocks) * clusterSize)
    const blocks = bytes.subarray(this.tableClusters * clusterSize)
    for (let block = 0; block < this.blocks; block++) writeU64(viewOf(bytes), block * ENTRY_BYTES, (1 + this.tableClusters + block) * clusterSize)
    for (let cluster = 0; cluster < this.end; cluster++) writeCount({ bytes: blocks, view: viewOf(blocks) }, cluster, refcountOrder, 1)
    return bytes
  }
}
