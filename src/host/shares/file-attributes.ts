/** A file's figures as the guest gets them. */
import type { BigIntStats } from 'node:fs'
import type { FileAttributes } from '../../storage/fuse/file-system.ts'
import { FileType } from '../../storage/fuse/protocol.ts'

/** Whose the files are, to the guest. */
export interface Owner {
  readonly user: number
  readonly group: number
}

const OTHER_BITS = 0o7777

export function fileAttributes(stats: BigIntStats, { user, group }: Owner): FileAttributes {
  return {
    inode: stats.ino, size: stats.size, blocks: stats.blocks ?? (stats.size + 511n) / 512n,
    accessed: stats.atimeNs, modified: stats.mtimeNs, changed: stats.ctimeNs,
    mode: typeOf(stats) | Number(stats.mode) & OTHER_BITS, links: Number(stats.nlink), user, group,
    blockSize: Number(stats.blksize ?? 4096n),
  }
}

function typeOf(stats: BigIntStats): number {
  if (stats.isFile()) return FileType.REGULAR
  if (stats.isDirectory()) return FileType.DIRECTORY
  if (stats.isSymbolicLink()) return FileType.SYMLINK
  if (stats.isFIFO()) return FileType.FIFO
  if (stats.isSocket()) return FileType.SOCKET
  return stats.isBlockDevice() ? FileType.BLOCK : FileType.CHARACTER
}
