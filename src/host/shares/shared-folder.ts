/**
 * A folder of the host, shared with a guest: FuseFileSystem over Node's file system. Every call is done at once, on this thread.
 *
 *   nodes (share-node.ts)      numbers the guest knows, and where their files were seen
 *   paths (folder-paths.ts)    ways to folders that cannot lead out
 *   handles (share-handles.ts) what is open
 *
 * Everything on the host is done with the rights of the user who runs Tenon, and belongs to that user. The guest sees one owner for all
 * (`Owner`) and may not change it; it sees and sets permissions, but not set-user-ID and set-group-ID, which would be the host's. Symbolic
 * links are the guest's to follow: here they are text. Devices and sockets of the host are visible, can be removed and renamed, and are
 * never opened.
 *
 * Left out on purpose: making FIFOs and sockets (Node has no call), extended attributes, times finer than a microsecond when set.
 */
import {
  accessSync, chmodSync, closeSync, constants, fstatSync, linkSync, lstatSync, lutimesSync, mkdirSync, openSync, opendirSync, readlinkSync,
  renameSync, rmdirSync, statfsSync, symlinkSync, unlinkSync, type BigIntStats,
} from 'node:fs'
import type { Buffers } from '../../storage/buffers.ts'
import { FuseError } from '../../storage/fuse/errors.ts'
import type {
  AttributeChanges, CreatedFile, FileAttributes, FileEntry, FileSystemFigures, FolderEntry, FuseFileSystem, OpenMode,
} from '../../storage/fuse/file-system.ts'
import type { ByteString } from '../../storage/fuse/names.ts'
import { Mode } from '../../storage/fuse/protocol.ts'
import {
  changeOpen, checkFileMode, checkFolderMode, flushDescriptor, NEW_FILE, openExisting, openNew, openOrCreate, readDescriptor, resize,
  seconds, writeDescriptor,
} from './file-access.ts'
import { fileAttributes, type Owner } from './file-attributes.ts'
import { hostPath, type FolderPaths } from './folder-paths.ts'
import { FolderStream } from './folder-stream.ts'
import { HandleTable, type FileHandle } from './share-handles.ts'
import type { NodeTable, ShareNode } from './share-node.ts'

export interface SharedFolderParts {
  readonly nodes: NodeTable
  readonly paths: FolderPaths
  readonly owner: Owner
  readonly readOnly: boolean
}

/** What a node is just now, and a path to it. */
interface Found {
  readonly path: ByteString
  readonly stats: BigIntStats
}

export class SharedFolder implements FuseFileSystem {
  readonly readOnly: boolean
  readonly nodes: NodeTable
  readonly handles = new HandleTable()
  private readonly paths: FolderPaths
  private readonly owner: Owner

  /** Made by `openSharedFolder`. */
  constructor({ nodes, paths, owner, readOnly }: SharedFolderParts) {
    this.nodes = nodes
    this.paths = paths
    this.owner = owner
    this.readOnly = readOnly
  }

  lookup(folder: number, name: ByteString): FileEntry {
    const node = this.folder(folder)
    return this.entry(node, name, `${this.paths.of(node)}/${name}`)
  }

  forget(id: number, count: number): void {
    const node = this.nodes.forget(id, count)
    if (node?.isFolder) this.paths.forget(node)
  }

  attributes(id: number, handle: number | undefined): FileAttributes {
    const found = handle === undefined ? this.reach(this.nodes.get(id)) : this.openFile(handle)
    return fileAttributes(typeof found === 'number' ? fstatSync(found, { bigint: true }) : found.stats, this.owner)
  }

  setAttributes(id: number, changes: AttributeChanges, handle: number | undefined): FileAttributes {
    this.checkOwner(changes)
    const found = handle === undefined ? this.reach(this.nodes.get(id)) : this.openFile(handle)
    if (typeof found === 'number') return fileAttributes(changeOpen(found, changes), this.owner)
    const { path, stats } = found
    if (changes.mode !== undefined) this.changeMode(path, stats, changes.mode)
    if (changes.size !== undefined) this.resize(path, stats, changes.size)
    if (changes.accessed !== undefined || changes.modified !== undefined) {
      lutimesSync(hostPath(path), seconds(changes.accessed, stats.atimeNs), seconds(changes.modified, stats.mtimeNs))
    }
    return fileAttributes(lstat(path), this.owner)
  }

  readLink(id: number): Uint8Array {
    const { path, stats } = this.find(this.nodes.get(id))
    if (!stats.isSymbolicLink()) throw new FuseError('EINVAL')
    return readlinkSync(hostPath(path), 'buffer')
  }

  makeLink(folder: number, name: ByteString, target: ByteString): FileEntry {
    return this.make(folder, name, path => symlinkSync(linkTarget(target), hostPath(path)))
  }

  makeFile(folder: number, name: ByteString, mode: number): FileEntry {
    return this.make(folder, name, path => closeSync(openNew(path, mode, NEW_FILE)))
  }

  makeFolder(folder: number, name: ByteString, mode: number): FileEntry {
    checkFolderMode(mode)
    return this.make(folder, name, path => {
      mkdirSync(hostPath(path), mode & Mode.PERMISSIONS)
      const stats = lstat(path)
      // A folder in one that passes its group on does so, too.
      this.changeMode(path, stats, mode | Number(stats.mode) & Mode.SETGID)
    })
  }

  removeFile(folder: number, name: ByteString): void { unlinkSync(hostPath(this.place(folder, name))) }

  removeFolder(folder: number, name: ByteString): void { rmdirSync(hostPath(this.place(folder, name))) }

  rename(folder: number, name: ByteString, newFolder: number, newName: ByteString, mayReplace: boolean): void {
    const into = this.folder(newFolder)
    this.paths.pinned(`${this.paths.of(this.folder(folder))}/.`, from => {
      const [oldPath, newPath] = [`${from}/${name}`, `${this.paths.of(into)}/${newName}`]
      if (mayReplace) renameSync(hostPath(oldPath), hostPath(newPath))
      else renameToFree(oldPath, newPath)
      this.nodes.note(lstat(newPath), into, newName)
    })
  }

  link(id: number, folder: number, name: ByteString): FileEntry {
    const node = this.nodes.get(id)
    if (node.isFolder) throw new FuseError('EPERM')
    const { folder: holder, name: oldName } = this.placeOf(node)
    return this.paths.pinned(`${this.paths.of(holder)}/.`, from => {
      return this.make(folder, name, path => linkSync(hostPath(`${from}/${oldName}`), hostPath(path)))
    })
  }

  access(id: number, mask: number): void {
    const { path, stats } = this.find(this.nodes.get(id))
    if (this.readOnly && (mask & constants.W_OK) !== 0) throw new FuseError('EROFS')
    if (!stats.isSymbolicLink()) this.paths.pinned(path, pinned => accessSync(hostPath(pinned), mask & 7))
  }

  open(id: number, how: OpenMode): number {
    this.handles.checkRoom()
    const node = this.nodes.get(id)
    return this.handles.add({ kind: 'file', node, how, descriptor: this.openNode(node, how) })
  }

  create(folder: number, name: ByteString, mode: number, how: OpenMode, exclusive: boolean): CreatedFile {
    this.handles.checkRoom()
    const node = this.folder(folder)
    const path = `${this.paths.of(node)}/${name}`
    const descriptor = openOrCreate(path, mode, how, exclusive)
    try {
      const stats = fstatSync(descriptor, { bigint: true })
      const file = this.nodes.count(stats, node, name)
      const handle = this.handles.add({ kind: 'file', node: file, how, descriptor })
      return { entry: { node: file.id, attributes: fileAttributes(stats, this.owner) }, handle }
    } catch (error) {
      closeSync(descriptor)
      throw error
    }
  }

  read(handle: number, offset: number, into: Buffers): number { return readDescriptor(this.openFile(handle), offset, into) }

  write(handle: number, offset: number, from: Buffers): number {
    const descriptor = this.openFile(handle)
    return writeDescriptor(descriptor, this.handles.file(handle).how.appends ? null : offset, from)
  }

  synchronize(id: number, dataOnly: boolean): void {
    const handle = this.handles.get(id)
    if (handle.kind === 'file') return flushDescriptor(this.openFile(id), dataOnly)
    const descriptor = openSync(hostPath(`${this.paths.of(handle.node)}/.`), constants.O_RDONLY)
    try {
      flushDescriptor(descriptor, dataOnly)
    } finally {
      closeSync(descriptor)
    }
  }

  release(handle: number): void { this.handles.release(handle) }

  openFolder(id: number): number {
    this.handles.checkRoom()
    const node = this.folder(id)
    this.paths.of(node)
    return this.handles.add({ kind: 'folder', node, stream: this.streamOf(node) })
  }

  readFolder(id: number, from: number, take: (entry: FolderEntry, next: number) => boolean): void {
    const { node, stream } = this.handles.folder(id)
    if (from === 0) stream.rewind()
    stream.discardBefore(from)
    for (let number = from; ; number++) {
      const name = stream.name(number)
      if (name === undefined) return
      const entry = this.folderEntry(node, name)
      if (entry !== undefined && !take(entry, number + 1)) return
    }
  }

  figures(): FileSystemFigures {
    const { bsize, blocks, bfree, bavail, files, ffree } = statfsSync(hostPath(`${this.paths.of(this.nodes.root)}/.`), { bigint: true })
    return { blockSize: Number(bsize), blocks, free: bfree, available: bavail, files, freeFiles: ffree }
  }

  reset(): void {
    this.handles.clear()
    for (const node of this.nodes.all) this.paths.forget(node)
    this.nodes.clear()
  }

  close(): void {
    this.handles.clear()
    this.paths.close()
  }

  streamOf(node: ShareNode): FolderStream {
    return new FolderStream(() => opendirSync(hostPath(`${this.paths.of(node)}/.`), { encoding: 'buffer' as BufferEncoding }))
  }

  private folder(id: number): ShareNode {
    const node = this.nodes.get(id)
    if (!node.isFolder) throw new FuseError('ENOTDIR')
    return node
  }

  private place(folder: number, name: ByteString): ByteString { return `${this.paths.of(this.folder(folder))}/${name}` }

  private make(folder: number, name: ByteString, make: (path: ByteString) => void): FileEntry {
    const node = this.folder(folder)
    const path = `${this.paths.of(node)}/${name}`
    make(path)
    return this.entry(node, name, path)
  }

  private entry(folder: ShareNode, name: ByteString, path: ByteString): FileEntry {
    const stats = lstat(path)
    return { node: this.nodes.count(stats, folder, name).id, attributes: fileAttributes(stats, this.owner) }
  }

  private folderEntry(folder: ShareNode, name: ByteString): FolderEntry | undefined {
    const stats = lstatSync(hostPath(`${this.paths.of(folder)}/${name === '..' ? '.' : name}`), { bigint: true, throwIfNoEntry: false })
    return stats && { name, attributes: fileAttributes(stats, this.owner), count: () => this.nodes.count(stats, folder, name).id }
  }

  /** A path to a node, if what is there is still the node. @throws FuseError ESTALE. */
  private find(node: ShareNode): Found {
    if (node.isFolder) {
      const path = `${this.paths.of(node)}/.`
      return { path, stats: lstat(path) }
    }
    for (const { folder, name } of node.places) {
      const path = `${this.paths.of(folder)}/${name}`
      const stats = lstatSync(hostPath(path), { bigint: true, throwIfNoEntry: false })
      if (stats !== undefined && this.nodes.is(node, stats)) {
        node.seen(folder, name)
        return { path, stats }
      }
    }
    throw new FuseError('ESTALE')
  }

  /** Where a file is. @throws FuseError ESTALE. */
  private placeOf(node: ShareNode): { readonly folder: ShareNode, readonly name: ByteString } {
    this.find(node)
    return node.places[0]
  }

  /** A node's place, or the descriptor of a file that is open and has no name any more. @throws FuseError ESTALE. */
  private reach(node: ShareNode): Found | number {
    try {
      return this.find(node)
    } catch (error) {
      const descriptor = this.handles.anyOf(node)?.descriptor
      if (descriptor === undefined) throw error
      return descriptor
    }
  }

  private openFile(id: number): number {
    const handle: FileHandle = this.handles.file(id)
    return handle.descriptor ??= this.openNode(handle.node, { ...handle.how, truncates: false })
  }

  private openNode(node: ShareNode, how: OpenMode): number {
    if (node.isFolder) throw new FuseError('EISDIR')
    const { path, stats } = this.find(node)
    if (!stats.isFile()) throw new FuseError('EACCES')
    return openExisting(path, how, opened => this.nodes.is(node, opened))
  }

  private resize(path: ByteString, stats: BigIntStats, size: number): void {
    if (!stats.isFile()) throw new FuseError(stats.isDirectory() ? 'EISDIR' : 'EINVAL')
    const descriptor = openExisting(path, NEW_FILE, opened => opened.ino === stats.ino && opened.dev === stats.dev)
    try {
      resize(descriptor, size)
    } finally {
      closeSync(descriptor)
    }
  }

  private checkOwner({ user, group }: AttributeChanges): void {
    const isOurs = (user ?? this.owner.user) === this.owner.user && (group ?? this.owner.group) === this.owner.group
    if (!isOurs) throw new FuseError('EPERM')
  }

  private changeMode(path: ByteString, stats: BigIntStats, mode: number): void {
    if (stats.isSymbolicLink()) throw new FuseError('EOPNOTSUPP')
    if (stats.isDirectory()) checkFolderMode(mode)
    else checkFileMode(mode)
    if ((Number(stats.mode) & ALL_BITS) !== mode) this.paths.pinned(path, pinned => chmodSync(hostPath(pinned), mode))
  }
}

const ALL_BITS = 0o7777

function lstat(path: ByteString): BigIntStats { return lstatSync(hostPath(path), { bigint: true }) }

/** Text, not a path that is followed here. */
function linkTarget(target: ByteString): Buffer | string {
  const bytes = Buffer.from(target, 'latin1')
  return process.platform === 'win32' ? bytes.toString('utf8') : bytes
}

/** Without a moment in which a file of the new name would be lost. */
function renameToFree(oldPath: ByteString, newPath: ByteString): void {
  if (lstat(oldPath).isDirectory()) {
    mkdirSync(hostPath(newPath))
    return renameSync(hostPath(oldPath), hostPath(newPath))
  }
  linkSync(hostPath(oldPath), hostPath(newPath))
  unlinkSync(hostPath(oldPath))
}
