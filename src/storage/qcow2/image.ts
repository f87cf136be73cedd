/** The parts of an open image, as the node and the operations on whole images share them. */
import type { BlockNode } from '../block-node.ts'
import type { StorageFile } from '../storage-file.ts'
import { Committer } from './commit.ts'
import { CompressedClusters, type Decompressors } from './compressed.ts'
import { HeaderFile } from './header-file.ts'
import type { Header } from './header.ts'
import { InFlight } from './in-flight.ts'
import { Geometry } from './layout.ts'
import { Mapping } from './mapping.ts'
import { MetadataCache } from './metadata-cache.ts'
import { Operations } from './operations.ts'
import { Refcounts } from './refcounts.ts'

export interface ImageOptions {
  /** The node of the backing file. Null opens an image without it: what would be read from it cannot be read. */
  readonly backing?: BlockNode | null
  readonly decompressors?: Decompressors
  /** Bytes of tables in memory, at most. Default 12 MiB; with copies of what is being written it stays below 16 MiB. */
  readonly cacheBytes?: number
}

const DEFAULT_CACHE = 12 << 20

export class Image {
  readonly file: StorageFile
  readonly geometry: Geometry
  readonly header: Header
  readonly headerFile: HeaderFile
  readonly cache: MetadataCache
  readonly refcounts: Refcounts
  readonly committer: Committer
  readonly mapping: Mapping
  readonly operations: Operations
  readonly inFlight = new InFlight()
  readonly compressed: CompressedClusters
  readonly backing: BlockNode | null
  private readonly hasBacking: boolean
  /** The cluster of the file that compressed data is added to, and the bytes of it that are used. */
  packing: { readonly cluster: number, readonly used: number } | null = null
  /** Adds to `packing` one after another. */
  packed: Promise<unknown> = Promise.resolve()
  /** The header was to be replaced, and it is not known whether it was. */
  isUncertain = false

  constructor(file: StorageFile, header: Header, options: ImageOptions) {
    this.file = file
    this.header = header
    this.backing = options.backing ?? null
    this.geometry = new Geometry(header.clusterBits, header.refcountOrder)
    this.headerFile = new HeaderFile(file, this.geometry, header)
    this.cache = new MetadataCache(file, this.geometry.clusterSize, options.cacheBytes ?? DEFAULT_CACHE)
    this.operations = new Operations(file.path)
    this.refcounts = new Refcounts(file, this.geometry, this.cache, this.headerFile)
    this.committer = new Committer(file, this.geometry, this.cache, this.headerFile, this.refcounts, this.operations)
    this.compressed = new CompressedClusters(file, this.geometry.clusterSize, header.compression, options.decompressors ?? {})
    this.hasBacking = header.backingFile !== null || this.backing !== null
    this.mapping = new Mapping(file, this.geometry, this.cache, this.headerFile, this.refcounts, this.committer, this.hasBacking)
    this.committer.onFree = (cluster, count) => {
      if (this.packing !== null && this.packing.cluster >= cluster && this.packing.cluster < cluster + count) this.packing = null
    }
  }

  /** Bytes of the disk, from its start, that may show what the backing file has. */
  get backingSize(): number {
    if (this.backing !== null) return this.backing.size
    return this.hasBacking ? Infinity : 0
  }
}
