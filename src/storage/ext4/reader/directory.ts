/**
 * Directories, read one block after the other: those with hash trees can be, because the tree's blocks look like unused entries.
 * Source: the Linux kernel's documentation, filesystems/ext4 ("Directory Entries"); an entry's layout is in ../directory.ts.
 *
 * Left out on purpose: the directories' checksums. A wrong entry leads to an inode, which has its own.
 */
import { storageError } from '../../errors.ts'
import { EntryType } from '../directory.ts'
import { readContent } from './content.ts'
import type { FileKind, Inode } from './inode.ts'
import type { Volume } from './volume.ts'

const HEADER_SIZE = 8
/** A directory beyond this is refused: it would only be one that is made to take for ever. */
const LARGEST = 32 << 20

const KINDS: Readonly<Record<number, FileKind>> = {
  [EntryType.REGULAR]: 'file', [EntryType.DIRECTORY]: 'directory', [EntryType.CHARACTER]: 'character-device',
  [EntryType.BLOCK]: 'block-device', [EntryType.FIFO]: 'fifo', [EntryType.SOCKET]: 'socket', [EntryType.LINK]: 'symbolic-link',
}

export interface RawEntry {
  readonly name: Uint8Array
  readonly inode: number
  /** As the directory says; the inode decides. Undefined: it says nothing. */
  readonly kind: FileKind | undefined
}

/** The entries without `.` and `..`. Throws TenonError DISK_CORRUPT, DISK_UNSUPPORTED, and what the source throws. */
export async function * readEntries(volume: Volume, inode: Inode): AsyncGenerator<RawEntry> {
  const { blockSize } = volume.superblock
  if (inode.size > LARGEST) {
    throw storageError('DISK_UNSUPPORTED', `the directory in inode ${inode.number} has ${inode.size} bytes, and ${LARGEST} are allowed`)
  }
  for await (const bytes of readContent(volume, inode)) {
    for (let at = 0; at < bytes.length; at += blockSize) yield * entriesOf(volume, inode, bytes.subarray(at, at + blockSize))
  }
}

function * entriesOf(volume: Volume, { number }: Inode, block: Uint8Array): Generator<RawEntry> {
  const view = new DataView(block.buffer, block.byteOffset, block.length)
  for (let at = 0; at < block.length;) {
    const room = block.length - at
    const length = room < HEADER_SIZE ? 0 : decodeLength(view.getUint16(at + 4, true))
    const nameLength = room < HEADER_SIZE ? 0 : block[at + 6]
    const isPossible = length >= HEADER_SIZE + nameLength && length <= room && length % 4 === 0
    if (!isPossible) throw volume.corrupt(`the directory in inode ${number} has impossible entries`)
    const name = block.subarray(at + HEADER_SIZE, at + HEADER_SIZE + nameLength)
    const inode = view.getUint32(at, true)
    if (inode !== 0 && !isDots(name)) yield { name, inode, kind: KINDS[block[at + 7]] }
    at += length
  }
}

/** 65536 does not fit; the low two bits, which are not needed, stand for the high ones. */
function decodeLength(field: number): number {
  return field === 0xffff || field === 0 ? 65536 : field & 0xfffc | (field & 3) << 16
}

const DOT = 0x2e

function isDots(name: Uint8Array): boolean {
  return name.length <= 2 && name.every(byte => byte === DOT)
}
