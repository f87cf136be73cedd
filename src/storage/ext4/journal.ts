/**
 * The superblock of an empty journal (jbd2, version 2). Source: the Linux kernel's documentation, filesystems/ext4 ("Journal (jbd2)").
 * Big-endian: 0 magic, 4 kind of block, 12 block size, 16 blocks, 20 first block of the log, 24 first sequence number, 28 start of the
 * log (0: it is empty), 48 UUID, 64 users.
 */
import { BLOCK_SIZE } from './geometry.ts'

const MAGIC = 0xc03b3998
const SUPERBLOCK_V2 = 4

export function encodeJournal(blocks: number, uuid: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(BLOCK_SIZE)
  const view = new DataView(bytes.buffer)
  const words: readonly (readonly [offset: number, value: number])[] = [
    [0, MAGIC], [4, SUPERBLOCK_V2], [12, BLOCK_SIZE], [16, blocks], [20, 1], [24, 1], [28, 0], [64, 1],
  ]
  for (const [offset, value] of words) view.setUint32(offset, value)
  bytes.set(uuid, 48)
  return bytes
}

/** Blocks of the journal of a file system: 1/64 of it, between 4 and 64 MiB. */
export function journalBlocks(blocks: number): number {
  return Math.max(1024, Math.min(16384, Math.floor(blocks / 64)))
}
