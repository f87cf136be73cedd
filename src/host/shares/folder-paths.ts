/**
 * Ways to a share's folders that cannot lead out of it. A path that the host's kernel is given has at most one name that it does not know
 * to be a folder inside, and what that name stands for is never followed if it is a symbolic link.
 *
 * On Linux that is a fact of the kernel's: a folder is an open descriptor, and `/proc/self/fd/N/NAME` is NAME in that very folder,
 * whatever its path is by now. A folder is reached from the share's own, name by name, each opened as a folder and without following links
 * (O_NOFOLLOW), and compared with the node that it should be. Descriptors are kept for the folders used last.
 *
 * Elsewhere it is a check: each folder on the way is looked at, and then the path is used. Who can move folders on the host in between,
 * another guest with the same share included, can lead a request astray.
 */
import { closeSync, constants, fstatSync, lstatSync, openSync, type BigIntStats } from 'node:fs'
import { FuseError } from '../../storage/fuse/errors.ts'
import type { ByteString } from '../../storage/fuse/names.ts'
import type { ShareNode } from './share-node.ts'

/** Linux, include/uapi/asm-generic/fcntl.h: a descriptor that stands for a file and opens nothing. */
const O_PATH = 0o10000000
const { O_DIRECTORY, O_NOFOLLOW } = constants

/** Folders whose descriptors are kept. */
const KEPT = 256
/** Folders one in another. What seems deeper goes in a circle: folders were moved on the host. */
const DEEPEST = 4096

/** Whether a node is what a path has led to. */
export type IsNode = (node: ShareNode, stats: BigIntStats) => boolean

export interface FolderPaths {
  /** A path to which `/NAME` may be appended, or `/.` for the folder itself. Good until the next call. @throws FuseError ESTALE, ELOOP. */
  of(folder: ShareNode): ByteString
  /** Calls `action` with a path that means what `path` means now, for calls that would follow a symbolic link. */
  pinned<Result>(path: ByteString, action: (path: ByteString) => Result): Result
  /** The guest does not know this folder any more. */
  forget(folder: ShareNode): void
  close(): void
}

/** A path for Node. Names are bytes, except where the host has them in UTF-16. */
export function hostPath(path: ByteString): Buffer | string {
  const bytes = Buffer.from(path, 'latin1')
  return process.platform === 'win32' ? windowsPath(bytes) : bytes
}

/** What Windows takes for more than a name: devices, streams, other folders; and what it would change. */
const NO_WINDOWS_NAME = /[\\:*?"<>|]|[. ]$|^(con|prn|aux|nul|com\d|lpt\d)(\.|$)/i

function windowsPath(bytes: Buffer): string {
  const path = bytes.toString('utf8')
  const name = path.slice(path.lastIndexOf('/') + 1)
  if (!Buffer.from(path, 'utf8').equals(bytes)) throw new FuseError('EILSEQ')
  if (name !== '.' && NO_WINDOWS_NAME.test(name)) throw new FuseError('EINVAL')
  return path
}

/** The way to the share's folder on the host, as bytes. */
export function rootPath(path: string): ByteString { return Buffer.from(path, 'utf8').toString('latin1') }

interface Way {
  readonly from: ShareNode
  readonly names: readonly ShareNode[]
}

/** The nodes from the one below `from` down to `folder`; `isKnown` says where to begin. */
function wayTo(folder: ShareNode, isKnown: (node: ShareNode) => boolean): Way {
  const names: ShareNode[] = []
  let node = folder
  for (; !isKnown(node); node = node.places[0].folder) {
    if (names.length === DEEPEST) throw new FuseError('ELOOP')
    if (node.places.length === 0) throw new FuseError('ESTALE')
    names.push(node)
  }
  return { from: node, names: names.toReversed() }
}

/** By descriptors, on Linux. */
export class DescriptorPaths implements FolderPaths {
  private readonly root: ShareNode
  private readonly rootDescriptor: number
  private readonly isNode: IsNode
  /** The one used last is last. */
  private readonly kept = new Map<ShareNode, number>()

  /** Takes over `descriptor`, of the share's own folder. */
  constructor(root: ShareNode, descriptor: number, isNode: IsNode) {
    this.root = root
    this.rootDescriptor = descriptor
    this.isNode = isNode
  }

  of(folder: ShareNode): ByteString { return `/proc/self/fd/${this.descriptor(folder)}` }

  pinned<Result>(path: ByteString, action: (path: ByteString) => Result): Result {
    const descriptor = openSync(hostPath(path), O_PATH | O_NOFOLLOW)
    try {
      return action(`/proc/self/fd/${descriptor}`)
    } finally {
      closeSync(descriptor)
    }
  }

  forget(folder: ShareNode): void {
    const descriptor = this.kept.get(folder)
    if (descriptor === undefined) return
    this.kept.delete(folder)
    closeSync(descriptor)
  }

  close(): void {
    for (const folder of this.kept.keys()) this.forget(folder)
    closeSync(this.rootDescriptor)
  }

  private descriptor(folder: ShareNode): number {
    const { from, names } = wayTo(folder, node => node === this.root || this.kept.has(node))
    let descriptor = from === this.root ? this.rootDescriptor : this.kept.get(from)!
    if (from !== this.root) this.keep(from, descriptor)
    for (const node of names) {
      descriptor = this.open(`/proc/self/fd/${descriptor}/${node.places[0].name}`, node)
      this.keep(node, descriptor)
    }
    return descriptor
  }

  private keep(folder: ShareNode, descriptor: number): void {
    this.kept.delete(folder)
    this.kept.set(folder, descriptor)
    if (this.kept.size > KEPT) this.forget(this.kept.keys().next().value!)
  }

  private open(path: ByteString, node: ShareNode): number {
    const descriptor = openFolder(path)
    if (this.isNode(node, fstatSync(descriptor, { bigint: true }))) return descriptor
    closeSync(descriptor)
    throw new FuseError('ESTALE')
  }
}

/** Opens a folder to stand for it. Whatever else is there by now is not the folder that the guest means. */
export function openFolder(path: ByteString): number {
  try {
    return openSync(hostPath(path), O_PATH | O_DIRECTORY | O_NOFOLLOW)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw code === 'ENOENT' || code === 'ENOTDIR' || code === 'ELOOP' ? new FuseError('ESTALE') : error
  }
}

/** By checked paths, anywhere. */
export class CheckedPaths implements FolderPaths {
  private readonly root: ShareNode
  private readonly path: ByteString
  private readonly isNode: IsNode

  /** `path` has no symbolic links in it. */
  constructor(root: ShareNode, path: ByteString, isNode: IsNode) {
    this.root = root
    this.path = path
    this.isNode = isNode
  }

  of(folder: ShareNode): ByteString {
    const { names } = wayTo(folder, node => node === this.root)
    let path = this.path
    for (const node of [this.root, ...names]) {
      if (node !== this.root) path = `${path}/${node.places[0].name}`
      const stats = lstatSync(hostPath(path), { bigint: true, throwIfNoEntry: false })
      if (!stats?.isDirectory() || !this.isNode(node, stats)) throw new FuseError('ESTALE')
    }
    return path
  }

  pinned<Result>(path: ByteString, action: (path: ByteString) => Result): Result {
    if (lstatSync(hostPath(path)).isSymbolicLink()) throw new FuseError('ELOOP')
    return action(path)
  }

  forget(): void { /* nothing is kept */ }
  close(): void { /* nothing is open */ }
}
