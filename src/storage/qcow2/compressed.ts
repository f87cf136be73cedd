/**
 * Compressed clusters (QEMU docs/interop/qcow2.txt, "Compressed Clusters Descriptor"): raw DEFLATE (RFC 1951) with a window of 4 KiB, or
 * Zstandard frames (RFC 8878). How to decompress is handed in, because this room has no codecs.
 */
import { storageError } from '../errors.ts'
import type { StorageFile } from '../storage-file.ts'
import type { CompressionType } from './header.ts'
import { corrupt } from './layout.ts'

/**
 * Decompresses `data`, which has other bytes behind its end, to exactly `length` bytes. Must not produce more than that, and throws or
 * rejects if it gets less.
 */
export type Decompress = (data: Uint8Array, length: number) => Uint8Array | Promise<Uint8Array>

/** Compresses a cluster so that `Decompress` gets it back: raw DEFLATE with `windowBits` 12, or one Zstandard frame. */
export type Compress = (cluster: Uint8Array) => Uint8Array | Promise<Uint8Array>

export type Decompressors = Readonly<Partial<Record<CompressionType, Decompress>>>

const KEPT_BYTES = 1 << 20

export class CompressedClusters {
  private readonly file: StorageFile
  private readonly clusterSize: number
  private readonly type: CompressionType
  private readonly decompress: Decompress | undefined
  /** The clusters read last, by the offset of their compressed data: small reads in a row decompress once. */
  private readonly kept = new Map<number, Promise<Uint8Array>>()

  constructor(file: StorageFile, clusterSize: number, type: CompressionType, decompressors: Decompressors) {
    this.file = file
    this.clusterSize = clusterSize
    this.type = type
    this.decompress = decompressors[type]
  }

  /** The cluster whose compressed data is at `offset`. Rejects with DISK_CORRUPT, or DISK_UNSUPPORTED without a decompressor. */
  cluster(offset: number, length: number): Promise<Uint8Array> {
    const kept = this.kept.get(offset)
    if (kept !== undefined) return kept
    const reading = this.read(offset, length)
    this.kept.set(offset, reading)
    reading.catch(() => this.kept.delete(offset))
    if (this.kept.size > Math.max(2, KEPT_BYTES / this.clusterSize)) this.kept.delete(this.kept.keys().next().value!)
    return reading
  }

  /** The file has other data now. */
  forget(): void { this.kept.clear() }

  private async read(offset: number, length: number): Promise<Uint8Array> {
    if (this.decompress === undefined) throw storageError('DISK_UNSUPPORTED', `${this.file.path} is compressed with ${this.type}, which cannot be read here`)
    const data = new Uint8Array(length)
    await this.file.read(offset, [data])
    const cluster = await this.inflate(this.decompress, data, offset)
    if (cluster.length !== this.clusterSize) throw corrupt(this.file.path, `the compressed data at ${offset} is not one cluster`)
    return cluster
  }

  private async inflate(decompress: Decompress, data: Uint8Array, offset: number): Promise<Uint8Array> {
    try {
      return await decompress(data, this.clusterSize)
    } catch (cause) {
      throw storageError('DISK_CORRUPT', `${this.file.path} is damaged: the compressed data at ${offset} cannot be decompressed`, cause)
    }
  }
}
