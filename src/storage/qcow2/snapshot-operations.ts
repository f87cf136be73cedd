/**
 * Internal snapshots: an L1 table of their own that shares L2 tables and clusters with the disk's (QEMU docs/interop/qcow2.txt, section
 * "Snapshots"). All of them are a `Rebuild`.
 *
 * COPIED in the disk's tables says that a refcount is one. A snapshot makes counts two, and its end may make them one again: tables in
 * which flags change are copied to new clusters.
 */
import { storageError } from '../errors.ts'
import type { Header } from './header.ts'
import type { Image } from './image.ts'
import { COMPRESSED, compressedPlace, COPIED, corrupt, ENTRY_BYTES, entryOffset, offsetHigh, offsetLow, viewOf } from './layout.ts'
import { Rebuild } from './rebuild.ts'
import { encodeSnapshots, findSnapshot, freeId, MAX_TABLE_BYTES, readSnapshots, type NewSnapshot, type Snapshot, type SnapshotTable } from './snapshot-table.ts'

/** An L1 table in memory. */
type L1 = Uint8Array

export async function createSnapshot(image: Image, { name, id, seconds, nanoseconds = 0, guestTime = 0 }: NewSnapshot): Promise<Snapshot> {
  const { header, file } = image
  const table = await readSnapshots(file, header)
  const { snapshots } = table
  const newId = id ?? freeId(snapshots)
  if (snapshots.some(each => each.id === newId)) throw storageError('DISK_UNSUPPORTED', `${file.path} has a snapshot ${newId} already`)
  const l1 = await readL1(image, header.l1TableOffset, header.l1Size)
  return rebuilding(image, 2 * l1.length, l1, async (rebuild) => {
    await eachTable(l1, entry => shareTable(image, rebuild, entry))
    const l1TableOffset = await rebuild.write(l1)
    await addTree(image, rebuild, l1, 1)
    await rebuild.addAll(header.l1TableOffset, l1.length, -1)
    const snapshot: Snapshot = {
      id: newId, name, seconds, nanoseconds, guestTime, size: header.size, vmStateSize: 0, l1Size: header.l1Size, unknown: new Uint8Array(0),
      l1TableOffset: await rebuild.write(l1),
    }
    await finish(image, rebuild, table, [...snapshots, snapshot], { l1TableOffset })
    return snapshot
  })
}

export async function deleteSnapshot(image: Image, id: string): Promise<void> {
  const { header, file } = image
  const table = await readSnapshots(file, header)
  const { snapshots } = table
  const snapshot = findSnapshot(file.path, snapshots, id)
  const old = await readL1(image, snapshot.l1TableOffset, snapshot.l1Size)
  const l1 = await readL1(image, header.l1TableOffset, header.l1Size)
  await rebuilding(image, l1.length, l1, async (rebuild) => {
    await addTree(image, rebuild, old, -1)
    await rebuild.addAll(snapshot.l1TableOffset, old.length, -1)
    await eachTable(l1, entry => flagTable(image, rebuild, entry))
    const l1TableOffset = await rebuild.write(l1)
    await rebuild.addAll(header.l1TableOffset, l1.length, -1)
    await finish(image, rebuild, table, snapshots.filter(each => each !== snapshot), { l1TableOffset })
  })
}

export async function applySnapshot(image: Image, id: string): Promise<void> {
  const { header, file } = image
  const { snapshots } = await readSnapshots(file, header)
  const { l1TableOffset, l1Size, size } = findSnapshot(file.path, snapshots, id)
  const old = await readL1(image, header.l1TableOffset, header.l1Size)
  const l1 = await readL1(image, l1TableOffset, l1Size)
  await rebuilding(image, l1.length, l1, async (rebuild) => {
    await addTree(image, rebuild, l1, 1)
    await addTree(image, rebuild, old, -1)
    await rebuild.addAll(header.l1TableOffset, old.length, -1)
    await eachTable(l1, entry => flagTable(image, rebuild, entry))
    await rebuild.finish({ l1TableOffset: await rebuild.write(l1), l1Size, size })
  })
}

/** `l1Bytes`: of L1 tables that will be written; `l1`: the one whose tables may be copied. */
async function rebuilding<Result>(image: Image, l1Bytes: number, l1: L1, work: (rebuild: Rebuild) => Promise<Result>): Promise<Result> {
  const { geometry } = image
  const tables = geometry.clusters(l1Bytes) + 2 + l1.length / ENTRY_BYTES
  const rebuild = await Rebuild.begin(image, tables + geometry.clusters(MAX_TABLE_BYTES) + 1)
  try {
    return await work(rebuild)
  } catch (error) {
    await rebuild.abandon()
    throw error
  }
}

/** Writes the snapshot table anew, and puts everything in force. */
async function finish(
  { file, header }: Image, rebuild: Rebuild, before: SnapshotTable, after: readonly Snapshot[], tables: Partial<Header>,
): Promise<void> {
  await rebuild.addAll(header.snapshotsOffset, before.bytes, -1)
  const snapshotsOffset = after.length === 0 ? 0 : await rebuild.write(encodeSnapshots(file.path, after))
  await rebuild.finish({ ...tables, snapshotsOffset, snapshotCount: after.length })
}

async function readL1(image: Image, offset: number, entries: number): Promise<L1> {
  const l1 = new Uint8Array(entries * ENTRY_BYTES)
  if (l1.length > 0) await image.file.read(offset, [l1])
  checkTables(image, l1)
  return l1
}

/** The tables of an L1 table are inside the file, and none is there twice: so that no image can have us read for ever. */
function checkTables({ geometry, file, refcounts }: Image, l1: L1): void {
  const view = viewOf(l1)
  const offsets = new Float64Array(l1.length / ENTRY_BYTES)
  for (let index = 0; index < offsets.length; index++) offsets[index] = entryOffset(view.getUint32(index * ENTRY_BYTES), view.getUint32(index * ENTRY_BYTES + 4))
  offsets.sort()
  for (const [index, offset] of offsets.entries()) {
    if (offset === 0) continue
    if (offset === offsets[index - 1]) throw corrupt(file.path, `the L2 table at ${offset} is used for two parts of the disk`)
    if (!geometry.isAligned(offset) || offset >= refcounts.end * geometry.clusterSize) throw corrupt(file.path, `an L2 table is said to be at ${offset}`)
  }
}

interface TableEntry {
  readonly offset: number
  readonly copied: boolean
}

/** Calls `visit` for each L2 table, and puts into the L1 table what it returns. */
async function eachTable(l1: L1, visit: (entry: TableEntry) => Promise<TableEntry>): Promise<void> {
  const view = viewOf(l1)
  for (let at = 0; at < l1.length; at += ENTRY_BYTES) {
    const high = view.getUint32(at)
    const offset = entryOffset(high, view.getUint32(at + 4))
    if (offset === 0) continue
    const entry = await visit({ offset, copied: (high & COPIED) !== 0 })
    view.setUint32(at, offsetHigh(entry.offset) + (entry.copied ? COPIED : 0))
    view.setUint32(at + 4, offsetLow(entry.offset))
  }
}

async function readTable({ file, geometry }: Image, offset: number): Promise<DataView> {
  const bytes = new Uint8Array(geometry.clusterSize)
  await file.read(offset, [bytes])
  return viewOf(bytes)
}

function bytesOf(view: DataView): Uint8Array { return new Uint8Array(view.buffer, view.byteOffset, view.byteLength) }

/** A table that was the disk's own is going to be shared: no flag in it is right any more. */
async function shareTable(image: Image, rebuild: Rebuild, { offset, copied }: TableEntry): Promise<TableEntry> {
  if (!copied) return { offset, copied }
  const table = await readTable(image, offset)
  const changed = await setFlags(image, table, () => false)
  return { offset: changed ? await moveTable(image, rebuild, offset, table) : offset, copied: false }
}

/** Sets the flags as the counts are now. A table with other flags becomes the disk's own. */
async function flagTable(image: Image, rebuild: Rebuild, { offset }: TableEntry): Promise<TableEntry> {
  const table = await readTable(image, offset)
  const changed = await setFlags(image, table, async cluster => await rebuild.count(cluster) === 1)
  if (changed) return { offset: await moveTable(image, rebuild, offset, table), copied: true }
  return { offset, copied: await rebuild.count(image.geometry.cluster(offset)) === 1 }
}

async function moveTable(image: Image, rebuild: Rebuild, offset: number, table: DataView): Promise<number> {
  const moved = await rebuild.write(bytesOf(table))
  await rebuild.add(image.geometry.cluster(offset), -1)
  return moved
}

/** Returns whether any flag of the table has changed. */
async function setFlags({ geometry }: Image, table: DataView, isOwn: (cluster: number) => boolean | Promise<boolean>): Promise<boolean> {
  let changed = false
  for (let at = 0; at < table.byteLength; at += ENTRY_BYTES) {
    const high = table.getUint32(at)
    const offset = entryOffset(high, table.getUint32(at + 4))
    if ((high & COMPRESSED) !== 0 || offset === 0) continue
    const flag = await isOwn(geometry.cluster(offset)) ? COPIED : 0
    if ((high & COPIED) >>> 0 === flag) continue
    table.setUint32(at, ((high & ~COPIED) | flag) >>> 0)
    changed = true
  }
  return changed
}

/** Changes the count of every cluster that is reached from an L1 table, tables included. */
async function addTree(image: Image, rebuild: Rebuild, l1: L1, difference: number): Promise<void> {
  const { geometry } = image
  const view = viewOf(l1)
  for (let at = 0; at < l1.length; at += ENTRY_BYTES) {
    const offset = entryOffset(view.getUint32(at), view.getUint32(at + 4))
    if (offset === 0) continue
    await rebuild.add(geometry.cluster(offset), difference)
    await addTable(image, rebuild, await readTable(image, offset), difference)
  }
}

async function addTable({ geometry }: Image, rebuild: Rebuild, table: DataView, difference: number): Promise<void> {
  for (let at = 0; at < table.byteLength; at += ENTRY_BYTES) {
    const high = table.getUint32(at)
    const low = table.getUint32(at + 4)
    if ((high & COMPRESSED) !== 0) {
      const { offset, length } = compressedPlace(geometry, high, low)
      await rebuild.addAll(offset - offset % geometry.clusterSize, offset % geometry.clusterSize + length, difference)
    } else if (entryOffset(high, low) !== 0) await rebuild.add(geometry.cluster(entryOffset(high, low)), difference)
  }
}
