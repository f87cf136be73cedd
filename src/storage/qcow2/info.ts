import { CORRUPT, DIRTY, type CompressionType } from './header.ts'
import type { Image } from './image.ts'

/** What an image is, as `tenon disk info` and the programs of others show it. */
export interface Qcow2Info {
  readonly version: 2 | 3
  /** Bytes of the disk, of a cluster, of the file. */
  readonly size: number
  readonly clusterSize: number
  readonly fileSize: number
  readonly refcountBits: number
  readonly lazyRefcounts: boolean
  readonly compression: CompressionType
  readonly backingFile: string | null
  readonly backingFormat: string | null
  readonly snapshotCount: number
  /** It was not closed, or is just being written with lazy refcounts. */
  readonly dirty: boolean
  readonly corrupt: boolean
  /** Bytes of its tables that are in memory. */
  readonly cachedBytes: number
}

export function describeImage({ header, geometry, file, cache }: Image): Qcow2Info {
  const { version, size, lazyRefcounts, compression, backingFile, backingFormat, snapshotCount, incompatible } = header
  return {
    version, size, lazyRefcounts, compression, backingFile, backingFormat, snapshotCount,
    clusterSize: geometry.clusterSize,
    fileSize: file.size,
    refcountBits: geometry.refcountBits,
    dirty: (incompatible & DIRTY) !== 0,
    corrupt: (incompatible & CORRUPT) !== 0,
    cachedBytes: cache.bytes,
  }
}
