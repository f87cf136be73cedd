/**
 * Blocks of a linear directory. Source: the Linux kernel's documentation, filesystems/ext4 ("Directory Entries"). An entry:
 *
 *   0 inode u32, 4 length of the entry u16, 6 length of the name u8, 7 type u8, 8 name; a multiple of 4 bytes
 *
 * The last entry of a block ends 12 bytes before it; there is the block's checksum, made up as an entry without a name.
 *
 * Left out on purpose: hash trees. A kernel makes one when a large directory is changed; until then it is searched.
 */
import { crc32c } from './crc32c.ts'
import { BLOCK_SIZE } from './geometry.ts'

const TAIL_SIZE = 12
const TAIL_TYPE = 0xde

export const EntryType = { REGULAR: 1, DIRECTORY: 2, CHARACTER: 3, BLOCK: 4, FIFO: 5, SOCKET: 6, LINK: 7 } as const

export interface DirectoryEntry { readonly name: Uint8Array, readonly inode: number, readonly type: number }

/** Entries by the block they are in. */
export function packDirectory(names: readonly Uint8Array[]): number[][] {
  const blocks: number[][] = [[]]
  let used = 0
  names.forEach((name, index) => {
    const size = entrySize(name)
    if (used + size > BLOCK_SIZE - TAIL_SIZE) {
      blocks.push([])
      used = 0
    }
    blocks[blocks.length - 1].push(index)
    used += size
  })
  return blocks
}

export function encodeDirectoryBlock(entries: readonly DirectoryEntry[], seed: number): Uint8Array {
  const bytes = new Uint8Array(BLOCK_SIZE)
  const view = new DataView(bytes.buffer)
  let at = 0
  entries.forEach(({ name, inode, type }, index) => {
    const size = index === entries.length - 1 ? BLOCK_SIZE - TAIL_SIZE - at : entrySize(name)
    view.setUint32(at, inode, true)
    view.setUint16(at + 4, size, true)
    bytes[at + 6] = name.length
    bytes[at + 7] = type
    bytes.set(name, at + 8)
    at += size
  })
  // A block without entries is one unused entry.
  if (entries.length === 0) view.setUint16(4, BLOCK_SIZE - TAIL_SIZE, true)
  view.setUint16(BLOCK_SIZE - TAIL_SIZE + 4, TAIL_SIZE, true)
  bytes[BLOCK_SIZE - TAIL_SIZE + 7] = TAIL_TYPE
  view.setUint32(BLOCK_SIZE - 4, crc32c(seed, bytes.subarray(0, BLOCK_SIZE - TAIL_SIZE)), true)
  return bytes
}

const entrySize = (name: Uint8Array): number => 8 + (name.length + 3 & ~3)
