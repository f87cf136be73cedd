/**
 * The table of internal snapshots (QEMU docs/interop/qcow2.txt, section "Snapshots"). Entries have variable lengths:
 *
 * | byte | field | byte | field |
 * |---|---|---|---|
 * | 0 | offset of the L1 table | 24 | time the guest had run, ns |
 * | 8 | entries of the L1 table | 32 | size of the VM state |
 * | 12 | length of the ID | 36 | length of the extra data |
 * | 14 | length of the name | 40 | extra data: size of the VM state (8), size of the disk (8), unknown |
 * | 16 | date, seconds since 1970 | | ID, name, padding to a multiple of 8 |
 * | 20 | date, nanoseconds | | |
 */
import { decodeUtf8, encodeUtf8 } from '../../base/utf8.ts'
import { storageError } from '../errors.ts'
import type { StorageFile } from '../storage-file.ts'
import type { Header } from './header.ts'
import { corrupt, ENTRY_BYTES, Geometry, MAX_L1_BYTES, MAX_OFFSET, readU64, viewOf, writeU64 } from './layout.ts'

export interface Snapshot {
  /** Unique in its image. */
  readonly id: string
  readonly name: string
  /** When it was taken: seconds since 1970, and nanoseconds. */
  readonly seconds: number
  readonly nanoseconds: number
  /** How long the guest had run, in nanoseconds. */
  readonly guestTime: number
  /** Bytes of the disk. */
  readonly size: number
  /** Bytes of the machine's state that are stored with it; Tenon keeps them and stores none. */
  readonly vmStateSize: number
  readonly l1TableOffset: number
  readonly l1Size: number
  /** Extra data behind what is known. */
  readonly unknown: Uint8Array
}

/** What a new snapshot is called, and when it is said to be taken. */
export interface NewSnapshot {
  readonly name: string
  /** Default: the lowest free number. */
  readonly id?: string
  readonly seconds: number
  readonly nanoseconds?: number
  readonly guestTime?: number
}

const FIXED_BYTES = 40
const KNOWN_EXTRA = 16
const MAX_EXTRA = 1024
export const MAX_TABLE_BYTES = 16 << 20
export const MAX_SNAPSHOTS = 65536

export interface SnapshotTable {
  readonly snapshots: readonly Snapshot[]
  /** Bytes that it takes in the file. */
  readonly bytes: number
}

/** Reads and checks the table. Rejects with DISK_CORRUPT. */
export async function readSnapshots(file: StorageFile, header: Header): Promise<SnapshotTable> {
  const snapshots: Snapshot[] = []
  let bytes = 0
  for (let at = header.snapshotsOffset; snapshots.length < header.snapshotCount;) {
    const fixed = new Uint8Array(FIXED_BYTES)
    await file.read(at, [fixed])
    const { extra, id, name, whole } = entryLengths(file.path, viewOf(fixed))
    if (at + whole - header.snapshotsOffset > MAX_TABLE_BYTES || at + whole - 8 > file.size) throw corrupt(file.path, 'its snapshot table is cut off or too large')
    const rest = new Uint8Array(extra + id + name)
    await file.read(at + FIXED_BYTES, [rest])
    snapshots.push(checked(file, header, decode(header, viewOf(fixed), rest, extra, id)))
    at += whole
    bytes += whole
  }
  return { snapshots, bytes }
}

function entryLengths(path: string, view: DataView): { extra: number, id: number, name: number, whole: number } {
  const [extra, id, name] = [view.getUint32(36), view.getUint16(12), view.getUint16(14)]
  if (extra > MAX_EXTRA) throw corrupt(path, `a snapshot has ${extra} bytes of extra data, above ${MAX_EXTRA}`)
  return { extra, id, name, whole: roundUp8(FIXED_BYTES + extra + id + name) }
}

function roundUp8(bytes: number): number { return Math.ceil(bytes / 8) * 8 }

function decode(header: Header, view: DataView, rest: Uint8Array, extra: number, idLength: number): Snapshot {
  const extraView = viewOf(rest)
  return {
    id: decodeUtf8(rest.subarray(extra, extra + idLength)),
    name: decodeUtf8(rest.subarray(extra + idLength)),
    seconds: view.getUint32(16),
    nanoseconds: view.getUint32(20),
    guestTime: readU64(view, 24),
    size: extra >= KNOWN_EXTRA ? readU64(extraView, 8) : header.size,
    vmStateSize: extra >= 8 ? readU64(extraView, 0) : view.getUint32(32),
    l1TableOffset: readU64(view, 0),
    l1Size: view.getUint32(8),
    unknown: rest.slice(KNOWN_EXTRA, Math.max(KNOWN_EXTRA, extra)),
  }
}

function checked(file: StorageFile, header: Header, snapshot: Snapshot): Snapshot {
  const geometry = new Geometry(header.clusterBits, header.refcountOrder)
  const { id, l1TableOffset, l1Size, size } = snapshot
  const bytes = l1Size * ENTRY_BYTES
  if (!geometry.isAligned(l1TableOffset) || bytes > MAX_L1_BYTES || l1TableOffset + bytes > geometry.roundUp(file.size)) {
    throw corrupt(file.path, `the L1 table of the snapshot ${id} is not inside the file`)
  }
  if (size >= MAX_OFFSET || l1Size < geometry.l1EntriesFor(size)) throw corrupt(file.path, `the L1 table of the snapshot ${id} is too small for its size`)
  return snapshot
}

export function encodeSnapshots(path: string, snapshots: readonly Snapshot[]): Uint8Array {
  const entries = snapshots.map(encode)
  const table = new Uint8Array(entries.reduce((sum, entry) => sum + entry.length, 0))
  if (snapshots.length > MAX_SNAPSHOTS || table.length > MAX_TABLE_BYTES) throw storageError('DISK_UNSUPPORTED', `${path} cannot have more snapshots: delete some`)
  let at = 0
  for (const entry of entries) {
    table.set(entry, at)
    at += entry.length
  }
  return table
}

function encode(snapshot: Snapshot): Uint8Array {
  const [id, name] = [encodeUtf8(snapshot.id), encodeUtf8(snapshot.name)]
  const extra = KNOWN_EXTRA + snapshot.unknown.length
  const bytes = new Uint8Array(roundUp8(FIXED_BYTES + extra + id.length + name.length))
  const view = viewOf(bytes)
  writeU64(view, 0, snapshot.l1TableOffset)
  view.setUint32(8, snapshot.l1Size)
  view.setUint16(12, id.length)
  view.setUint16(14, name.length)
  view.setUint32(16, snapshot.seconds)
  view.setUint32(20, snapshot.nanoseconds)
  writeU64(view, 24, snapshot.guestTime)
  view.setUint32(32, snapshot.vmStateSize < 2 ** 32 ? snapshot.vmStateSize : 0)
  view.setUint32(36, extra)
  writeU64(view, FIXED_BYTES, snapshot.vmStateSize)
  writeU64(view, FIXED_BYTES + 8, snapshot.size)
  bytes.set(snapshot.unknown, FIXED_BYTES + KNOWN_EXTRA)
  bytes.set(id, FIXED_BYTES + extra)
  bytes.set(name, FIXED_BYTES + extra + id.length)
  return bytes
}

/** By ID, or else by name. Throws DISK_NOT_FOUND. */
export function findSnapshot(path: string, snapshots: readonly Snapshot[], id: string): Snapshot {
  const found = snapshots.find(each => each.id === id) ?? snapshots.find(each => each.name === id)
  if (found === undefined) throw storageError('DISK_NOT_FOUND', `${path} has no snapshot ${id}`)
  return found
}

/** The lowest number that no snapshot has for an ID. */
export function freeId(snapshots: readonly Snapshot[]): string {
  const ids = new Set(snapshots.map(({ id }) => id))
  let number = 1
  while (ids.has(`${number}`)) number++
  return `${number}`
}
