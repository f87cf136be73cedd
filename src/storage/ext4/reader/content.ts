/** The bytes of a file, read. */
import { storageError } from '../../errors.ts'
import { findBlocks, MOST_BLOCKS } from './block-map.ts'
import type { Inode } from './inode.ts'
import type { Volume } from './volume.ts'

const FLAGS = { ENCRYPTED: 0x800, INLINE_DATA: 0x10000000 } as const
const EXTENTS_FLAG = 0x80000
/** A link's target that is shorter is in the inode. */
const INLINE_BYTES = 60
const LARGEST_PIECE = 1 << 20

/** Content in pieces of at most 1 MiB. Throws TenonError DISK_CORRUPT, DISK_UNSUPPORTED, and what the source throws. */
export async function * readContent(volume: Volume, inode: Inode): AsyncGenerator<Uint8Array> {
  const { blockSize } = volume.superblock
  refuseUnreadable(inode)
  if (inode.size > MOST_BLOCKS * blockSize) throw volume.corrupt(`inode ${inode.number} is larger than a file can be`)
  for (let at = 0; at < inode.size;) {
    const { start, count } = await findBlocks(volume, inode, at / blockSize)
    const blocks = Math.min(count, Math.ceil((inode.size - at) / blockSize))
    yield * readRun(volume, start, blocks, inode.size - at)
    at += blocks * blockSize
  }
}

async function * readRun(volume: Volume, start: number, count: number, bytesLeft: number): AsyncGenerator<Uint8Array> {
  const { blockSize } = volume.superblock
  const most = LARGEST_PIECE / blockSize
  for (let done = 0; done < count; done += most) {
    const blocks = Math.min(most, count - done)
    const bytes = start === 0 ? new Uint8Array(blocks * blockSize) : await volume.read(start + done, blocks)
    yield bytes.subarray(0, bytesLeft - done * blockSize)
  }
}

function refuseUnreadable({ number, flags }: Inode): void {
  const why = (flags & FLAGS.ENCRYPTED) !== 0 ? 'is encrypted' : (flags & FLAGS.INLINE_DATA) !== 0 ? 'has its data in its inode' : undefined
  if (why !== undefined) throw storageError('DISK_UNSUPPORTED', `inode ${number} of the ext4 file system ${why}, which is not known here`)
}

/** All of a content. Throws TenonError DISK_UNSUPPORTED if it is larger than `limit` bytes. */
export async function readWhole(volume: Volume, inode: Inode, limit: number, what: string): Promise<Uint8Array> {
  if (inode.size > limit) throw storageError('DISK_UNSUPPORTED', `${what} has ${inode.size} bytes, and ${limit} are allowed`)
  const whole = new Uint8Array(inode.size)
  let at = 0
  for await (const bytes of readContent(volume, inode)) {
    whole.set(bytes, at)
    at += bytes.length
  }
  return whole
}

/** Linux's PATH_MAX. */
const LONGEST_TARGET = 4096

/** Where a symbolic link leads, in bytes as they are. */
export async function readTarget(volume: Volume, inode: Inode): Promise<Uint8Array> {
  if (inode.size < INLINE_BYTES && (inode.flags & EXTENTS_FLAG) === 0) return inode.block.slice(0, inode.size)
  return readWhole(volume, inode, LONGEST_TARGET, `the symbolic link in inode ${inode.number}`)
}
