/** Changes of disks that are there: their size, and their internal snapshots. Nobody else may use them meanwhile. */
import type { BlockNode } from '../../storage/block-node.ts'
import { storageError } from '../../storage/errors.ts'
import { openDisk } from '../../storage/open.ts'
import { Qcow2Node } from '../../storage/qcow2/node.ts'
import { type SnapshotInfo, snapshotsOf } from '../disks/disk-snapshots.ts'
import { hostEnvironment } from '../disks/environment.ts'
import { type FormatName, graphOf } from './formats.ts'
import type { DiskWork } from './work.ts'

/** A new size in bytes: all of it, or more or less than it is now. */
export type SizeChange = { readonly to: number } | { readonly by: number }

export interface ResizeOptions extends Pick<DiskWork, 'disturbSuspended'> {
  readonly format?: FormatName
  /** Allows that the end is cut off, with what is there. */
  readonly shrink?: boolean
}

export interface Resized {
  readonly before: number
  readonly after: number
}

/** Rejects with DISK_OUT_OF_RANGE, DISK_UNSUPPORTED for formats whose size is fixed, DISK_IN_USE and so on. */
export function resizeDisk(path: string, change: SizeChange, { format, shrink = false, disturbSuspended }: ResizeOptions = {}): Promise<Resized> {
  return withDisk(path, format, { disturbSuspended }, async (node) => {
    const before = node.size
    const after = 'to' in change ? change.to : before + change.by
    if (after < 0) throw storageError('DISK_OUT_OF_RANGE', `${path} has ${before} bytes and cannot be made ${-(after - before)} bytes smaller`)
    if (after < before && !shrink) {
      throw storageError('DISK_OUT_OF_RANGE', `${path} has ${before} bytes: to make it smaller cuts off what is at its end; if that is wished, say --shrink`)
    }
    await node.resize(after)
    await node.flush()
    return { before, after }
  })
}

/** The internal snapshots of a qcow2, in the order in which they were taken. */
export function listSnapshots(path: string): Promise<SnapshotInfo[]> { return withQcow2(path, { readOnly: true }, snapshotsOf) }

/** `disturbSuspended`: as in DiskWork. */
export function createSnapshot(path: string, name: string, disturbSuspended?: boolean): Promise<SnapshotInfo> {
  return withQcow2(path, { disturbSuspended }, async (node) => {
    if ((await node.snapshots()).some(each => each.name === name)) throw storageError('DISK_EXISTS', `${path} has a snapshot ${name} already: choose another name`)
    const { id } = await node.createSnapshot({ name, seconds: Math.floor(Date.now() / 1000) })
    return (await snapshotsOf(node)).find(each => each.id === id)!
  })
}

/** `name`: or its ID. What the disk is now is lost. */
export function applySnapshot(path: string, name: string, disturbSuspended?: boolean): Promise<void> {
  return withQcow2(path, { disturbSuspended }, node => node.applySnapshot(name))
}

export function deleteSnapshot(path: string, name: string, disturbSuspended?: boolean): Promise<void> {
  return withQcow2(path, { disturbSuspended }, node => node.deleteSnapshot(name))
}

interface Access {
  readonly readOnly?: boolean
  readonly disturbSuspended?: boolean
}

function withQcow2<Result>(path: string, access: Access, work: (node: Qcow2Node) => Promise<Result>): Promise<Result> {
  return withDisk(path, undefined, access, (node) => {
    if (node instanceof Qcow2Node) return work(node)
    throw storageError('DISK_UNSUPPORTED', `${path} is a ${node.kind}, which has no snapshots: convert it to qcow2`)
  })
}

async function withDisk<Result>(
  path: string, format: FormatName | undefined, { readOnly = false, disturbSuspended }: Access, work: (node: BlockNode) => Promise<Result>,
): Promise<Result> {
  const node = await openDisk(graphOf(path, format), hostEnvironment({ disturbSuspended }), { readOnly })
  try {
    return await work(node)
  } finally {
    await node.close()
  }
}
