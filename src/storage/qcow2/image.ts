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
  /** The node of the backing file; null if the image has none, or it is not needed. */
  readonly backing?: BlockNode | null
  readonly decompressors?: Decompressors
  /** Bytes of tables in memory, at most. Default 14 MiB; with copies of what is being written it stays below 16 MiB. */
  readonly cacheBytes?: number
}

const DEFAULT_CACHE = 14 << 20

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
    this.mapping = new Mapping(file, this.geometry, this.cache, this.headerFile, this.refcounts, this.committer, this.backing !== null)
    this.compressed = new CompressedClusters(file, this.geometry.clusterSize, header.compression, options.decompressors ?? {})
    this.committer.onFree = (cluster, count) => {
      if (this.packing !== null && this.packing.cluster >= cluster && this.packing.cluster < cluster + count) this.packing = null
    }
  }
}
