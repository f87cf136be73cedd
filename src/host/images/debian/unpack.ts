import { createHash } from 'node:crypto'
import { readDeb, readDebControl } from '../archive/deb.ts'
import { versionMatches } from '../archive/relation.ts'
import type { TarEntry } from '../formats/tar.ts'
import { hostError } from '../../errors.ts'
import type { ContentSpool } from '../tree/content-spool.ts'
import { makeDirectory } from '../tree/file-tree.ts'
import type { Attributes, FileTree, Place, TreeNode } from '../tree/file-tree.ts'
import type { ArchivePackage } from './archive-package.ts'

/**
 * Unpacks packages into a tree by the rules of dpkg (dpkg(1), Debian Policy §6.6, §7.6): a directory that is there is kept, also as a
 * link to one; a file of another package is replaced where the package says `Replaces`, else an error.
 *
 * Configuration files get their final names at once, not `.dpkg-new`: there is nothing yet that they could replace.
 */
export interface UnpackedPackage {
  readonly package: ArchivePackage
  /** The file `control`, as it is. */
  readonly control: string
  /** The other files of the package about itself, by name: `postinst`, `conffiles` … */
  readonly information: ReadonlyMap<string, Uint8Array>
  /** Paths with a leading slash, in the package's order; those that another package took are not among them. */
  readonly paths: Set<string>
  /** MD5 of each regular file, by path with a leading slash. */
  readonly digests: Map<string, string>
}

/** What a package may tell about itself is small. */
const MAXIMUM_INFORMATION = 16 * 1024 ** 2
const INFORMATION_NAME = /^[a-z0-9_.-]+$/

export class Unpacker {
  readonly #tree: FileTree
  readonly #spool: ContentSpool
  readonly #unpacked = new Map<string, UnpackedPackage>()
  /** By the resolved path: who brought the file, and under which name. */
  readonly #owners = new Map<string, { readonly name: string, readonly path: string }>()
  readonly #described = new Set<string>()

  constructor(tree: FileTree, spool: ContentSpool) {
    this.#tree = tree
    this.#spool = spool
  }

  /** Throws TenonError ARCHIVE_FORMAT_INVALID, IMAGE_FILES_CONFLICT, IMAGE_TREE_INVALID, IMAGE_TOO_LARGE or CACHE_*. */
  async unpack(each: ArchivePackage, deb: Uint8Array): Promise<UnpackedPackage> {
    const { control, information } = await readInformation(each.name, deb)
    const unpacked: UnpackedPackage = { package: each, control, information, paths: new Set(), digests: new Map() }
    this.#unpacked.set(each.name, unpacked)
    for await (const entry of readDeb(deb, each.name, () => true)) {
      unpacked.paths.add(entry.path === '' ? '/.' : `/${entry.path}`)
      await this.#unpackEntry(entry, unpacked)
    }
    return unpacked
  }

  async #unpackEntry(entry: TarEntry, unpacked: UnpackedPackage): Promise<void> {
    if (entry.type === 'directory') return this.#unpackDirectory(entry)
    const place = this.#tree.place(entry.path)
    if (!this.#isFree(place, entry, unpacked)) return
    place.directory.children.set(place.name, await this.#nodeOf(entry, unpacked))
    this.#owners.set(place.path, { name: unpacked.package.name, path: `/${entry.path}` })
  }

  /** The first package that has a directory says what it is. */
  #unpackDirectory(entry: TarEntry): void {
    const existing = this.#tree.findDirectory(entry.path)
    const path = entry.path === '' ? '' : this.#tree.place(entry.path).path
    if (this.#described.has(path)) return
    this.#described.add(path)
    if (existing === undefined) this.#tree.put(entry.path, this.#newDirectory(entry))
    else if (this.#tree.find(entry.path) === existing) Object.assign(existing, attributesOf(entry))
  }

  #newDirectory(entry: TarEntry): TreeNode {
    const there = this.#tree.find(entry.path)
    if (there === undefined) return makeDirectory(attributesOf(entry))
    throw conflict(entry.path, 'a package has a directory where another has something else')
  }

  /** False where what is there stays. */
  #isFree({ directory, name, path }: Place, entry: TarEntry, unpacked: UnpackedPackage): boolean {
    const existing = directory.children.get(name)
    if (existing === undefined) return true
    if (entry.type === 'symlink' && this.#tree.findDirectory(entry.path) !== undefined) return existing.kind === 'symlink'
    if (existing.kind === 'directory') throw conflict(entry.path, `the package ${unpacked.package.name} has a file where another has a directory`)
    const owner = this.#owners.get(path)
    if (owner === undefined || owner.name === unpacked.package.name) return true
    const other = this.#unpacked.get(owner.name)!
    if (replaces(unpacked.package, other.package)) forget(other, owner.path)
    else if (replaces(other.package, unpacked.package)) return forget(unpacked, `/${entry.path}`)
    else throw conflict(entry.path, `both packages ${owner.name} and ${unpacked.package.name} have it`)
    return true
  }

  async #nodeOf(entry: TarEntry, unpacked: UnpackedPackage): Promise<TreeNode> {
    const attributes = attributesOf(entry)
    switch (entry.type) {
      case 'file':
        unpacked.digests.set(`/${entry.path}`, createHash('md5').update(entry.data).digest('hex'))
        return { ...attributes, kind: 'file', content: await this.#spool.add(entry.data) }
      case 'symlink': return { ...attributes, kind: 'symlink', target: checkTarget(entry, unpacked.package.name) }
      case 'hardlink': return this.#linkedNode(entry, unpacked)
      case 'character-device':
      case 'block-device': return { ...attributes, kind: entry.type, device: entry.device }
      case 'fifo': return { ...attributes, kind: 'fifo' }
      default: throw damaged(unpacked.package.name, `has /${entry.path} as a kind of file that is not known`)
    }
  }

  #linkedNode(entry: TarEntry, unpacked: UnpackedPackage): TreeNode {
    const node = this.#tree.find(entry.linkTarget)
    if (node === undefined || node.kind === 'directory') {
      throw damaged(unpacked.package.name, `has /${entry.path} as a link to ${JSON.stringify(entry.linkTarget)}, which is no file`)
    }
    const digest = unpacked.digests.get(`/${entry.linkTarget.replace(/^(\.?\/)+/, '')}`)
    if (digest !== undefined) unpacked.digests.set(`/${entry.path}`, digest)
    return node
  }
}

async function readInformation(name: string, deb: Uint8Array): Promise<Pick<UnpackedPackage, 'control' | 'information'>> {
  const information = new Map<string, Uint8Array>()
  let size = 0
  for await (const { path, type, data } of readDebControl(deb, name)) {
    if (type !== 'file') continue
    size += data.length
    if (!INFORMATION_NAME.test(path) || size > MAXIMUM_INFORMATION) {
      throw damaged(name, 'tells about itself what no package does')
    }
    information.set(path, data.slice())
  }
  const control = information.get('control')
  information.delete('control')
  if (control === undefined) throw damaged(name, 'has no control file')
  return { control: new TextDecoder().decode(control), information }
}

function attributesOf({ permissions, uid, gid, modified }: TarEntry): Attributes {
  return { permissions, uid, gid, modified }
}

function checkTarget({ path, linkTarget }: TarEntry, name: string): string {
  if (linkTarget !== '' && linkTarget.length < 4096 && !linkTarget.includes('\0')) return linkTarget
  throw damaged(name, `has /${path} as a link to nowhere`)
}

function replaces(a: ArchivePackage, b: ArchivePackage): boolean {
  return a.relations('Replaces').flat().some(relation => relation.name === b.name && versionMatches(relation, b.version))
}

function forget(unpacked: UnpackedPackage, path: string): false {
  unpacked.paths.delete(path)
  unpacked.digests.delete(path)
  return false
}

function conflict(path: string, what: string): Error {
  return hostError('IMAGE_FILES_CONFLICT', `/${path}: ${what}: leave one of the packages out of the image, or use another mirror`)
}

function damaged(name: string, what: string): Error {
  return hostError('ARCHIVE_FORMAT_INVALID', `the package ${name} ${what}: it is damaged, fetch it again`)
}
