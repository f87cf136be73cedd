/**
 * The superblock of a file system that somebody else made: ext2, ext3 or ext4. Source: the Linux kernel's documentation,
 * filesystems/ext4 ("The Super Block"). It has 1024 bytes, 1024 bytes from the start; little-endian. Offsets:
 *
 *   0 inodes u32, 4 blocks u32, 20 first data block u32, 24 block size (log2, less 10) u32, 32 blocks per group u32,
 *   40 inodes per group u32, 56 magic u16, 76 revision u32, 88 inode size u16, 92 compatible, 96 incompatible, 100 read-only compatible
 *   features u32, 104 UUID, 120 label (16 bytes), 224 inode of the journal u32, 254 descriptor size u16, 260 first meta block group u32,
 *   336 blocks, high u32, 624 checksum seed u32, 1020 checksum u32
 */
import { decodeUtf8 } from '../../../base/utf8.ts'
import { storageError } from '../../errors.ts'
import { crc32c, CRC_START } from '../crc32c.ts'

export const SUPERBLOCK_OFFSET = 1024
export const SUPERBLOCK_SIZE = 1024
const CHECKSUM = 1020
const MAGIC = 0xef53
/** The first revision, which had fixed sizes. */
const OLD_INODE_SIZE = 128
const OLD_DESCRIPTOR_SIZE = 32
const LARGEST_DESCRIPTOR = 1024

/** Incompatible features. */
const Feature = { RECOVER: 0x4, META_BG: 0x10, BITS_64: 0x80, CHECKSUM_SEED: 0x2000 } as const
/**
 * Those that do not matter to a reader, or that it knows: filetype, recover, meta_bg, extents, 64bit, mmp, flex_bg, ea_inode, csum_seed,
 * large_dir, inline_data, encrypt, casefold. (A file with its data in the inode, or encrypted, is refused by itself.)
 */
const KNOWN = 0x2 | 0x4 | 0x10 | 0x40 | 0x80 | 0x100 | 0x200 | 0x400 | 0x2000 | 0x4000 | 0x8000 | 0x10000 | 0x20000
const METADATA_CHECKSUMS = 0x400
const HAS_JOURNAL = 0x4

export interface Superblock {
  /** Bytes. */
  readonly blockSize: number
  readonly blocks: number
  readonly inodes: number
  /** 1 if blocks have 1 KiB, else 0. */
  readonly firstDataBlock: number
  readonly blocksPerGroup: number
  readonly inodesPerGroup: number
  readonly inodeSize: number
  readonly descriptorSize: number
  /** Groups of descriptors from this on are meta block groups; Infinity for none. */
  readonly firstMetaGroup: number
  readonly hasChecksums: boolean
  /** Of all checksums but the superblock's own. */
  readonly checksumSeed: number
  readonly uuid: Uint8Array
  readonly label: string
  /** The inode of a journal that has changes which are not in their places; 0 for none. */
  readonly journalInode: number
}

/** @throws TenonError DISK_UNKNOWN_FORMAT (it is none), DISK_CORRUPT, DISK_UNSUPPORTED */
export function decodeSuperblock(bytes: Uint8Array, size: number): Superblock {
  const view = new DataView(bytes.buffer, bytes.byteOffset, SUPERBLOCK_SIZE)
  if (view.getUint16(56, true) !== MAGIC) throw storageError('DISK_UNKNOWN_FORMAT', 'this is no ext4 file system: there is no superblock')
  const hasChecksums = (view.getUint32(100, true) & METADATA_CHECKSUMS) !== 0
  const isIntact = !hasChecksums || view.getUint32(CHECKSUM, true) === crc32c(CRC_START, bytes.subarray(0, CHECKSUM))
  if (!isIntact) throw corrupt('the checksum of its superblock is wrong')
  checkFeatures(view.getUint32(96, true))
  const superblock = decodeFields(bytes, view, hasChecksums)
  checkSizes(superblock)
  if (superblock.blocks * superblock.blockSize > size) {
    throw corrupt(`it says that there are ${superblock.blocks * superblock.blockSize} bytes, and there are ${size}; was the image cut off?`)
  }
  return superblock
}

function checkFeatures(incompatible: number): void {
  const unknown = incompatible & ~KNOWN
  if (unknown !== 0) {
    throw storageError('DISK_UNSUPPORTED', `the ext4 file system has features that are not known here (0x${(unknown >>> 0).toString(16)})`)
  }
}

function decodeFields(bytes: Uint8Array, view: DataView, hasChecksums: boolean): Superblock {
  const word = (offset: number): number => view.getUint32(offset, true)
  const has = (feature: number): boolean => (word(96) & feature) !== 0
  const isOld = word(76) === 0
  const uuid = bytes.slice(104, 120)
  const label = bytes.subarray(120, 136)
  return {
    blockSize: 1024 * 2 ** Math.min(word(24), 10), blocks: word(4) + (has(Feature.BITS_64) ? word(336) * 2 ** 32 : 0), inodes: word(0),
    firstDataBlock: word(20), blocksPerGroup: word(32), inodesPerGroup: word(40),
    inodeSize: isOld ? OLD_INODE_SIZE : view.getUint16(88, true),
    descriptorSize: has(Feature.BITS_64) ? view.getUint16(254, true) : OLD_DESCRIPTOR_SIZE,
    firstMetaGroup: has(Feature.META_BG) ? word(260) : Infinity, hasChecksums,
    checksumSeed: has(Feature.CHECKSUM_SEED) ? word(624) : crc32c(CRC_START, uuid),
    uuid, label: decodeUtf8(label.subarray(0, [...label, 0].indexOf(0))),
    journalInode: has(Feature.RECOVER) && (word(92) & HAS_JOURNAL) !== 0 ? word(224) : 0,
  }
}

/** That the numbers can be worked with, each by itself and together. */
function checkSizes(fields: Superblock): void {
  const { blockSize, blocks, inodes, firstDataBlock, blocksPerGroup, inodesPerGroup, inodeSize, descriptorSize } = fields
  const isPowerOfTwo = (value: number): boolean => value > 0 && (value & value - 1) === 0
  const isInGroup = (count: number): boolean => count > 0 && count <= 8 * blockSize
  if (blockSize > 65536) throw corrupt('its block size is impossible')
  if (firstDataBlock !== (blockSize === 1024 ? 1 : 0)) throw corrupt('its first block is impossible')
  const isSize = (value: number, least: number, most: number): boolean => isPowerOfTwo(value) && value >= least && value <= most
  if (!isSize(inodeSize, OLD_INODE_SIZE, blockSize)) throw corrupt('its inode size is impossible')
  if (!isSize(descriptorSize, OLD_DESCRIPTOR_SIZE, LARGEST_DESCRIPTOR)) throw corrupt('its descriptor size is impossible')
  // With clusters (bigalloc) a group has more blocks than bits.
  const hasGroups = blocksPerGroup > 0 && isInGroup(inodesPerGroup) && Number.isSafeInteger(blocks * blockSize)
  if (!hasGroups) throw corrupt('its groups are impossible')
  const groups = Math.ceil((blocks - firstDataBlock) / blocksPerGroup)
  if (blocks <= firstDataBlock || inodes > groups * inodesPerGroup) throw corrupt('it has more inodes than its groups')
}

function corrupt(what: string): Error {
  return storageError('DISK_CORRUPT', `the ext4 file system cannot be used, ${what}: have e2fsck look at it`)
}
