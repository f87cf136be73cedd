import { hostError } from '../../errors.ts'
import type { FileContent } from './content.ts'

/**
 * A tree of files as they are to be on an image's disk, made in memory: no file of the host is touched, whatever a path says. Links
 * are followed inside the tree as its guest would, `..` ends at the root.
 */
export interface Attributes {
  /** Permission bits, with set-user-ID, set-group-ID and sticky. */
  readonly permissions: number
  readonly uid: number
  readonly gid: number
  /** Seconds since 1970. */
  readonly modified: number
}

/** One that is made for a file in it gets its own attributes later, from whoever brings it. */
export interface DirectoryNode {
  readonly kind: 'directory'
  permissions: number
  uid: number
  gid: number
  modified: number
  readonly children: Map<string, TreeNode>
}

/** Under two names, it is a hard link. */
export interface FileNode extends Attributes {
  readonly kind: 'file'
  readonly content: FileContent
}

export interface SymlinkNode extends Attributes {
  readonly kind: 'symlink'
  readonly target: string
}

export interface DeviceNode extends Attributes {
  readonly kind: 'character-device' | 'block-device'
  readonly device: { readonly major: number, readonly minor: number }
}

export interface FifoNode extends Attributes {
  readonly kind: 'fifo'
}

export type TreeNode = DirectoryNode | FileNode | SymlinkNode | DeviceNode | FifoNode

/** Where a path leads: a directory of the tree, and a name that may be in it. */
export interface Place {
  readonly directory: DirectoryNode
  readonly name: string
  /** With links resolved, without a leading slash. */
  readonly path: string
}

export const ROOT_OWNED: Attributes = { permissions: 0o755, uid: 0, gid: 0, modified: 0 }

/** Linux's own limits (path_resolution(7), limits.h). */
const MAXIMUM_LINKS = 40
const MAXIMUM_NAME = 255
const MAXIMUM_DEPTH = 512

/** Directories from the root downwards, each with its name. */
type Trail = { readonly name: string, readonly directory: DirectoryNode }[]

export class FileTree {
  readonly #root: DirectoryNode = makeDirectory()

  get root(): DirectoryNode {
    return this.#root
  }

  /** Where a path leads, the links of its directories followed. Directories that are missing are made. Throws IMAGE_TREE_INVALID. */
  place(path: string): Place {
    const parts = splitPath(path)
    const name = parts.pop() ?? ''
    if (name === '' || name === '..' || !isName(name)) throw invalid(path, 'has a last name that no file can have')
    const trail = this.#enter(parts, path, true)!
    return { directory: trail.at(-1)!.directory, name, path: [...trail.slice(1).map(step => step.name), name].join('/') }
  }

  /** The node at a path, itself if it is a link. Undefined if there is none. */
  find(path: string): TreeNode | undefined {
    const parts = splitPath(path)
    const name = parts.pop()
    return name === undefined ? this.#root : this.#enter(parts, path, false)?.at(-1)!.directory.children.get(name)
  }

  /** The directory that a path leads to, all links followed. Undefined if there is none. */
  findDirectory(path: string): DirectoryNode | undefined {
    return this.#enter(splitPath(path), path, false)?.at(-1)!.directory
  }

  /** Puts a node at a path, in place of one that is there. */
  put(path: string, node: TreeNode): void {
    const { directory, name } = this.place(path)
    directory.children.set(name, node)
  }

  #enter(parts: readonly string[], path: string, shallMake: boolean): Trail | undefined {
    const pending = [...parts].reverse()
    const trail: Trail = [{ name: '', directory: this.#root }]
    for (let links = 0; pending.length > 0;) {
      const name = pending.pop()!
      const child = name === '..' ? undefined : childOf(trail.at(-1)!.directory, name, path, shallMake)
      if (name === '..') trail.length = Math.max(1, trail.length - 1)
      else if (child?.kind === 'directory') trail.push({ name, directory: child })
      else if (child?.kind === 'symlink' && links++ < MAXIMUM_LINKS) follow(child, trail, pending)
      else if (shallMake) throw invalid(path, `leads through ${name}, which is no directory, or through too many links`)
      else return undefined
      if (trail.length + pending.length > MAXIMUM_DEPTH) throw invalid(path, 'is too deep')
    }
    return trail
  }
}

export function makeDirectory(attributes: Attributes = ROOT_OWNED): DirectoryNode {
  const { permissions, uid, gid, modified } = attributes
  return { kind: 'directory', permissions, uid, gid, modified, children: new Map() }
}

function follow({ target }: SymlinkNode, trail: Trail, pending: string[]): void {
  if (target.startsWith('/')) trail.length = 1
  pending.push(...splitPath(target).reverse())
}

function childOf({ children }: DirectoryNode, name: string, path: string, shallMake: boolean): TreeNode | undefined {
  const child = children.get(name)
  if (child !== undefined || !shallMake) return child
  if (!isName(name)) throw invalid(path, 'has a name that no file can have')
  const made = makeDirectory()
  children.set(name, made)
  return made
}

function splitPath(path: string): string[] {
  return path.split('/').filter(part => part !== '' && part !== '.')
}

function isName(name: string): boolean {
  return !name.includes('\0') && new TextEncoder().encode(name).length <= MAXIMUM_NAME
}

function invalid(path: string, what: string): Error {
  return hostError('IMAGE_TREE_INVALID', `the path ${JSON.stringify(path.slice(0, 200))} ${what}: see to the package or the definition that has it`)
}
