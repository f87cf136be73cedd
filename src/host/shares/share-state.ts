/**
 * What a guest knows of a share, as plain data: its nodes by where they were seen, and what it has open. Nothing of the host is in it but
 * names, so that it can be taken up elsewhere, where the folder has the same files: nodes are found again by their names when they are
 * used, and files opened again. What is not there any more is answered ESTALE; a file that was removed while it was open is lost.
 *
 *   mounted; nextNode, nextHandle
 *   nodes     id, isFolder, lookups (0: known only as a part of others' paths), places: { folder, name } the last seen first
 *   handles   id, node, and for files how they were opened
 */
import type { PlainData } from '../../machine/lifecycle.ts'
import { StateReader } from '../../machine/state-reader.ts'
import { byteString, isFileName } from '../../storage/fuse/names.ts'
import { NAME_MAX, ROOT_NODE } from '../../storage/fuse/protocol.ts'
import type { FuseSession } from '../../storage/fuse/session.ts'
import { MAXIMUM_HANDLES, type ShareHandle } from './share-handles.ts'
import { MAXIMUM_NODES, MAXIMUM_PLACES, ShareNode } from './share-node.ts'
import type { SharedFolder } from './shared-folder.ts'

const LARGEST = Number.MAX_SAFE_INTEGER
const MOST_NODES = 2 * MAXIMUM_NODES
const SYNCHRONOUS = ['no', 'data', 'all'] as const

export function saveShare({ nodes, handles }: SharedFolder, session: FuseSession): PlainData {
  const open = [...handles.entries]
  return {
    mounted: session.isMounted, nextNode: nodes.next, nextHandle: handles.next,
    nodes: reachable([...nodes.all, ...open.map(([, { node }]) => node)]).map(saveNode),
    handles: open.map(([id, handle]) => saveHandle(id, handle)),
  }
}

/** With the folders on the way to them, which the guest may have forgotten. */
function reachable(nodes: readonly ShareNode[]): ShareNode[] {
  const found = new Set(nodes)
  for (const node of found) for (const { folder } of node.places) found.add(folder)
  return [...found]
}

function saveNode({ id, isFolder, lookups, places }: ShareNode): PlainData {
  const seen = places.map(({ folder, name }) => ({ folder: folder.id, name: bytesOf(name) }))
  return { id, isFolder, lookups: Math.max(lookups, 0), places: seen }
}

function saveHandle(id: number, handle: ShareHandle): PlainData {
  const common = { id, node: handle.node.id, isFolder: handle.kind === 'folder' }
  if (handle.kind === 'folder') return common
  const { reads, writes, appends, synchronous } = handle.how
  return { ...common, reads, writes, appends, synchronous }
}

function bytesOf(name: string): Uint8Array { return Uint8Array.from(name, character => character.charCodeAt(0)) }

/** Into a folder that was just opened. @throws TenonError SNAPSHOT_INVALID. */
export function restoreShare(saved: PlainData, shared: SharedFolder, session: FuseSession): void {
  const state = new StateReader('share', saved)
  const nodes = restoreNodes(state, shared)
  for (const each of state.childrenAtMost('handles', MAXIMUM_HANDLES)) {
    const node = nodes.get(each.integer('node', ROOT_NODE, LARGEST))
    if (node === undefined || node.isFolder !== each.boolean('isFolder')) throw each.invalid('node', 'is not one that can be open so')
    shared.handles.put(each.integer('id', 1, LARGEST), restoredHandle(each, node, shared))
  }
  shared.nodes.continueFrom(state.integer('nextNode', 1 + Math.max(...nodes.keys()), LARGEST))
  shared.handles.continueFrom(state.integer('nextHandle', 1 + Math.max(0, ...[...shared.handles.entries].map(([id]) => id)), LARGEST))
  session.isMounted = state.boolean('mounted')
}

function restoreNodes(state: StateReader, shared: SharedFolder): Map<number, ShareNode> {
  const { root } = shared.nodes
  const nodes = new Map([[ROOT_NODE, root]])
  const readers = state.childrenAtMost('nodes', MOST_NODES).map(reader => ({ reader, id: reader.integer('id', ROOT_NODE, LARGEST) }))
  for (const { reader, id } of readers) {
    if (id === ROOT_NODE) continue
    if (nodes.has(id)) throw reader.invalid('id', 'is given twice')
    nodes.set(id, new ShareNode(id, reader.boolean('isFolder'), ''))
  }
  for (const { reader, id } of readers) if (id !== ROOT_NODE) restoreNode(reader, nodes.get(id)!, nodes, shared)
  return nodes
}

function restoreNode(reader: StateReader, node: ShareNode, nodes: ReadonlyMap<number, ShareNode>, shared: SharedFolder): void {
  node.lookups = reader.integer('lookups', 0, LARGEST)
  node.places = reader.childrenAtMost('places', node.isFolder ? 1 : MAXIMUM_PLACES).map(place => {
    const folder = nodes.get(place.integer('folder', ROOT_NODE, LARGEST))
    const name = byteString(place.bytes('name', 1, NAME_MAX))
    if (!folder?.isFolder) throw place.invalid('folder', 'is no folder')
    if (!isFileName(name)) throw place.invalid('name', 'is no name')
    return { folder, name }
  })
  if (node.lookups > 0) shared.nodes.put(node)
}

function restoredHandle(reader: StateReader, node: ShareNode, shared: SharedFolder): ShareHandle {
  if (node.isFolder) return { kind: 'folder', node, stream: shared.streamOf(node) }
  const how = {
    reads: reader.boolean('reads'), writes: reader.boolean('writes') && !shared.readOnly, appends: reader.boolean('appends'),
    truncates: false, synchronous: reader.choice('synchronous', SYNCHRONOUS),
  }
  return { kind: 'file', node, how, descriptor: undefined }
}
