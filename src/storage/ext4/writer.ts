/**
 * Makes an ext4 file system of a tree of files. The same tree, size, UUID and time give the same bytes.
 *
 * The result has a journal, extents, 64-bit block numbers and checksums on all metadata, as a current mke2fs makes it; what is left out
 * is said in geometry.ts and directory.ts. Every metadata structure and every file is written once; what would be zero is not
 * written at all.
 */
import { encodeUtf8 } from '../../base/utf8.ts'
import type { BlockNode } from '../block-node.ts'
import { storageError } from '../errors.ts'
import type { Directory, TreeNode } from '../filesystems/tree.ts'
import { BlockAllocator, fillBits } from './allocator.ts'
import type { Run } from './allocator.ts'
import { encodeAttributes, sealAttributes } from './attributes.ts'
import { EntryType, encodeDirectoryBlock, packDirectory } from './directory.ts'
import type { DirectoryEntry } from './directory.ts'
import { BLOCK_SIZE, FIRST_INODE, INODE_SIZE, layOut } from './geometry.ts'
import type { Geometry, Group } from './geometry.ts'
import { FileType, INLINE_BYTES, buildExtents, encodeInode, inodeSeed, leavesFor } from './inode.ts'
import type { InodeFields } from './inode.ts'
import { encodeJournal, journalBlocks } from './journal.ts'
import { checksumSeed, encodeDescriptor, encodeSuperblock } from './superblock.ts'

export interface Ext4Options {
  /** 16 bytes. */
  readonly uuid: Uint8Array
  /** At most 16 bytes in UTF-8. */
  readonly label?: string
  /** Of the making of the file system, in seconds since 1970. */
  readonly time: number
  /** Bytes of files written so far, of all. */
  readonly progress?: (done: number, total: number) => void
  readonly signal?: { throwIfAborted(): void }
}

/** Where the file system goes: it must read as zeros, all of it. */
export type Ext4Target = Pick<BlockNode, 'size' | 'write'>

const ROOT_INODE = 2
const JOURNAL_INODE = 8
/** Links that a count can say; directories with more say 1 (feature dir_nlink). */
const MAXIMUM_LINKS = 65000
const MAXIMUM_LABEL = 16
const MAXIMUM_NAME = 255
const MAXIMUM_TARGET = BLOCK_SIZE - 1
const JOURNAL_PERMISSIONS = 0o600
const LOST_AND_FOUND = 'lost+found'
/** Content is written in pieces of this size. */
const PIECE = 256 * BLOCK_SIZE

const MODES: Readonly<Record<TreeNode['kind'], readonly [mode: number, entry: number]>> = {
  'directory': [FileType.DIRECTORY, EntryType.DIRECTORY], 'file': [FileType.REGULAR, EntryType.REGULAR],
  'symbolic-link': [FileType.LINK, EntryType.LINK], 'fifo': [FileType.FIFO, EntryType.FIFO], 'socket': [FileType.SOCKET, EntryType.SOCKET],
  'character-device': [FileType.CHARACTER, EntryType.CHARACTER], 'block-device': [FileType.BLOCK, EntryType.BLOCK],
}

/** What an inode says of a file's content. */
type Body = Pick<InodeFields, 'size' | 'block' | 'usesExtents' | 'blocks'>
type Content = AsyncIterable<Uint8Array> | Iterable<Uint8Array>

/** A file of the tree with its inode. */
interface Entry {
  readonly node: TreeNode
  readonly path: string
  readonly inode: number
  readonly parent: number
  links: number
}

/** @throws TenonError FILESYSTEM_TOO_SMALL, FILE_UNFIT (the message names the file), and what the target and the files' contents throw */
export async function writeExt4(target: Ext4Target, root: Directory, options: Ext4Options): Promise<void> {
  if (encodeUtf8(options.label ?? '').length > MAXIMUM_LABEL) {
    throw storageError('FILE_UNFIT', `the label ${options.label} is longer than ${MAXIMUM_LABEL} bytes: shorten it`)
  }
  await new Writer(target, root, options).write()
}

class Writer {
  private readonly target: Ext4Target
  private readonly options: Ext4Options
  private readonly seed: number
  private readonly entries = new Map<TreeNode, Entry>()
  private readonly geometry: Geometry
  private readonly allocator: BlockAllocator
  private readonly inodes: Uint8Array[] = []
  private readonly directoriesIn = new Map<number, number>()
  private readonly totalBytes: number
  private done = 0
  private journal: { readonly block: Uint8Array, readonly size: number } = { block: new Uint8Array(INLINE_BYTES), size: 0 }

  constructor(target: Ext4Target, root: Directory, options: Ext4Options) {
    this.target = target
    this.options = options
    this.seed = checksumSeed(options.uuid)
    this.collect(withLostAndFound(root, options.time))
    this.geometry = layOut(target.size, this.entries.size + FIRST_INODE)
    this.allocator = new BlockAllocator(this.geometry)
    this.totalBytes = [...this.entries.keys()].reduce((sum, node) => sum + (node.kind === 'file' ? node.size : 0), 0)
  }

  async write(): Promise<void> {
    await this.writeJournal()
    for (const entry of this.entries.values()) {
      this.options.signal?.throwIfAborted()
      await this.writeEntry(entry)
    }
    await this.writeInodeTables()
    await this.writeGroups()
  }

  /** Gives inodes: the root, lost+found, and the others in the tree's order. */
  private collect(root: Directory): void {
    this.entries.set(root, { node: root, path: '/', inode: ROOT_INODE, parent: ROOT_INODE, links: 2 })
    let next = FIRST_INODE
    const waiting: Directory[] = [root]
    for (let directory = waiting.shift(); directory !== undefined; directory = waiting.shift()) {
      const { inode, path } = this.entryOf(directory)
      for (const [name, node] of directory.children) {
        const known = this.entries.get(node)
        const here = `${path === '/' ? '' : path}/${name}`
        if (known !== undefined) addName(known, here)
        else this.entries.set(node, { node, path: here, inode: next++, parent: inode, links: node.kind === 'directory' ? 2 : 1 })
        if (node.kind !== 'directory') continue
        this.entryOf(directory).links++
        waiting.push(node)
      }
    }
  }

  private entryOf(node: TreeNode): Entry { return this.entries.get(node)! }

  // Files.

  private async writeJournal(): Promise<void> {
    const blocks = journalBlocks(this.geometry.blocks)
    const runs = this.allocator.allocate(blocks)
    await this.writeAt(runs[0].start, encodeJournal(blocks, this.options.uuid))
    const { root: block } = buildExtents(runs, [], 0)
    this.journal = { block, size: blocks * BLOCK_SIZE }
    this.setInode(JOURNAL_INODE, {
      mode: FileType.REGULAR | JOURNAL_PERMISSIONS, uid: 0, gid: 0, size: this.journal.size, time: this.options.time, links: 1, block,
      usesExtents: true, blocks, attributesBlock: 0,
    })
  }

  private async writeEntry(entry: Entry): Promise<void> {
    const { node } = entry
    if (node.kind !== 'directory' && entry.links > MAXIMUM_LINKS) {
      throw storageError('FILE_UNFIT', `${entry.path} has ${entry.links} names, and ext4 allows ${MAXIMUM_LINKS}`)
    }
    if (node.kind === 'directory') this.countDirectory(entry.inode)
    const attributesBlock = await this.writeAttributes(entry)
    const body = await this.writeBody(entry)
    this.setInode(entry.inode, {
      mode: MODES[node.kind][0] | node.permissions, uid: node.uid, gid: node.gid, time: node.modified,
      links: entry.links > MAXIMUM_LINKS ? 1 : entry.links, attributesBlock, ...body, blocks: body.blocks + (attributesBlock === 0 ? 0 : 1),
    })
  }

  private async writeBody(entry: Entry): Promise<Body> {
    const { node } = entry
    switch (node.kind) {
      case 'directory': return this.writeDirectory(entry, node)
      case 'file': return this.writeContent(entry, node.size, node.content())
      case 'symbolic-link': return this.writeLink(entry, node.target)
      case 'character-device': case 'block-device': return inline(encodeDevice(node.major, node.minor), 0)
      default: return inline(new Uint8Array(0), 0)
    }
  }

  private async writeLink(entry: Entry, text: string): Promise<Body> {
    const bytes = encodeUtf8(text)
    if (bytes.length === 0 || bytes.length > MAXIMUM_TARGET) {
      const allowed = `and ext4 allows 1 to ${MAXIMUM_TARGET}`
      throw storageError('FILE_UNFIT', `the symbolic link ${entry.path} leads to a name of ${bytes.length} bytes, ${allowed}`)
    }
    return bytes.length < INLINE_BYTES ? inline(bytes, bytes.length) : this.writeContent(entry, bytes.length, [bytes])
  }

  private async writeDirectory(entry: Entry, { children }: Directory): Promise<Body> {
    const listed: DirectoryEntry[] = [
      { name: Uint8Array.of(0x2e), inode: entry.inode, type: EntryType.DIRECTORY },
      { name: Uint8Array.of(0x2e, 0x2e), inode: entry.parent, type: EntryType.DIRECTORY },
      ...[...children].map(([name, node]) =>
        ({ name: encodeName(name, entry.path), inode: this.entryOf(node).inode, type: MODES[node.kind][1] })),
    ]
    const seed = inodeSeed(this.seed, entry.inode)
    const packed = packDirectory(listed.map(({ name }) => name))
    const blocks = packed.map((indexes) => encodeDirectoryBlock(indexes.map((index) => listed[index]), seed))
    return this.writeContent(entry, blocks.length * BLOCK_SIZE, blocks)
  }

  private async writeContent(entry: Entry, size: number, content: Content): Promise<Body> {
    const blocks = Math.ceil(size / BLOCK_SIZE)
    const runs = this.allocator.allocate(blocks)
    const leaves = this.allocator.allocate(leavesFor(runs)).flatMap(({ start, count }) =>
      Array.from({ length: count }, (_, n) => start + n))
    const tree = buildExtents(runs, leaves, inodeSeed(this.seed, entry.inode))
    for (const { block, bytes } of tree.leaves) await this.writeAt(block, bytes)
    await this.fill(entry, runs, size, content)
    return { size, block: tree.root, usesExtents: true, blocks: blocks + leaves.length }
  }

  /** Writes content in large pieces; those that are zero stay unwritten. */
  private async fill(entry: Entry, runs: readonly Run[], size: number, content: Content): Promise<void> {
    const places = placesOf(runs)
    let piece = new Uint8Array(Math.min(PIECE, Math.ceil(size / BLOCK_SIZE) * BLOCK_SIZE))
    let used = 0
    let total = 0
    const flush = async (): Promise<void> => {
      for (let at = 0; at < used;) {
        const place = places.take(used - at)
        await this.writeUnlessZero(place.start, piece.subarray(at, at + place.bytes))
        at += place.bytes
      }
      piece = new Uint8Array(piece.length)
      used = 0
    }
    for await (const bytes of content) {
      total += bytes.length
      if (total > size) break
      for (let at = 0; at < bytes.length;) {
        const count = Math.min(bytes.length - at, piece.length - used)
        piece.set(bytes.subarray(at, at + count), used)
        at += count
        used += count
        if (used === piece.length) await flush()
      }
      this.report(entry, bytes.length)
    }
    if (total !== size) {
      const has = total > size ? 'more' : total
      throw storageError('FILE_UNFIT', `${entry.path} should have ${size} bytes, and has ${has}: it changed meanwhile`)
    }
    used = Math.ceil(used / BLOCK_SIZE) * BLOCK_SIZE
    await flush()
  }

  private report({ node }: Entry, bytes: number): void {
    if (node.kind !== 'file') return
    this.done += bytes
    this.options.progress?.(this.done, this.totalBytes)
  }

  private async writeAttributes({ node, path }: Entry): Promise<number> {
    if (node.attributes === undefined || node.attributes.size === 0) return 0
    const bytes = encodeAttributes(node.attributes, path)
    const [{ start }] = this.allocator.allocate(1)
    sealAttributes(bytes, start, this.seed)
    await this.writeAt(start, bytes)
    return start
  }

  // Metadata.

  private setInode(number: number, fields: InodeFields): void {
    this.inodes[number] = encodeInode(fields, inodeSeed(this.seed, number))
  }

  private countDirectory(inode: number): void {
    const group = Math.floor((inode - 1) / this.geometry.inodesPerGroup)
    this.directoriesIn.set(group, (this.directoriesIn.get(group) ?? 0) + 1)
  }

  private async writeInodeTables(): Promise<void> {
    const { inodesPerGroup, groups } = this.geometry
    for (const { number, inodeTable } of groups) {
      const first = number * inodesPerGroup + 1
      const count = Math.min(inodesPerGroup, this.inodes.length - first)
      if (count <= 0) return
      const bytes = new Uint8Array(Math.ceil(count * INODE_SIZE / BLOCK_SIZE) * BLOCK_SIZE)
      for (let n = 0; n < count; n++) {
        const inode = this.inodes[first + n]
        if (inode !== undefined) bytes.set(inode, n * INODE_SIZE)
      }
      await this.writeAt(inodeTable, bytes)
    }
  }

  private async writeGroups(): Promise<void> {
    const { geometry, options } = this
    const descriptors = new Uint8Array(geometry.descriptorBlocks * BLOCK_SIZE)
    let freeBlocks = 0
    let freeInodes = 0
    for (const group of geometry.groups) {
      const fields = this.describe(group)
      freeBlocks += fields.freeBlocks
      freeInodes += fields.freeInodes
      descriptors.set(encodeDescriptor(group, fields, geometry.inodesPerGroup, this.seed), group.number * 64)
      await this.writeAt(group.blockBitmap, fields.blockBitmap)
      await this.writeAt(group.inodeBitmap, fields.inodeBitmap)
    }
    const { uuid, label = '', time } = options
    const fields = { geometry, freeBlocks, freeInodes, uuid, label, time, journal: this.journal }
    for (const group of geometry.groups.filter(({ hasSuperblock }) => hasSuperblock).toReversed()) {
      const place = group.firstBlock * BLOCK_SIZE + (group.number === 0 ? 1024 : 0)
      await this.writeAt(group.firstBlock + 1, descriptors)
      await this.target.write(place, [encodeSuperblock(fields, group.number)])
    }
  }

  private describe(group: Group): Parameters<typeof encodeDescriptor>[1] {
    const { inodesPerGroup } = this.geometry
    const first = group.number * inodesPerGroup + 1
    const used = Math.max(0, Math.min(inodesPerGroup, this.inodes.length - first))
    const inodeBitmap = new Uint8Array(BLOCK_SIZE)
    fillBits(inodeBitmap, 0, used)
    fillBits(inodeBitmap, inodesPerGroup, BLOCK_SIZE * 8)
    return {
      freeBlocks: this.allocator.freeIn(group), freeInodes: inodesPerGroup - used, unusedInodes: inodesPerGroup - used,
      directories: this.directoriesIn.get(group.number) ?? 0, blockBitmap: this.allocator.bitmap(group), inodeBitmap,
    }
  }

  private writeAt(block: number, bytes: Uint8Array): Promise<void> { return this.target.write(block * BLOCK_SIZE, [bytes]) }

  private async writeUnlessZero(block: number, bytes: Uint8Array): Promise<void> {
    const words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4)
    if (words.some((word) => word !== 0)) await this.writeAt(block, bytes)
  }
}

function addName(known: Entry, path: string): void {
  if (known.node.kind === 'directory') {
    throw storageError('FILE_UNFIT', `the directory ${path} is ${known.path} as well: a directory has one name`)
  }
  known.links++
}

/** A copy of the root with a lost+found, which comes first. */
function withLostAndFound(root: Directory, time: number): Directory {
  const children = new Map(root.children)
  children.delete(LOST_AND_FOUND)
  const found: Directory = { kind: 'directory', permissions: 0o700, uid: 0, gid: 0, modified: time, children: new Map() }
  return { ...root, children: new Map<string, TreeNode>([[LOST_AND_FOUND, found], ...children]) }
}

function inline(bytes: Uint8Array, size: number): Body {
  const block = new Uint8Array(INLINE_BYTES)
  block.set(bytes)
  return { size, block, usesExtents: false, blocks: 0 }
}

/** Small numbers as Linux had them first, others as it has them now. */
function encodeDevice(major: number, minor: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(8))
  if (major < 256 && minor < 256) view.setUint32(0, major << 8 | minor, true)
  else view.setUint32(4, minor & 0xff | major << 8 | (minor & ~0xff) << 12, true)
  return new Uint8Array(view.buffer)
}

function encodeName(name: string, directory: string): Uint8Array {
  const bytes = encodeUtf8(name)
  const isReserved = name === '.' || name === '..' || name.includes('/') || name.includes('\0')
  if (bytes.length > 0 && bytes.length <= MAXIMUM_NAME && !isReserved) return bytes
  const what = `${JSON.stringify(name)} in ${directory}`
  throw storageError('FILE_UNFIT', `${what} is no name that ext4 can have (1 to ${MAXIMUM_NAME} bytes, no slash)`)
}

/** Walks through runs of blocks. */
function placesOf(runs: readonly Run[]): { take(bytes: number): { readonly start: number, readonly bytes: number } } {
  let run = 0
  let done = 0
  return {
    take(bytes) {
      const { start, count } = runs[run]
      const taken = Math.min(bytes / BLOCK_SIZE, count - done)
      const place = { start: start + done, bytes: taken * BLOCK_SIZE }
      done += taken
      if (done === count) {
        run++
        done = 0
      }
      return place
    },
  }
}
