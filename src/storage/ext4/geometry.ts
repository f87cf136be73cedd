/**
 * Where the parts of an ext4 file system stand. Source: the Linux kernel's documentation, filesystems/ext4 ("High Level Design").
 *
 *   group 0, 1, and powers of 3, 5, 7   superblock (block 0 of group 0 has it at byte 1024), group descriptors
 *   every group                         block bitmap, inode bitmap, inode table, data
 *
 * Left out on purpose: meta and flexible block groups, bigalloc, block sizes other than 4 KiB.
 */
import { storageError } from '../errors.ts'

export const BLOCK_SIZE = 4096
export const BLOCKS_PER_GROUP = 8 * BLOCK_SIZE
export const INODE_SIZE = 256
export const INODES_PER_BLOCK = BLOCK_SIZE / INODE_SIZE
export const DESCRIPTOR_SIZE = 64
/** The first inode that is not reserved: lost+found. */
export const FIRST_INODE = 11
/** Of a file system that leaves the choice to us. */
const BYTES_PER_INODE = 16384
/** A last group with less than this is left out. */
const SMALLEST_DATA = 50
const SMALLEST_FILE_SYSTEM = 8 << 20

export interface Group {
  readonly number: number
  readonly firstBlock: number
  readonly blocks: number
  readonly hasSuperblock: boolean
  readonly blockBitmap: number
  readonly inodeBitmap: number
  readonly inodeTable: number
  /** The first block after its metadata. */
  readonly dataStart: number
}

export interface Geometry {
  readonly blocks: number
  readonly descriptorBlocks: number
  readonly inodesPerGroup: number
  readonly inodes: number
  readonly groups: readonly Group[]
}

/**
 * @param bytes size of the file system; what is over whole blocks stays unused
 * @param inodes that are needed at least
 * @throws TenonError FILESYSTEM_TOO_SMALL
 */
export function layOut(bytes: number, inodes: number): Geometry {
  if (bytes < SMALLEST_FILE_SYSTEM) {
    throw storageError('FILESYSTEM_TOO_SMALL', `ext4 needs ${SMALLEST_FILE_SYSTEM} bytes at least, and there are ${bytes}`)
  }
  const wanted = Math.max(inodes, Math.floor(bytes / BYTES_PER_INODE))
  const all = Math.floor(bytes / BLOCK_SIZE)
  const found = layOutBlocks(all, wanted)
  const last = found.groups[found.groups.length - 1]
  const isTiny = found.groups.length > 1 && last.firstBlock + last.blocks - last.dataStart < SMALLEST_DATA
  return isTiny ? layOutBlocks(last.firstBlock, wanted) : found
}

function layOutBlocks(blocks: number, inodes: number): Geometry {
  const count = Math.ceil(blocks / BLOCKS_PER_GROUP)
  const descriptorBlocks = Math.ceil(count * DESCRIPTOR_SIZE / BLOCK_SIZE)
  const inodesPerGroup = Math.ceil(inodes / count / INODES_PER_BLOCK) * INODES_PER_BLOCK
  if (inodesPerGroup > BLOCKS_PER_GROUP) {
    throw storageError('FILESYSTEM_TOO_SMALL', `${inodes} files do not fit into ${blocks * BLOCK_SIZE} bytes of ext4: make it larger`)
  }
  const groups = Array.from({ length: count }, (_, number) => {
    const firstBlock = number * BLOCKS_PER_GROUP
    const hasSuperblock = isBackup(number)
    const blockBitmap = firstBlock + (hasSuperblock ? 1 + descriptorBlocks : 0)
    const inodeTable = blockBitmap + 2
    return {
      number, firstBlock, hasSuperblock, blockBitmap, inodeTable, inodeBitmap: blockBitmap + 1,
      blocks: Math.min(BLOCKS_PER_GROUP, blocks - firstBlock), dataStart: inodeTable + inodesPerGroup / INODES_PER_BLOCK,
    }
  })
  return { blocks, descriptorBlocks, inodesPerGroup, inodes: inodesPerGroup * count, groups }
}

/** Feature sparse_super. */
export function isBackup(group: number): boolean {
  return group <= 1 || [3, 5, 7].some((base) => {
    let power = base
    while (power < group) power *= base
    return power === group
  })
}
