/**
 * Reads an ext4 file system (and ext2 and ext3), whoever made it: to take a kernel and its initrd out of a disk, to look into an image.
 * Nothing is written. A file system that was not unmounted is read as it would be after its journal was replayed.
 *
 * All of it may be hostile. What contradicts itself is an error; no loop, depth or size in it makes for endless work, and memory goes
 * with what was asked for.
 *
 * Left out on purpose: extended attributes, data in inodes, encryption, compression, journals on another disk.
 */
import { decodeUtf8, encodeUtf8 } from '../../base/utf8.ts'
import { storageError } from '../errors.ts'
import { readContent, readTarget, readWhole } from './reader/content.ts'
import { readEntries } from './reader/directory.ts'
import { readInode } from './reader/inode.ts'
import type { FileKind, Inode } from './reader/inode.ts'
import { replayJournal } from './reader/journal.ts'
import { Volume } from './reader/volume.ts'
import type { Ext4Source } from './reader/volume.ts'

export type { FileKind, Inode } from './reader/inode.ts'
export type { Ext4Source } from './reader/volume.ts'

const ROOT_INODE = 2
/** As many as Linux follows (path_resolution(7)). */
const MOST_LINKS = 40
/** Directories that a path may lead through: what an image's links lead to must not take for ever. */
const MOST_STEPS = 256

export interface ListedEntry {
  readonly name: string
  readonly inode: number
  /** As the directory says. Undefined: it says nothing. */
  readonly kind: FileKind | undefined
}

/** Every method throws TenonErrors: DISK_CORRUPT, DISK_UNSUPPORTED, and what the source throws. */
export class Ext4Reader {
  readonly label: string
  readonly uuid: Uint8Array
  private readonly volume: Volume

  private constructor(volume: Volume) {
    this.volume = volume
    this.label = volume.superblock.label
    this.uuid = volume.superblock.uuid
  }

  /** @throws TenonError DISK_UNKNOWN_FORMAT too: there is no such file system */
  static async open(source: Ext4Source): Promise<Ext4Reader> {
    const volume = await Volume.open(source)
    await replayJournal(volume)
    return new Ext4Reader(volume)
  }

  /** The file at a path from the root, all symbolic links followed, inside this file system. Undefined: there is none. */
  async find(path: string): Promise<Inode | undefined> {
    const pending = split(path).reverse()
    const trail = [await this.directory(ROOT_INODE)]
    let links = 0
    for (let steps = 0; pending.length > 0; steps++) {
      const found = await this.child(trail, pending.pop()!)
      if (found === undefined || steps > MOST_STEPS) return undefined
      if (found.kind !== 'symbolic-link') trail.push(found)
      else if (++links > MOST_LINKS) return undefined
      else await this.follow(found, trail, pending)
    }
    return trail.at(-1)
  }

  /** What is in a directory, in its own order, without `.` and `..`. Undefined: there is no directory at the path. */
  async list(path: string): Promise<ListedEntry[] | undefined> {
    const directory = await this.find(path)
    if (directory?.kind !== 'directory') return undefined
    const entries: ListedEntry[] = []
    for await (const { name, inode, kind } of readEntries(this.volume, directory)) entries.push({ name: decodeUtf8(name), inode, kind })
    return entries
  }

  /**
   * All of a file. `limit` in bytes.
   * @throws TenonError DISK_NOT_FOUND if there is no file at the path, DISK_UNSUPPORTED if it is beyond the limit
   */
  async readFile(path: string, limit: number): Promise<Uint8Array> {
    const inode = await this.find(path)
    if (inode?.kind !== 'file') {
      const what = inode === undefined ? 'does not exist' : `is a ${inode.kind}, not a file`
      throw storageError('DISK_NOT_FOUND', `${path} ${what}, in the ext4 file system ${this.label}`)
    }
    return readWhole(this.volume, inode, limit, path)
  }

  /** The content of a file in pieces of at most 1 MiB. */
  content(inode: Inode): AsyncGenerator<Uint8Array> { return readContent(this.volume, inode) }

  /** An inode that an entry names. */
  inode(number: number): Promise<Inode> { return readInode(this.volume, number) }

  /** Where a symbolic link leads. */
  async target(inode: Inode): Promise<string> { return decodeUtf8(await readTarget(this.volume, inode)) }

  private async directory(number: number): Promise<Inode> {
    const inode = await readInode(this.volume, number)
    if (inode.kind !== 'directory') throw this.volume.corrupt('its root is no directory')
    return inode
  }

  /** What a name leads to from the trail's end; `..` shortens the trail. */
  private async child(trail: Inode[], name: string): Promise<Inode | undefined> {
    const directory = trail.at(-1)!
    if (directory.kind !== 'directory') return undefined
    if (name === '..') return trail.length > 1 ? trail.splice(-2)[0] : trail.pop()
    const wanted = encodeUtf8(name)
    for await (const entry of readEntries(this.volume, directory)) {
      const isSame = entry.name.length === wanted.length && entry.name.every((byte, at) => byte === wanted[at])
      if (isSame) return readInode(this.volume, entry.inode)
    }
    return undefined
  }

  private async follow(link: Inode, trail: Inode[], pending: string[]): Promise<void> {
    const target = await this.target(link)
    if (target.startsWith('/')) trail.length = 1
    pending.push(...split(target).reverse())
  }
}

function split(path: string): string[] {
  return path.split('/').filter(part => part !== '' && part !== '.')
}
