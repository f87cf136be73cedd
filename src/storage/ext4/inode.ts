/**
 * Inodes and the extents behind them. Source: the Linux kernel's documentation, filesystems/ext4 ("Index Nodes", "The Contents of
 * inode.i_block"). Little-endian; offsets of an inode:
 *
 *   0 mode u16, 2 uid u16, 4 size, 8 atime, 12 ctime, 16 mtime, 24 gid u16, 26 links u16, 28 blocks of 512 bytes, 32 flags,
 *   40 i_block (60 bytes), 104 file_acl, 108 size high, 116 blocks high u16, 118 file_acl high u16, 120 uid high u16, 122 gid high u16,
 *   124 checksum low u16, 128 extra_isize u16, 130 checksum high u16, 144 crtime
 */
import type { Run } from './allocator.ts'
import { crc32c, crc32cOfWord } from './crc32c.ts'
import { BLOCK_SIZE, INODE_SIZE } from './geometry.ts'

export const FileType = {
  FIFO: 0x1000, CHARACTER: 0x2000, DIRECTORY: 0x4000, BLOCK: 0x6000, REGULAR: 0x8000, LINK: 0xa000, SOCKET: 0xc000,
} as const

const EXTENTS_FLAG = 0x80000
const EXTENT_MAGIC = 0xf30a
export const INLINE_BYTES = 60
/** Extents in the inode, and in a block of them, whose last word is its checksum. */
const INLINE_EXTENTS = 4
const BLOCK_EXTENTS = 340
const EXTENT_SIZE = 12
const CHECKSUM_OFFSET = 12 + BLOCK_EXTENTS * EXTENT_SIZE
/** An extent's length has 15 bits. */
const LONGEST_EXTENT = 0x8000
const SECTORS_PER_BLOCK = BLOCK_SIZE / 512

export interface InodeFields {
  /** Type and permissions. */
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly size: number
  /** Seconds since 1970, for all times. */
  readonly time: number
  readonly links: number
  /** i_block: content that is in the inode itself, or the root of the extents. */
  readonly block: Uint8Array
  readonly usesExtents: boolean
  /** Blocks of 4 KiB in use, extent and attribute blocks included. */
  readonly blocks: number
  readonly attributesBlock: number
}

/** The seed of all checksums of an inode and what belongs to it. `seed` is the file system's. */
export const inodeSeed = (seed: number, number: number): number => crc32cOfWord(crc32cOfWord(seed, number), 0)

export function encodeInode(fields: InodeFields, seed: number): Uint8Array {
  const bytes = new Uint8Array(INODE_SIZE)
  const view = new DataView(bytes.buffer)
  const word = (offset: number, value: number): void => view.setUint32(offset, value, true)
  const half = (offset: number, value: number): void => view.setUint16(offset, value, true)
  half(0, fields.mode)
  half(2, fields.uid)
  word(4, fields.size)
  for (const offset of [8, 12, 16, 144]) word(offset, fields.time)
  half(24, fields.gid)
  half(26, fields.links)
  word(28, fields.blocks * SECTORS_PER_BLOCK)
  word(32, fields.usesExtents ? EXTENTS_FLAG : 0)
  bytes.set(fields.block, 40)
  word(104, fields.attributesBlock)
  word(108, Math.floor(fields.size / 2 ** 32))
  half(116, Math.floor(fields.blocks * SECTORS_PER_BLOCK / 2 ** 32))
  half(118, Math.floor(fields.attributesBlock / 2 ** 32))
  half(120, fields.uid >>> 16)
  half(122, fields.gid >>> 16)
  half(128, 32)
  const checksum = crc32c(seed, bytes)
  half(124, checksum)
  half(130, checksum >>> 16)
  return bytes
}

/** An extent: file block, and where it is. */
interface Extent extends Run { readonly logical: number }

/** The tree of extents over blocks that follow each other in a file: its root, and the blocks that it needs beside it. */
export interface ExtentTree {
  readonly root: Uint8Array
  readonly leaves: readonly { readonly block: number, readonly bytes: Uint8Array }[]
}

/** How many blocks of extents a file with these runs needs. */
export function leavesFor(runs: readonly Run[]): number {
  const count = extentsOf(runs).length
  return count <= INLINE_EXTENTS ? 0 : Math.ceil(count / BLOCK_EXTENTS)
}

/** @param leafBlocks as many as `leavesFor` said, 4 at most: 170 GiB in one piece each */
export function buildExtents(runs: readonly Run[], leafBlocks: readonly number[], seed: number): ExtentTree {
  const extents = extentsOf(runs)
  if (leafBlocks.length === 0) return { root: node(INLINE_BYTES, INLINE_EXTENTS, 0, extents.map(encodeExtent)), leaves: [] }
  const parts = leafBlocks.map((_, index) => extents.slice(index * BLOCK_EXTENTS, (index + 1) * BLOCK_EXTENTS))
  const leaves = parts.map((part, index) => {
    const bytes = node(BLOCK_SIZE, BLOCK_EXTENTS, 0, part.map(encodeExtent))
    new DataView(bytes.buffer).setUint32(CHECKSUM_OFFSET, crc32c(seed, bytes.subarray(0, CHECKSUM_OFFSET)), true)
    return { block: leafBlocks[index], bytes }
  })
  const indexes = parts.map(([{ logical }], index) => encodeIndex(logical, leafBlocks[index]))
  return { root: node(INLINE_BYTES, INLINE_EXTENTS, 1, indexes), leaves }
}

function extentsOf(runs: readonly Run[]): Extent[] {
  const extents: Extent[] = []
  let logical = 0
  for (const { start, count } of runs) {
    for (let done = 0; done < count; done += LONGEST_EXTENT) {
      const length = Math.min(LONGEST_EXTENT, count - done)
      extents.push({ logical, start: start + done, count: length })
      logical += length
    }
  }
  return extents
}

function node(size: number, maximum: number, depth: number, entries: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(size)
  const view = new DataView(bytes.buffer)
  view.setUint16(0, EXTENT_MAGIC, true)
  view.setUint16(2, entries.length, true)
  view.setUint16(4, maximum, true)
  view.setUint16(6, depth, true)
  entries.forEach((entry, index) => bytes.set(entry, 12 + index * EXTENT_SIZE))
  return bytes
}

function encodeExtent({ logical, start, count }: Extent): Uint8Array {
  const view = new DataView(new ArrayBuffer(EXTENT_SIZE))
  view.setUint32(0, logical, true)
  view.setUint16(4, count, true)
  view.setUint16(6, Math.floor(start / 2 ** 32), true)
  view.setUint32(8, start, true)
  return new Uint8Array(view.buffer)
}

function encodeIndex(logical: number, block: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(EXTENT_SIZE))
  view.setUint32(0, logical, true)
  view.setUint32(4, block, true)
  view.setUint16(8, Math.floor(block / 2 ** 32), true)
  return new Uint8Array(view.buffer)
}
