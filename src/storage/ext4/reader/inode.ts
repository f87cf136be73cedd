/**
 * Group descriptors and inodes, read. Source: the Linux kernel's documentation, filesystems/ext4 ("Block Group Descriptors", "Index
 * Nodes"); the offsets in an inode are in ../inode.ts.
 *
 * Left out on purpose: the checksums of groups and bitmaps, which a reader does not need.
 */
import { crc32c, crc32cOfWord } from '../crc32c.ts'
import { isBackup } from '../geometry.ts'
import { FileType } from '../inode.ts'
import type { Volume } from './volume.ts'

const TYPE_MASK = 0xf000
const TABLE_LOW = 8
const TABLE_HIGH = 40
/** Descriptors from this size on have high halves. */
const WIDE_DESCRIPTOR = 64
const OLD_INODE_SIZE = 128

export type FileKind = 'file' | 'directory' | 'symbolic-link' | 'character-device' | 'block-device' | 'fifo' | 'socket'

const KINDS: Readonly<Record<number, FileKind>> = {
  [FileType.REGULAR]: 'file', [FileType.DIRECTORY]: 'directory', [FileType.LINK]: 'symbolic-link', [FileType.FIFO]: 'fifo',
  [FileType.CHARACTER]: 'character-device', [FileType.BLOCK]: 'block-device', [FileType.SOCKET]: 'socket',
}

export interface Inode {
  readonly number: number
  readonly kind: FileKind
  /** Permission bits, 0 to 0o7777. */
  readonly permissions: number
  readonly uid: number
  readonly gid: number
  readonly links: number
  /** Bytes. */
  readonly size: number
  /** Seconds since 1970. */
  readonly modified: number
  readonly flags: number
  /** i_block: 60 bytes. */
  readonly block: Uint8Array
  /** Of the checksums of its extents. */
  readonly seed: number
}

/** @throws TenonError DISK_CORRUPT, and what the source throws */
export async function readInode(volume: Volume, number: number): Promise<Inode> {
  const { inodes, inodesPerGroup, inodeSize, blockSize } = volume.superblock
  if (!Number.isInteger(number) || number < 1 || number > inodes) throw volume.corrupt(`it has no inode ${number}`)
  const index = number - 1
  const table = await findInodeTable(volume, Math.floor(index / inodesPerGroup))
  const offset = index % inodesPerGroup * inodeSize
  const block = await volume.block(table + Math.floor(offset / blockSize))
  return decodeInode(volume, number, block.subarray(offset % blockSize, offset % blockSize + inodeSize))
}

async function findInodeTable(volume: Volume, group: number): Promise<number> {
  const { blockSize, descriptorSize } = volume.superblock
  const perBlock = blockSize / descriptorSize
  const block = await volume.block(descriptorBlock(volume, Math.floor(group / perBlock), perBlock))
  const view = new DataView(block.buffer, block.byteOffset + group % perBlock * descriptorSize, descriptorSize)
  const high = descriptorSize >= WIDE_DESCRIPTOR ? view.getUint32(TABLE_HIGH, true) : 0
  return view.getUint32(TABLE_LOW, true) + high * 2 ** 32
}

/** With meta block groups, a block of descriptors is in the first of the groups that it describes. */
function descriptorBlock({ superblock }: Volume, index: number, perBlock: number): number {
  const { firstDataBlock, firstMetaGroup, blocksPerGroup } = superblock
  if (index < firstMetaGroup) return firstDataBlock + 1 + index
  const group = index * perBlock
  return firstDataBlock + group * blocksPerGroup + (isBackup(group) ? 1 : 0)
}

function decodeInode(volume: Volume, number: number, bytes: Uint8Array): Inode {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const half = (offset: number): number => view.getUint16(offset, true)
  const word = (offset: number): number => view.getUint32(offset, true)
  const { hasChecksums, checksumSeed } = volume.superblock
  const seed = crc32cOfWord(crc32cOfWord(checksumSeed, number), word(100))
  if (hasChecksums && !isIntact(bytes, view, seed)) throw volume.corrupt(`the checksum of inode ${number} is wrong`)
  const kind = KINDS[half(0) & TYPE_MASK]
  if (kind === undefined) throw volume.corrupt(`inode ${number} is of no known kind`)
  return {
    number, kind, permissions: half(0) & ~TYPE_MASK, uid: half(2) | half(120) << 16, gid: half(24) | half(122) << 16, links: half(26),
    size: word(4) + word(108) * 2 ** 32, modified: modifiedAt(view), flags: word(32), block: bytes.slice(40, 100), seed,
  }
}

/** Bytes beyond the old inode that are in use. */
function extraSize(view: DataView): number {
  return view.byteLength > OLD_INODE_SIZE ? Math.min(view.getUint16(OLD_INODE_SIZE, true), view.byteLength - OLD_INODE_SIZE) : 0
}

/** The time has 32 bits with a sign, and two more beside the nanoseconds. */
function modifiedAt(view: DataView): number {
  const epoch = extraSize(view) >= 12 ? view.getUint32(136, true) & 3 : 0
  return view.getInt32(16, true) + epoch * 2 ** 32
}

function isIntact(bytes: Uint8Array, view: DataView, seed: number): boolean {
  const isWide = extraSize(view) >= 4
  const copy = bytes.slice()
  copy.fill(0, 124, 126)
  if (isWide) copy.fill(0, 130, 132)
  const checksum = crc32c(seed, copy)
  return view.getUint16(124, true) === (checksum & 0xffff) && (!isWide || view.getUint16(130, true) === checksum >>> 16)
}
