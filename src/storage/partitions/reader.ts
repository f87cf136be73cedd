/**
 * Finds the partitions of a disk that somebody else made: by a GUID partition table if its MBR says that there is one, by the MBR
 * otherwise. All of it may be hostile.
 */
import type { BlockNode } from '../block-node.ts'
import { crc32 } from '../../base/crc32.ts'
import { storageError } from '../errors.ts'
import { decodeEntries, decodeHeader } from './gpt.ts'
import type { GptHeader } from './gpt.ts'
import { decodeMbr, isProtective, MBR_SIZE, readMbr } from './mbr.ts'
import type { Partition } from './partition.ts'

export type PartitionSource = Pick<BlockNode, 'size' | 'read'>

export interface PartitionTable {
  /** `none`: the disk has no table; it is empty, or a file system itself. */
  readonly kind: 'gpt' | 'mbr' | 'none'
  /** A GUID, or an MBR's signature in hexadecimal; empty for `none`. */
  readonly guid: string
  /** In the table's order. */
  readonly partitions: readonly Partition[]
}

const NONE: PartitionTable = { kind: 'none', guid: '', partitions: [] }
/** The sizes of blocks that are tried: a table does not say what it counts. */
const BLOCK_SIZES = [512, 4096]

/**
 * @param blockSize that the disk's controller shows; without it, a GUID partition table tells by its place, and MBRs count in 512 bytes
 * @throws TenonError DISK_CORRUPT, and what the source throws
 */
export async function readPartitions(source: PartitionSource, blockSize?: number): Promise<PartitionTable> {
  if (source.size < MBR_SIZE) return NONE
  const first = await readBytes(source, 0, MBR_SIZE)
  const entries = decodeMbr(first)
  if (entries === undefined) return NONE
  if (isProtective(entries)) return readGpt(source, blockSize === undefined ? BLOCK_SIZES : [blockSize])
  const disk = { size: source.size, blockSize: blockSize ?? BLOCK_SIZES[0] }
  const partitions = await readMbr(first, entries, disk, sector => readSector(source, sector * disk.blockSize))
  if (partitions.length === 0) return NONE
  return { kind: 'mbr', guid: partitions[0].guid.slice(0, 8), partitions }
}

/** A sector of a chain; what is beyond the disk's end has no signature. */
async function readSector(source: PartitionSource, offset: number): Promise<Uint8Array> {
  return offset + MBR_SIZE > source.size ? new Uint8Array(MBR_SIZE) : readBytes(source, offset, MBR_SIZE)
}

async function readGpt(source: PartitionSource, blockSizes: readonly number[]): Promise<PartitionTable> {
  for (const blockSize of blockSizes) {
    const blocks = Math.floor(source.size / blockSize)
    // The second header is at the disk's end; an image that was made larger has it elsewhere, but then the first is there.
    for (const block of [1, blocks - 1]) {
      const found = block > 0 && block < blocks ? await readTable(source, blockSize, block, blocks) : undefined
      if (found !== undefined) return found
    }
  }
  throw storageError('DISK_CORRUPT', 'the disk should have a GUID partition table, and both its copies are damaged or cut off')
}

async function readTable(source: PartitionSource, blockSize: number, block: number, blocks: number): Promise<PartitionTable | undefined> {
  const header = decodeHeader(await readBytes(source, block * blockSize, blockSize), block, blocks)
  const entries = header === undefined ? undefined : await readEntries(source, header, blockSize)
  if (header === undefined || entries === undefined) return undefined
  return { kind: 'gpt', guid: header.guid, partitions: decodeEntries(entries, header, blockSize) }
}

async function readEntries(source: PartitionSource, header: GptHeader, blockSize: number): Promise<Uint8Array | undefined> {
  const { entriesBlock, entries, entrySize, entriesChecksum } = header
  const [offset, length] = [entriesBlock * blockSize, entries * entrySize]
  if (offset + length > source.size) return undefined
  const bytes = await readBytes(source, offset, length)
  return crc32(bytes) === entriesChecksum ? bytes : undefined
}

async function readBytes(source: PartitionSource, offset: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length)
  await source.read(offset, [bytes])
  return bytes
}
