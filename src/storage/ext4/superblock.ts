/**
 * Superblock and group descriptors. Source: the Linux kernel's documentation, filesystems/ext4 ("The Super Block", "Block Group
 * Descriptors"). Little-endian; the offsets are in the tables below.
 */
import { encodeUtf8 } from '../../base/utf8.ts'
import { crc32c, crc32cOfWord, CRC_START } from './crc32c.ts'
import { BLOCK_SIZE, BLOCKS_PER_GROUP, DESCRIPTOR_SIZE, FIRST_INODE, INODE_SIZE } from './geometry.ts'
import type { Geometry, Group } from './geometry.ts'

const SUPERBLOCK_SIZE = 1024
const CHECKSUM = 1020
const MAGIC = 0xef53
const COMPATIBLE = { has_journal: 0x4, ext_attr: 0x8, dir_index: 0x20 }
const INCOMPATIBLE = { filetype: 0x2, extents: 0x40, '64bit': 0x80 }
const READ_ONLY_COMPATIBLE = {
  sparse_super: 0x1, large_file: 0x2, huge_file: 0x8, dir_nlink: 0x20, extra_isize: 0x40, metadata_csum: 0x400,
}
/** Mount options that are on: user_xattr and acl. */
const MOUNT_OPTIONS = 0xc
const JOURNAL_INODE = 8
/** The journal's inode is copied here: i_block and size. */
const JOURNAL_IN_INODE = 1
const HALF_MD4 = 1
const SIGNED_HASH = 1
const CRC32C = 1
/** Blocks kept for root, in percent. */
const RESERVED = 5
/** Flags of a group: its inode table is zeroed; it has no inodes in use. */
const [INODE_ZEROED, INODE_UNINITIALISED] = [0x4, 0x1]

export interface SuperblockFields {
  readonly geometry: Geometry
  readonly freeBlocks: number
  readonly freeInodes: number
  readonly uuid: Uint8Array
  /** At most 16 bytes. */
  readonly label: string
  /** Seconds since 1970. */
  readonly time: number
  /** Bytes 40 to 99 of the journal's inode, and its size. */
  readonly journal: { readonly block: Uint8Array, readonly size: number }
}

export const checksumSeed = (uuid: Uint8Array): number => crc32c(CRC_START, uuid)

/** The superblock as it is in a group. */
export function encodeSuperblock(fields: SuperblockFields, group: number): Uint8Array {
  const { geometry, freeBlocks, freeInodes, uuid, label, time, journal } = fields
  const bytes = new Uint8Array(SUPERBLOCK_SIZE)
  const view = new DataView(bytes.buffer)
  const sum = (flags: Record<string, number>): number => Object.values(flags).reduce((all, flag) => all | flag)
  const reserved = Math.floor(geometry.blocks * RESERVED / 100)
  const words: readonly (readonly [offset: number, value: number])[] = [
    [0x0, geometry.inodes], [0x4, geometry.blocks], [0x8, reserved], [0xc, freeBlocks], [0x10, freeInodes],
    [0x18, Math.log2(BLOCK_SIZE / 1024)], [0x1c, Math.log2(BLOCK_SIZE / 1024)],
    [0x20, BLOCKS_PER_GROUP], [0x24, BLOCKS_PER_GROUP], [0x28, geometry.inodesPerGroup],
    [0x30, time], [0x40, time], [0x4c, 1], [0x54, FIRST_INODE],
    [0x5c, sum(COMPATIBLE)], [0x60, sum(INCOMPATIBLE)], [0x64, sum(READ_ONLY_COMPATIBLE)],
    [0xe0, JOURNAL_INODE], [0x100, MOUNT_OPTIONS], [0x108, time], [0x160, SIGNED_HASH],
    [0x150, Math.floor(geometry.blocks / 2 ** 32)], [0x154, Math.floor(reserved / 2 ** 32)], [0x158, Math.floor(freeBlocks / 2 ** 32)],
    [0x148, Math.floor(journal.size / 2 ** 32)], [0x14c, journal.size],
  ]
  for (const [offset, value] of words) view.setUint32(offset, value, true)
  const halves: readonly (readonly [offset: number, value: number])[] = [
    [0x36, 0xffff], [0x38, MAGIC], [0x3a, 1], [0x3c, 1], [0x58, INODE_SIZE], [0x5a, group],
    [0xfe, DESCRIPTOR_SIZE], [0x15c, 32], [0x15e, 32],
  ]
  for (const [offset, value] of halves) view.setUint16(offset, value, true)
  bytes[0xfc] = HALF_MD4
  bytes[0xfd] = JOURNAL_IN_INODE
  bytes[0x175] = CRC32C
  bytes.set(uuid, 0x68)
  bytes.set(encodeUtf8(label), 0x78)
  // The seed of directories' hashes is any; that it follows from the UUID keeps the result repeatable.
  bytes.set(uuid, 0xec)
  bytes.set(journal.block, 0x10c)
  view.setUint32(CHECKSUM, crc32c(CRC_START, bytes.subarray(0, CHECKSUM)), true)
  return bytes
}

export interface GroupFields {
  readonly freeBlocks: number
  readonly freeInodes: number
  readonly directories: number
  /** Inodes at the table's end that were never used. */
  readonly unusedInodes: number
  readonly blockBitmap: Uint8Array
  readonly inodeBitmap: Uint8Array
}

export function encodeDescriptor(group: Group, fields: GroupFields, inodesPerGroup: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(DESCRIPTOR_SIZE)
  const view = new DataView(bytes.buffer)
  const places = [[0x0, 0x20, group.blockBitmap], [0x4, 0x24, group.inodeBitmap], [0x8, 0x28, group.inodeTable]]
  for (const [low, high, value] of places) {
    view.setUint32(low, value, true)
    view.setUint32(high, Math.floor(value / 2 ** 32), true)
  }
  const checksums = [
    crc32c(seed, fields.blockBitmap.subarray(0, BLOCKS_PER_GROUP / 8)), crc32c(seed, fields.inodeBitmap.subarray(0, inodesPerGroup / 8)),
  ]
  const halves = [
    [0xc, 0x2c, fields.freeBlocks], [0xe, 0x2e, fields.freeInodes], [0x10, 0x30, fields.directories],
    [0x1c, 0x32, fields.unusedInodes], [0x18, 0x38, checksums[0]], [0x1a, 0x3a, checksums[1]],
  ]
  for (const [low, high, value] of halves) {
    view.setUint16(low, value, true)
    view.setUint16(high, value >>> 16, true)
  }
  view.setUint16(0x12, fields.unusedInodes === inodesPerGroup ? INODE_ZEROED | INODE_UNINITIALISED : INODE_ZEROED, true)
  view.setUint16(0x1e, crc32c(crc32cOfWord(seed, group.number), bytes), true)
  return bytes
}
