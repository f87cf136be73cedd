/**
 * Internal snapshots of several disks that belong together, such as those of a guest: what is done, is done to all of them that can have
 * snapshots, or to none. Whoever calls sees to it that nobody writes to one of them between the others.
 *
 * Left out: disks whose snapshots would be several (mirrors, stripes), and those of formats that have none. They are named.
 */
import type { BlockNode } from '../../storage/block-node.ts'
import { storageError } from '../../storage/errors.ts'
import { Qcow2Node } from '../../storage/qcow2/node.ts'
import type { NewSnapshot } from '../../storage/qcow2/snapshot-table.ts'
import { ThrottleNode } from '../../storage/nodes/throttle.ts'
import type { DiskGraph } from './disk-order.ts'

export interface SnapshotInfo {
  /** Unique in its file. */
  readonly id: string
  readonly name: string
  /** ISO 8601. */
  readonly taken: string
  /** Bytes of the disk as it was. */
  readonly size: number
}

/** A disk of several. */
export interface NamedDisk {
  /** For people: its file's path, or what it is and its number. */
  readonly name: string
  readonly node: BlockNode
}

/** What is to be done; a snapshot has the same name on all disks. `seconds`: since 1970. */
export type SnapshotRequest =
  | { readonly action: 'list' }
  | { readonly action: 'create', readonly name: string, readonly seconds: number }
  | { readonly action: 'apply' | 'delete', readonly name: string }

/** A snapshot of one of the disks. */
export interface DiskSnapshot extends SnapshotInfo { readonly disk: string }

export interface SnapshotReport {
  /** Those that there are, or that were made, applied or deleted. */
  readonly snapshots: readonly DiskSnapshot[]
  /** Disks that can be written and have no snapshots. */
  readonly leftOut: readonly string[]
}

interface Keeper {
  readonly disk: string
  readonly node: Qcow2Node
}

/**
 * @throws TenonError DISK_EXISTS if one of them has a snapshot of that name already, DISK_NOT_FOUND if none has, DISK_UNSUPPORTED if none
 * of them can have snapshots, and what changing them throws (StorageErrorCode).
 */
export async function snapshotDisks(disks: readonly NamedDisk[], request: SnapshotRequest): Promise<SnapshotReport> {
  const found = disks.map(({ name, node }) => ({ disk: name, node: keeperOf(node) }))
  const keepers = found.filter((each): each is Keeper => each.node !== undefined)
  const leftOut = found.filter(({ node }) => node === undefined).map(({ disk }) => disk)
  if (request.action === 'list') return { snapshots: (await Promise.all(keepers.map(listOf))).flat(), leftOut }
  if (keepers.length === 0) throw unsupported(leftOut)
  const snapshots = request.action === 'create' ? await create(keepers, request) : await change(keepers, request.action, request.name)
  return { snapshots, leftOut }
}

function unsupported(leftOut: readonly string[]): Error {
  const which = leftOut.length === 0 ? 'none can be written' : `these are not: ${leftOut.join(', ')}`
  return storageError('DISK_UNSUPPORTED', `only disks that are a qcow2 can have snapshots, and ${which}; convert one to qcow2`)
}

export async function snapshotsOf(node: Qcow2Node): Promise<SnapshotInfo[]> {
  const snapshots = await node.snapshots()
  return snapshots.map(({ id, name, seconds, size }) => ({ id, name, taken: new Date(seconds * 1000).toISOString(), size }))
}

/** What a disk is called where there are several. */
export function diskName(graph: DiskGraph, number: number): string {
  if (typeof graph === 'string') return graph
  return typeof graph.path === 'string' ? graph.path : `disk ${number} (${graph.kind})`
}

function keeperOf(node: BlockNode): Qcow2Node | undefined {
  if (node instanceof Qcow2Node) return node
  return node instanceof ThrottleNode ? keeperOf(node.children.node) : undefined
}

async function listOf({ disk, node }: Keeper): Promise<DiskSnapshot[]> {
  return (await snapshotsOf(node)).map(snapshot => ({ disk, ...snapshot }))
}

/** Of all or of none: those that were made before one failed are deleted. */
async function create(keepers: readonly Keeper[], { name, seconds }: Pick<NewSnapshot, 'name' | 'seconds'>): Promise<DiskSnapshot[]> {
  for (const { disk, node } of keepers) {
    const isTaken = (await node.snapshots()).some(each => each.name === name)
    if (isTaken) throw storageError('DISK_EXISTS', `${disk} has a snapshot ${name} already: choose another name`)
  }
  const made: (Keeper & { readonly id: string })[] = []
  try {
    for (const keeper of keepers) made.push({ ...keeper, id: (await keeper.node.createSnapshot({ name, seconds })).id })
  } catch (error) {
    for (const { node, id } of made) await node.deleteSnapshot(id).catch(() => {})
    throw error
  }
  return (await Promise.all(made.map(async each => (await listOf(each)).filter(({ id }) => id === each.id)))).flat()
}

/** Of those that have it. */
async function change(keepers: readonly Keeper[], action: 'apply' | 'delete', name: string): Promise<DiskSnapshot[]> {
  const found: (Keeper & { readonly snapshot: DiskSnapshot })[] = []
  for (const keeper of keepers) {
    const snapshots = await listOf(keeper)
    // Of a single disk an ID will do; those of several have nothing to do with each other.
    const byId = keepers.length === 1 ? snapshots.find(({ id }) => id === name) : undefined
    const snapshot = snapshots.find(each => each.name === name) ?? byId
    if (snapshot !== undefined) found.push({ ...keeper, snapshot })
  }
  const all = keepers.map(({ disk }) => disk).join(', ')
  if (found.length === 0) throw storageError('DISK_NOT_FOUND', `there is no snapshot ${name} of ${all}`)
  for (const { node, snapshot: { id } } of found) await (action === 'apply' ? node.applySnapshot(id) : node.deleteSnapshot(id))
  return found.map(({ snapshot }) => snapshot)
}
