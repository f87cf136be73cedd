/**
 * The files and folders of a share that its guest knows by number. A node remembers where it was seen, not an open file: a guest may know
 * a million of them. Who it is says its *identity*, so that a name which leads to something else meanwhile is noticed.
 */
import { statSync, type BigIntStats } from 'node:fs'
import { FuseError } from '../../storage/fuse/errors.ts'
import type { ByteString } from '../../storage/fuse/names.ts'
import { ROOT_NODE } from '../../storage/fuse/protocol.ts'

/** Nodes that a guest may hold at once: some hundred bytes each. */
export const MAXIMUM_NODES = 1 << 20
/** Names of one file that are remembered. */
export const MAXIMUM_PLACES = 8

export interface Place {
  readonly folder: ShareNode
  readonly name: ByteString
}

export class ShareNode {
  readonly id: number
  readonly isFolder: boolean
  /** Empty after a restore, until it is found. */
  identity: string
  /** Where it was seen, the last first; none for the share's own folder, one for a folder. */
  places: Place[] = []
  /** How often the guest was told of it and has not taken it back. */
  lookups = 0

  constructor(id: number, isFolder: boolean, identity: string) {
    this.id = id
    this.isFolder = isFolder
    this.identity = identity
  }

  seen(folder: ShareNode, name: ByteString): void {
    const [first] = this.places
    if (first?.folder === folder && first.name === name) return
    const others = this.isFolder ? [] : this.places.filter(place => place.folder !== folder || place.name !== name)
    this.places = [{ folder, name }, ...others.slice(0, MAXIMUM_PLACES - 1)]
  }
}

/** Device, inode and, because inodes are used again, when it was made. */
export function identityOf({ dev, ino, birthtimeNs }: BigIntStats): string {
  return KNOWS_BIRTH ? `${dev}:${ino}:${birthtimeNs}` : `${dev}:${ino}`
}

/** A host that has no call for the time of birth gives that of the last change instead: also of a file that we know to be old. */
const KNOWS_BIRTH = knowsBirth()

function knowsBirth(): boolean {
  const { birthtimeNs, ctimeNs } = statSync(process.execPath, { bigint: true })
  return birthtimeNs !== ctimeNs
}

export class NodeTable {
  readonly root = new ShareNode(ROOT_NODE, true, '')
  private readonly byId = new Map<number, ShareNode>([[ROOT_NODE, this.root]])
  private readonly byIdentity = new Map<string, ShareNode>()
  private nextId = ROOT_NODE + 1

  /** `stats` are those of the share's own folder. */
  constructor(stats: BigIntStats) { this.root.identity = identityOf(stats) }

  get next(): number { return this.nextId }
  get all(): Iterable<ShareNode> { return this.byId.values() }

  /** @throws FuseError ESTALE for a number that the guest does not have. */
  get(id: number): ShareNode {
    const node = this.byId.get(id)
    if (node === undefined) throw new FuseError('ESTALE')
    return node
  }

  /** The node of what was just seen there, counted once more. @throws FuseError ENFILE. */
  count(stats: BigIntStats, folder: ShareNode, name: ByteString): ShareNode {
    const node = this.note(stats, folder, name) ?? this.add(stats)
    node.seen(folder, name)
    if (node !== this.root) node.lookups++
    return node
  }

  /** Notes where something was seen, if the guest knows it. */
  note(stats: BigIntStats, folder: ShareNode, name: ByteString): ShareNode | undefined {
    const node = this.byIdentity.get(identityOf(stats))
    node?.seen(folder, name)
    return node
  }

  /** Whether a node is what these figures are of. One that was restored becomes that. */
  is(node: ShareNode, stats: BigIntStats): boolean {
    const identity = identityOf(stats)
    if (node.identity === '' && stats.isDirectory() === node.isFolder) {
      node.identity = identity
      if (this.byId.get(node.id) === node) this.byIdentity.set(identity, node)
    }
    return node.identity === identity
  }

  /** The guest takes back `count` lookups. Gives the node if that were all. */
  forget(id: number, count: number): ShareNode | undefined {
    const node = this.byId.get(id)
    if (node === undefined || node === this.root) return undefined
    node.lookups -= count
    if (node.lookups > 0) return undefined
    this.byId.delete(id)
    if (this.byIdentity.get(node.identity) === node) this.byIdentity.delete(node.identity)
    return node
  }

  /** Forgets all but the root. Numbers are not used again. */
  clear(): void {
    this.byId.clear()
    this.byIdentity.clear()
    this.byId.set(ROOT_NODE, this.root)
  }

  /** For a restore, into a table that is empty. */
  put(node: ShareNode): void { this.byId.set(node.id, node) }
  continueFrom(next: number): void { this.nextId = next }

  private add(stats: BigIntStats): ShareNode {
    if (this.byId.size >= MAXIMUM_NODES) throw new FuseError('ENFILE')
    const node = new ShareNode(this.nextId++, stats.isDirectory(), identityOf(stats))
    this.byId.set(node.id, node)
    this.byIdentity.set(node.identity, node)
    return node
  }
}
