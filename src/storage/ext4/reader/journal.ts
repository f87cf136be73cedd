/**
 * What is in a journal and not yet in its place: found, so that it can be read there. Source: the Linux kernel's documentation,
 * filesystems/ext4 ("Journal (jbd2)"). Big-endian; every block of the journal's own begins with
 *
 *   0 magic u32, 4 kind u32, 8 sequence number u32
 *
 *   superblock   12 block size, 16 blocks, 20 first block of the log, 24 first sequence number, 28 start (0: empty), 40 features
 *   descriptor   from 12 on a tag for each of the blocks that follow it: where they belong
 *   revocation   12 bytes in use, from 16 on blocks that earlier transactions must not change any more
 *   commit       ends a transaction; one without it does not count
 *
 * Left out on purpose: checksums of journals, and fast commits (the file system is then as the last whole commit left it).
 */
import { findBlocks } from './block-map.ts'
import { readInode } from './inode.ts'
import type { Inode } from './inode.ts'
import type { JournalBlock, Volume } from './volume.ts'

const MAGIC = 0xc03b3998
const Kind = { DESCRIPTOR: 1, COMMIT: 2, SUPERBLOCK: 3, SUPERBLOCK_V2: 4, REVOCATION: 5 } as const
const Feature = { BITS_64: 0x2, CHECKSUM_V2: 0x8, CHECKSUM_V3: 0x10, FAST_COMMIT: 0x20 } as const
const FAST_COMMIT_BLOCKS = 256
const Tag = { ESCAPED: 1, SAME_UUID: 2, LAST: 8 } as const
const UUID_SIZE = 16
/** 4 GiB with blocks of 4 KiB; the largest that mke2fs makes by itself has 1 GiB. */
const MOST_BLOCKS = 2 ** 20

interface Log {
  readonly inode: Inode
  /** The log is a ring from `first` to before `end`. */
  readonly first: number
  readonly end: number
  readonly start: number
  readonly sequence: number
  readonly features: number
}

/** Makes the volume read as it would after the journal's replay. Throws TenonError DISK_CORRUPT, and what the source throws. */
export async function replayJournal(volume: Volume): Promise<void> {
  const { journalInode } = volume.superblock
  if (journalInode === 0) return
  const inode = await readInode(volume, journalInode)
  const log = decodeSuperblock(volume, inode, await readLogBlock(volume, inode, 0))
  if (log !== undefined) volume.overlay(await scan(volume, log))
}

/** The log, or undefined if it is empty. */
function decodeSuperblock(volume: Volume, inode: Inode, view: DataView): Log | undefined {
  const fields = [0, 4, 12, 16, 20, 24, 28, 40].map(offset => view.getUint32(offset))
  const [magic, kind, blockSize, blocks, first, sequence, start, features] = fields
  const isSuperblock = magic === MAGIC && (kind === Kind.SUPERBLOCK || kind === Kind.SUPERBLOCK_V2)
  if (!isSuperblock || blockSize !== volume.superblock.blockSize) throw volume.corrupt('its journal has no superblock')
  if (start === 0) return undefined
  const known = kind === Kind.SUPERBLOCK_V2 ? features : 0
  const end = blocks - ((known & Feature.FAST_COMMIT) === 0 ? 0 : view.getUint32(84) || FAST_COMMIT_BLOCKS)
  const isPossible = first >= 1 && start >= first && start < end && blocks <= MOST_BLOCKS
  if (!isPossible) throw volume.corrupt('its journal has an impossible size')
  return { inode, first, end, start, sequence, features: known }
}

async function readLogBlock(volume: Volume, inode: Inode, at: number): Promise<DataView> {
  const { start } = await findBlocks(volume, inode, at)
  if (start === 0) throw volume.corrupt('its journal has holes')
  const bytes = await volume.block(start)
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
}

/** Changes of a transaction that is not known yet to be whole. */
interface Transaction {
  readonly written: Map<number, JournalBlock>
  readonly revoked: Set<number>
}

/** Where the newest content of blocks is. */
async function scan(volume: Volume, log: Log): Promise<Map<number, JournalBlock>> {
  const moved = new Map<number, { readonly place: JournalBlock, readonly transaction: number }>()
  const lastRevoked = new Map<number, number>()
  let transaction = { number: 0, written: new Map<number, JournalBlock>(), revoked: new Set<number>() }
  const cursor = new Cursor(volume, log)
  for (let view = await cursor.next(); view !== undefined && isOf(view, log.sequence + transaction.number); view = await cursor.next()) {
    const kind = view.getUint32(4)
    if (kind === Kind.DESCRIPTOR) await takeDescriptor(view, log, cursor, transaction)
    else if (kind === Kind.REVOCATION) takeRevocation(view, log, transaction)
    else if (kind !== Kind.COMMIT) break
    else {
      const { number, written, revoked } = transaction
      for (const [block, place] of written) moved.set(block, { place, transaction: number })
      for (const block of revoked) lastRevoked.set(block, number)
      transaction = { number: number + 1, written: new Map(), revoked: new Set() }
    }
  }
  const valid = [...moved].filter(([block, { transaction }]) => transaction > (lastRevoked.get(block) ?? -1))
  return new Map(valid.map(([block, { place }]) => [block, place]))
}

function isOf(view: DataView, sequence: number): boolean {
  return view.getUint32(0) === MAGIC && view.getUint32(8) === sequence >>> 0
}

/** Goes around the log once at most. */
class Cursor {
  private readonly volume: Volume
  private readonly log: Log
  private at: number
  private left: number

  constructor(volume: Volume, log: Log) {
    this.volume = volume
    this.log = log
    this.at = log.start
    this.left = log.end - log.first
  }

  async next(): Promise<DataView | undefined> {
    const at = this.advance()
    return at === undefined ? undefined : readLogBlock(this.volume, this.log.inode, at)
  }

  /** Where the next block of the log is on the disk. */
  async place(): Promise<number | undefined> {
    const at = this.advance()
    return at === undefined ? undefined : (await findBlocks(this.volume, this.log.inode, at)).start || undefined
  }

  private advance(): number | undefined {
    if (this.left-- <= 0) return undefined
    const at = this.at++
    if (this.at === this.log.end) this.at = this.log.first
    return at
  }
}

async function takeDescriptor(view: DataView, { features }: Log, cursor: Cursor, { written }: Transaction): Promise<void> {
  const size = tagSize(features)
  for (let at = 12, isLast = false; !isLast && at + size <= view.byteLength; at += size) {
    const isWide = (features & Feature.CHECKSUM_V3) !== 0
    const flags = isWide ? view.getUint32(at + 4) : view.getUint16(at + 6)
    const high = (features & Feature.BITS_64) !== 0 ? view.getUint32(at + 8) : 0
    const place = await cursor.place()
    if (place === undefined) return
    written.set(view.getUint32(at) + high * 2 ** 32, { block: place, isEscaped: (flags & Tag.ESCAPED) !== 0 })
    if ((flags & Tag.SAME_UUID) === 0) at += UUID_SIZE
    isLast = (flags & Tag.LAST) !== 0
  }
}

function tagSize(features: number): number {
  if ((features & Feature.CHECKSUM_V3) !== 0) return 16
  return 8 + ((features & Feature.CHECKSUM_V2) !== 0 ? 2 : 0) + ((features & Feature.BITS_64) !== 0 ? 4 : 0)
}

function takeRevocation(view: DataView, { features }: Log, { revoked }: Transaction): void {
  const isWide = (features & Feature.BITS_64) !== 0
  const size = isWide ? 8 : 4
  const end = Math.min(view.getUint32(12), view.byteLength)
  for (let at = 16; at + size <= end; at += size) {
    const block = isWide ? view.getUint32(at) * 2 ** 32 + view.getUint32(at + 4) : view.getUint32(at)
    revoked.add(block)
  }
}
