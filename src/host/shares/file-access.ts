/** Opening, reading and writing files of a share, whose place has been made sure of by the caller. */
import {
  closeSync, constants, fchmodSync, fdatasyncSync, fstatSync, fsyncSync, ftruncateSync, futimesSync, openSync, readvSync, writevSync,
  type BigIntStats,
} from 'node:fs'
import { byteLength, sliceBuffers, type Buffers } from '../../storage/buffers.ts'
import { FuseError } from '../../storage/fuse/errors.ts'
import type { AttributeChanges, NewTime, OpenMode } from '../../storage/fuse/file-system.ts'
import type { ByteString } from '../../storage/fuse/names.ts'
import { Mode } from '../../storage/fuse/protocol.ts'
import { hostPath } from './folder-paths.ts'

/** What a host lacks is left out. O_NONBLOCK: to open what has become a pipe must not wait for its other end. */
const ALWAYS = (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0)
const SYNCHRONOUS = { no: 0, data: constants.O_DSYNC ?? 0, all: constants.O_SYNC ?? 0 } as const

export const NEW_FILE: OpenMode = { reads: false, writes: true, appends: false, truncates: false, synchronous: 'no' }

function openFlags({ reads, writes, appends, synchronous }: OpenMode): number {
  const access = reads && writes ? constants.O_RDWR : writes ? constants.O_WRONLY : constants.O_RDONLY
  return access | (appends ? constants.O_APPEND : 0) | SYNCHRONOUS[synchronous] | ALWAYS
}

/** Opens a regular file that is there, if `isRight`. @throws FuseError EACCES, ESTALE. */
export function openExisting(path: ByteString, how: OpenMode, isRight: (stats: BigIntStats) => boolean): number {
  return opened(openSync(hostPath(path), openFlags(how)), descriptor => {
    const stats = fstatSync(descriptor, { bigint: true })
    if (!stats.isFile()) throw new FuseError('EACCES')
    if (!isRight(stats)) throw new FuseError('ESTALE')
    if (how.truncates) ftruncateSync(descriptor, 0)
  })
}

/** Makes a file; the process's umask does not count, because the guest's kernel has seen to its own. */
export function openNew(path: ByteString, mode: number, how: OpenMode): number {
  checkFileMode(mode)
  return opened(openSync(hostPath(path), openFlags(how) | constants.O_CREAT | constants.O_EXCL, mode), descriptor => {
    if ((fstatSync(descriptor).mode & Mode.PERMISSIONS) !== mode) fchmodSync(descriptor, mode)
  })
}

/** As open(2) with O_CREAT, and with O_EXCL if `exclusive`. */
export function openOrCreate(path: ByteString, mode: number, how: OpenMode, exclusive: boolean): number {
  try {
    return openNew(path, mode, how)
  } catch (error) {
    if (exclusive || (error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    return openExisting(path, how, () => true)
  }
}

function opened(descriptor: number, prepare: (descriptor: number) => void): number {
  try {
    prepare(descriptor)
    return descriptor
  } catch (error) {
    closeSync(descriptor)
    throw error
  }
}

/** Fewer bytes than there is room for only at the end. */
export function readDescriptor(descriptor: number, offset: number, into: Buffers): number {
  return transfer(byteLength(into), done => readvSync(descriptor, sliceBuffers(into, done, byteLength(into) - done), offset + done))
}

/** `offset` null: at the end. */
export function writeDescriptor(descriptor: number, offset: number | null, from: Buffers): number {
  return transfer(byteLength(from), done => {
    return writevSync(descriptor, sliceBuffers(from, done, byteLength(from) - done), offset === null ? undefined : offset + done)
  })
}

/** Repeats what was done in part. What was done before an error counts. */
function transfer(length: number, step: (done: number) => number): number {
  let done = 0
  while (done < length) {
    const count = stepOrZero(step, done)
    if (count === 0) break
    done += count
  }
  return done
}

function stepOrZero(step: (done: number) => number, done: number): number {
  try {
    return step(done)
  } catch (error) {
    if (done === 0) throw error
    return 0
  }
}

export function flushDescriptor(descriptor: number, dataOnly: boolean): void {
  if (dataOnly) fdatasyncSync(descriptor)
  else fsyncSync(descriptor)
}

/** Changes an open file. Gives what it is then. */
export function changeOpen(descriptor: number, { mode, size, accessed, modified }: AttributeChanges): BigIntStats {
  const { atimeNs, mtimeNs } = fstatSync(descriptor, { bigint: true })
  if (mode !== undefined) {
    checkFileMode(mode)
    fchmodSync(descriptor, mode)
  }
  if (size !== undefined) resize(descriptor, size)
  if (accessed !== undefined || modified !== undefined) futimesSync(descriptor, seconds(accessed, atimeNs), seconds(modified, mtimeNs))
  return fstatSync(descriptor, { bigint: true })
}

/** @throws FuseError EFBIG. */
export function resize(descriptor: number, size: number): void {
  if (!Number.isSafeInteger(size)) throw new FuseError('EFBIG')
  ftruncateSync(descriptor, size)
}

/** A time to set; the one before if it stays. The present is the end of this millisecond: not before what was written a moment ago. */
export function seconds(time: NewTime | undefined, before: bigint): number {
  if (time === undefined) return Number(before) / 1e9
  return time === 'now' ? (Date.now() + 0.999) / 1000 : time
}

/** Set-user-ID would give the rights of the host's user to others on the host. @throws FuseError EPERM. */
export function checkFileMode(mode: number): void {
  if ((mode & (Mode.SETUID | Mode.SETGID)) !== 0) throw new FuseError('EPERM')
}

/** For a folder, set-group-ID gives no rights. @throws FuseError EPERM. */
export function checkFolderMode(mode: number): void {
  if ((mode & Mode.SETUID) !== 0) throw new FuseError('EPERM')
}
