/**
 * A file or block device of the host as disk formats use it: StorageFile over Node's file system.
 *
 * Small transfers are done at once, on the caller's thread: from the page cache 4 KiB take some 5 us, and a promise of Node's 25 to 40.
 * Large ones, and all for a while after one was slow (the data was not in the cache, or the host holds back writers), go to Node's
 * threads. A flush always does.
 *
 * Node cannot ask where holes are: they are found by reading, in files that occupy less than their length.
 */
import {
  close, closeSync, constants, fdatasync, fstatSync, ftruncate, openSync, readSync, readv, readvSync, statSync, writev, writevSync,
  type BigIntStats,
} from 'node:fs'
import { open } from 'node:fs/promises'
import { dirname } from 'node:path'
import { promisify } from 'node:util'
import { byteLength, fillZeroes, isZero, sliceBuffers, type Buffers } from '../../storage/buffers.ts'
import { storageError } from '../../storage/errors.ts'
import { checkSize, checkWritable, Gate } from '../../storage/gate.ts'
import type { StorageFile } from '../../storage/storage-file.ts'
import { diskError } from './disk-errors.ts'
import { lockDisk, type DiskLock } from './disk-lock.ts'
import { punchHole } from './punch-hole.ts'
import { checkQemuLocks } from './qemu-locks.ts'

export interface DiskFileOptions {
  readonly readOnly?: boolean
  /** Makes a new file, and refuses one that is there: DISK_EXISTS. */
  readonly create?: boolean
  /** Locks it against other processes, and respects their locks; default true. Only to look at a disk that is in use: false. */
  readonly lock?: boolean
  /** The named guest that uses it, for those who find it locked. */
  readonly guest?: string
  /** Also writes what a suspended guest will go on with. */
  readonly disturbSuspended?: boolean
}

/** Opens a disk on the host. Rejects with DISK_NOT_FOUND, DISK_EXISTS, DISK_READ_ONLY, DISK_IN_USE, DISK_UNSUPPORTED, DISK_READ_FAILED. */
export async function openDiskFile(path: string, options: DiskFileOptions = {}): Promise<DiskFile> {
  const readOnly = options.readOnly === true
  const descriptor = openDescriptor(path, readOnly, options.create === true)
  try {
    const stats = fstatSync(descriptor, { bigint: true })
    if (options.create === true) await flushFolder(path)
    if (options.lock !== false) checkQemuLocks(path, stats, !readOnly)
    const lock = options.lock === false ? null : await lockDisk(path, stats, readOnly ? 'shared' : 'exclusive', options)
    const size = stats.isFile() ? Number(fstatSync(descriptor).size) : sizeOfDevice(descriptor)
    return new DiskFile({ path, descriptor, readOnly, lock, size, isDevice: !stats.isFile() })
  } catch (error) {
    closeSync(descriptor)
    throw diskError(error, path, 'open')
  }
}

function openDescriptor(path: string, readOnly: boolean, create: boolean): number {
  try {
    if (!create) checkKind(path, statSync(path, { bigint: true }))
    const flags = create ? constants.O_RDWR | constants.O_CREAT | constants.O_EXCL : readOnly ? constants.O_RDONLY : constants.O_RDWR
    return openSync(path, flags, 0o644)
  } catch (error) {
    throw diskError(error, path, readOnly || create ? 'open' : 'write')
  }
}

/** Before it is opened: opening a pipe waits for its other end. */
function checkKind(path: string, stats: BigIntStats): void {
  if (stats.isFile() || stats.isBlockDevice()) return
  const kind = stats.isDirectory() ? 'a folder' : 'neither a file nor a block device'
  throw storageError('DISK_UNSUPPORTED', `${path} cannot be opened: it is ${kind}`)
}

/** A new file's name must survive a crash as its data does. Not every system can flush a folder. */
async function flushFolder(path: string): Promise<void> {
  const folder = await open(dirname(path), 'r').catch(() => null)
  await folder?.sync().catch(() => {})
  await folder?.close()
}

const PROBE = 4096

/** The system says no size of a device, but reads nothing from its end on. */
export function sizeOfDevice(descriptor: number): number {
  const probe = new Uint8Array(PROBE)
  const reads = (offset: number): number => readSync(descriptor, probe, 0, PROBE, offset)
  let low = 0
  let high = PROBE
  while (reads(high - PROBE) === PROBE) {
    low = high
    high *= 2
    if (high > 2 ** 52) break
  }
  while (high - low > PROBE) {
    const middle = low + Math.floor((high - low) / PROBE / 2) * PROBE
    if (reads(middle) > 0) low = middle
    else high = middle
  }
  return low + reads(low)
}

/** Transfers of more bytes go to Node's threads: the copy takes as long as the detour. */
const DIRECT_BYTES = 128 * 1024
const SLOW_MILLISECONDS = 2
const DETOURS = 64

/** Whether the next transfer is done at once. */
class Pace {
  private detours = 0

  isDirect(length: number): boolean {
    if (length > DIRECT_BYTES) return false
    return this.detours === 0 || --this.detours === 0
  }

  measure(transfer: () => number): number {
    const start = performance.now()
    const done = transfer()
    if (performance.now() - start > SLOW_MILLISECONDS) this.detours = DETOURS
    return done
  }
}

type Transfer = (descriptor: number, buffers: Buffers, offset: number) => Promise<number>

const readThere: Transfer = (descriptor, buffers, offset) => new Promise((resolve, reject) => {
  readv(descriptor, buffers, offset, (error, count) => error === null ? resolve(count) : reject(error))
})
const writeThere: Transfer = (descriptor, buffers, offset) => new Promise((resolve, reject) => {
  writev(descriptor, buffers, offset, (error, count) => error === null ? resolve(count) : reject(error))
})
const flushThere = promisify(fdatasync)
const truncateThere = promisify(ftruncate)
const closeThere = promisify(close)

/** How much of a file is read to find holes, in one call and at once. */
const SCAN_BYTES = 4 << 20
const SCAN_STEP = 65536

interface Opened {
  readonly path: string
  readonly descriptor: number
  readonly readOnly: boolean
  readonly lock: DiskLock | null
  readonly size: number
  readonly isDevice: boolean
}

/** Made by `openDiskFile`. */
export class DiskFile implements StorageFile {
  readonly path: string
  readonly readOnly: boolean
  private readonly descriptor: number
  private readonly lock: DiskLock | null
  private readonly isDevice: boolean
  private readonly gate: Gate
  private readonly reading = new Pace()
  private readonly writing = new Pace()
  private bytes: number
  private flushing: Promise<void> | null = null
  private nextFlush: Promise<void> | null = null
  /** The host drops data that it could not write, and says so once: from then on no flush may succeed. */
  private lost: unknown = null

  constructor({ path, descriptor, readOnly, lock, size, isDevice }: Opened) {
    this.path = path
    this.descriptor = descriptor
    this.readOnly = readOnly
    this.lock = lock
    this.bytes = size
    this.isDevice = isDevice
    this.gate = new Gate(path)
  }

  get size(): number { return this.bytes }

  read(offset: number, into: Buffers): Promise<void> {
    return this.gate.run(() => this.readNow(offset, into))
  }

  write(offset: number, from: Buffers): Promise<void> {
    return this.gate.run(async () => {
      checkWritable(this.path, this)
      const length = byteLength(from)
      this.checkOffset(offset)
      if (this.isDevice) this.checkInDevice(offset + length)
      const done = await this.transfer(this.writing, writevSync, writeThere, offset, from, length).catch((error: unknown) => {
        if (!this.isDevice) this.bytes = fstatSync(this.descriptor).size
        throw diskError(error, this.path, 'write')
      })
      if (done < length) throw storageError('DISK_FULL', `${this.path} took ${done} of ${length} bytes at ${offset}: make room on the host`)
      if (length > 0) this.bytes = Math.max(this.bytes, offset + length)
    })
  }

  /** Calls that come while one is under way share the next. */
  flush(): Promise<void> {
    return this.gate.run(async () => {
      if (this.flushing === null) return this.startFlush()
      this.nextFlush ??= this.flushing.catch(() => {}).then(() => {
        this.nextFlush = null
        return this.startFlush()
      })
      return this.nextFlush
    })
  }

  truncate(size: number): Promise<void> {
    return this.gate.run(async () => {
      checkWritable(this.path, this)
      checkSize(this.path, size)
      if (this.isDevice) throw storageError('DISK_UNSUPPORTED', `${this.path} is a device: its size of ${this.bytes} bytes cannot change`)
      await truncateThere(this.descriptor, size).catch((error: unknown) => { throw diskError(error, this.path, 'write') })
      this.bytes = size
    })
  }

  punchHole(offset: number, length: number): Promise<boolean> {
    return this.gate.run(async () => {
      checkWritable(this.path, this)
      this.checkOffset(offset)
      return !this.isDevice && punchHole(this.descriptor, offset, length)
    })
  }

  extent(offset: number, length: number): Promise<{ readonly data: boolean, readonly length: number }> {
    return this.gate.run(async () => {
      this.checkOffset(offset)
      if (offset >= this.bytes) return { data: false, length }
      const known = Math.min(length, this.bytes - offset)
      return this.isDevice || this.isDense() ? { data: true, length: known } : this.scan(offset, known)
    })
  }

  close(): Promise<void> {
    return this.gate.close(async () => {
      try {
        await closeThere(this.descriptor)
      } catch (error) {
        throw diskError(error, this.path, 'write')
      } finally {
        await this.lock?.release()
      }
    })
  }

  private async readNow(offset: number, into: Buffers): Promise<void> {
    this.checkOffset(offset)
    const length = byteLength(into)
    const done = await this.transfer(this.reading, readvSync, readThere, offset, into, length).catch((error: unknown) => {
      throw diskError(error, this.path, 'read')
    })
    if (done < length) fillZeroes(sliceBuffers(into, done, length - done))
  }

  /** Repeats what was done in part. Returns the bytes done, fewer than `length` only where the host does no more. */
  private async transfer(
    pace: Pace, here: typeof readvSync, there: Transfer, offset: number, buffers: Buffers, length: number,
  ): Promise<number> {
    const { descriptor } = this
    let done = 0
    while (done < length) {
      const left = sliceBuffers(buffers, done, length - done)
      const direct = pace.isDirect(length - done)
      const at = offset + done
      const count = direct ? pace.measure(() => here(descriptor, left, at)) : await there(descriptor, left, at)
      if (count === 0) break
      done += count
    }
    return done
  }

  private async startFlush(): Promise<void> {
    if (this.lost !== null) throw this.lost
    this.flushing = flushThere(this.descriptor)
    try {
      await this.flushing
    } catch (error) {
      this.lost = diskError(error, this.path, 'write')
      throw this.lost
    } finally {
      this.flushing = null
    }
  }

  private checkOffset(offset: number): void {
    if (!Number.isSafeInteger(offset) || offset < 0) throw storageError('DISK_OUT_OF_RANGE', `${this.path} has no byte ${offset}`)
  }

  private checkInDevice(end: number): void {
    if (end <= this.bytes) return
    throw storageError('DISK_FULL', `${this.path} is a device of ${this.bytes} bytes, too few for a write up to ${end}`)
  }

  private isDense(): boolean { return fstatSync(this.descriptor).blocks * 512 >= this.bytes }

  private async scan(offset: number, length: number): Promise<{ readonly data: boolean, readonly length: number }> {
    const buffer = new Uint8Array(SCAN_STEP)
    let data: boolean | null = null
    let done = 0
    while (done < length && done < SCAN_BYTES) {
      const step = buffer.subarray(0, Math.min(SCAN_STEP - (offset + done) % SCAN_STEP, length - done))
      await this.readNow(offset + done, [step])
      const isData = !isZero(step)
      data ??= isData
      if (isData !== data) break
      done += step.length
    }
    return { data: data === true, length: done }
  }
}
