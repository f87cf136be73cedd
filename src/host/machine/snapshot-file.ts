/**
 * Snapshots as files of the host, written and read on the machine's thread, which has no event loop. A file is written aside, flushed, and
 * put in place when it is whole: what has its name is a snapshot, or what was there before. It holds the guest's memory, so that nobody
 * but its owner may read it.
 */
import { closeSync, fsyncSync, openSync, readSync, renameSync, rmSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { TenonError } from '../../base/errors.ts'
import { hostError } from '../errors.ts'

const PIECE = 1 << 20
const OWNER_ONLY = 0o600
/** How each snapshot file begins: src/vmm/snapshot/README.md. */
const MAGIC = 'TENONVM\n'

/**
 * Writes a snapshot. One that is there is replaced; any other file is left alone.
 * @throws TenonError SNAPSHOT_UNWRITABLE, SNAPSHOT_DISK_FULL; what `pieces` throws.
 */
export function writeSnapshotFile(path: string, pieces: Iterable<Uint8Array>): void {
  const aside = `${path}.part`
  try {
    mustBeReplaceable(path)
    writeWhole(aside, pieces)
    renameSync(aside, path)
    flushFolder(path)
  } catch (error) {
    rmSync(aside, { force: true })
    throw writeError(error, path)
  }
}

/** The file's bytes, piece by piece; each is good until the next. @throws TenonError SNAPSHOT_UNREADABLE. */
export function* readSnapshotFile(path: string): Generator<Uint8Array, void, undefined> {
  const file = openToRead(path)
  const buffer = new Uint8Array(PIECE)
  try {
    for (let count = readPiece(file, buffer, path); count > 0; count = readPiece(file, buffer, path)) yield buffer.subarray(0, count)
  } finally {
    closeSync(file)
  }
}

function writeWhole(path: string, pieces: Iterable<Uint8Array>): void {
  const file = openSync(path, 'w', OWNER_ONLY)
  try {
    for (const piece of pieces) {
      for (let done = 0; done < piece.length;) done += writeSync(file, piece, done)
    }
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
}

/** Windows cannot flush a folder; there, renaming is enough. */
function flushFolder(path: string): void {
  if (process.platform === 'win32') return
  const folder = openSync(dirname(path), 'r')
  try {
    fsyncSync(folder)
  } finally {
    closeSync(folder)
  }
}

function mustBeReplaceable(path: string): void {
  const start = new Uint8Array(MAGIC.length)
  let count: number
  try {
    const file = openSync(path, 'r')
    try {
      count = readSync(file, start)
    } finally {
      closeSync(file)
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return
    throw error
  }
  if (count === MAGIC.length && String.fromCharCode(...start) === MAGIC) return
  throw hostError('SNAPSHOT_UNWRITABLE', `${path} is there and is no snapshot: choose another name, or remove it first`)
}

function openToRead(path: string): number {
  try {
    return openSync(path, 'r')
  } catch (error) {
    throw readError(error, path)
  }
}

function readPiece(file: number, buffer: Uint8Array, path: string): number {
  try {
    return readSync(file, buffer)
  } catch (error) {
    throw readError(error, path)
  }
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file or folder', ENOTDIR: 'a part of its path is no folder', EISDIR: 'it is a folder',
  EACCES: 'its permissions forbid it', EPERM: 'its permissions forbid it', EROFS: 'its file system is read-only',
}

function readError(error: unknown, path: string): TenonError {
  return hostError('SNAPSHOT_UNREADABLE', `the snapshot ${path} cannot be read: ${reasonOf(error)}`, error)
}

function writeError(error: unknown, path: string): unknown {
  const { code, syscall } = error as NodeJS.ErrnoException
  if (error instanceof TenonError || syscall === undefined) return error
  if (code === 'ENOSPC' || code === 'EDQUOT' || code === 'EFBIG') {
    const message = `the snapshot ${path} does not fit on the host's disk: make room, or choose another place; the guest goes on`
    return hostError('SNAPSHOT_DISK_FULL', message, error)
  }
  return hostError('SNAPSHOT_UNWRITABLE', `the snapshot ${path} cannot be written: ${reasonOf(error)}`, error)
}

function reasonOf(error: unknown): string {
  const { code = '', message } = error as NodeJS.ErrnoException
  return REASONS[code] ?? (code || message)
}
