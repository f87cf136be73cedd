/**
 * Where the blocks of a file are: extents, or the block map of ext2 and ext3. Source: the Linux kernel's documentation, filesystems/ext4
 * ("The Contents of inode.i_block").
 *
 *   extents    0 magic u16, 2 entries u16, 4 room u16, 6 depth u16; from 12 on entries of 12 bytes
 *              leaf: 0 block of the file u32, 4 length u16, 6 place, high u16, 8 place u32; index: 0 block u32, 4 place u32, 8 high u16
 *   block map  12 places u32, then that of a block of places, of a block of those, and of a block of those
 */
import { crc32c } from '../crc32c.ts'
import type { Inode } from './inode.ts'
import type { Volume } from './volume.ts'

const EXTENTS_FLAG = 0x80000
const EXTENT_MAGIC = 0xf30a
const HEADER_SIZE = 12
const ENTRY_SIZE = 12
const DEEPEST = 5
/** Longer ones are shorter by this, and were reserved but not written: they read as zeros. */
const LONGEST_WRITTEN = 0x8000
const DIRECT_BLOCKS = 12
const INDIRECTIONS = 3
/** Blocks of a file are numbered with 32 bits. */
export const MOST_BLOCKS = 2 ** 32

/** Blocks of a file that follow each other there and on the disk. `start` is 0 for a hole. */
export interface Run {
  readonly start: number
  readonly count: number
}

/** What is known of a file from its block `at` on. Throws TenonError DISK_CORRUPT, and what the source throws. */
export async function findBlocks(volume: Volume, inode: Inode, at: number): Promise<Run> {
  const run = await ((inode.flags & EXTENTS_FLAG) !== 0 ? findExtent(volume, inode, at) : findMapped(volume, inode, at))
  if (!(run.count > 0)) throw volume.corrupt(`the extents of inode ${inode.number} are out of order`)
  const isInside = run.start === 0 || run.start + run.count <= volume.superblock.blocks
  if (!isInside) throw volume.corrupt(`inode ${inode.number} has blocks outside of it`)
  return run
}

async function findExtent(volume: Volume, inode: Inode, at: number): Promise<Run> {
  let node = inode.block
  let end = MOST_BLOCKS
  for (let depth = decodeHeader(volume, inode, node).depth; ; depth--) {
    const header = decodeHeader(volume, inode, node)
    if (header.depth !== depth) throw volume.corrupt(`the extents of inode ${inode.number} are no tree`)
    const next = firstAfter(node, header.entries, at)
    if (next < header.entries) end = Math.min(end, entryAt(node, next).getUint32(0, true))
    if (next === 0) return { start: 0, count: end - at }
    const entry = entryAt(node, next - 1)
    if (depth === 0) return leafRun(entry, at, end)
    node = await readNode(volume, inode, entry)
  }
}

function decodeHeader(volume: Volume, { number }: Inode, node: Uint8Array): { readonly entries: number, readonly depth: number } {
  const view = new DataView(node.buffer, node.byteOffset)
  const [magic, entries, , depth] = [0, 2, 4, 6].map(offset => view.getUint16(offset, true))
  const fits = HEADER_SIZE + entries * ENTRY_SIZE <= node.length
  if (magic !== EXTENT_MAGIC || !fits || depth > DEEPEST) throw volume.corrupt(`the extents of inode ${number} are none`)
  return { entries, depth }
}

function entryAt(node: Uint8Array, index: number): DataView {
  return new DataView(node.buffer, node.byteOffset + HEADER_SIZE + index * ENTRY_SIZE, ENTRY_SIZE)
}

/** The first of the entries, which are in order, that begins after the block `at`. */
function firstAfter(node: Uint8Array, entries: number, at: number): number {
  const view = new DataView(node.buffer, node.byteOffset + HEADER_SIZE)
  let [low, high] = [0, entries]
  while (low < high) {
    const middle = low + high >>> 1
    if (view.getUint32(middle * ENTRY_SIZE, true) <= at) low = middle + 1
    else high = middle
  }
  return low
}

/** `end` is where the next extent begins. */
function leafRun(view: DataView, at: number, end: number): Run {
  const skip = at - view.getUint32(0, true)
  const length = view.getUint16(4, true)
  const isWritten = length <= LONGEST_WRITTEN
  const left = (isWritten ? length : length - LONGEST_WRITTEN) - skip
  if (left <= 0) return { start: 0, count: end - at }
  const start = view.getUint32(8, true) + view.getUint16(6, true) * 2 ** 32
  return { start: isWritten ? start + skip : 0, count: Math.min(left, end - at) }
}

async function readNode(volume: Volume, { number, seed }: Inode, view: DataView): Promise<Uint8Array> {
  const node = await volume.block(view.getUint32(4, true) + view.getUint16(8, true) * 2 ** 32)
  if (!volume.superblock.hasChecksums) return node
  const words = new DataView(node.buffer, node.byteOffset)
  const end = HEADER_SIZE + words.getUint16(4, true) * ENTRY_SIZE
  const isIntact = end + 4 <= node.length && words.getUint32(end, true) === crc32c(seed, node.subarray(0, end))
  if (!isIntact) throw volume.corrupt(`the checksum of extents of inode ${number} is wrong`)
  return node
}

async function findMapped(volume: Volume, { block }: Inode, at: number): Promise<Run> {
  if (at < DIRECT_BLOCKS) return runIn(block.subarray(0, DIRECT_BLOCKS * 4), at)
  const perBlock = volume.superblock.blockSize / 4
  let left = at - DIRECT_BLOCKS
  for (let level = 1; level <= INDIRECTIONS; level++) {
    const covered = perBlock ** level
    if (left < covered) return findIndirect(volume, placeAt(block, DIRECT_BLOCKS + level - 1), level, left)
    left -= covered
  }
  return { start: 0, count: MOST_BLOCKS - at }
}

async function findIndirect(volume: Volume, root: number, levels: number, at: number): Promise<Run> {
  const perBlock = volume.superblock.blockSize / 4
  let place = root
  let left = at
  for (let covered = perBlock ** levels; ; covered /= perBlock) {
    if (place === 0) return { start: 0, count: covered - left }
    const places = await volume.block(place)
    if (covered === perBlock) return runIn(places, left)
    place = placeAt(places, Math.floor(left / (covered / perBlock)))
    left %= covered / perBlock
  }
}

function placeAt(places: Uint8Array, index: number): number {
  return new DataView(places.buffer, places.byteOffset).getUint32(index * 4, true)
}

function runIn(places: Uint8Array, index: number): Run {
  const start = placeAt(places, index)
  const next = (count: number): number => start === 0 ? 0 : start + count
  let count = 1
  while ((index + count) * 4 < places.length && placeAt(places, index + count) === next(count)) count++
  return { start, count }
}
