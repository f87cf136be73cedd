import { createHash } from 'node:crypto'
import { realpath } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { inflateRawSync, inflateSync } from 'node:zlib'
import { decompress as decompressZstd } from 'fzstd'
import { storageError } from '../../storage/errors.ts'
import type { StorageEnvironment } from '../../storage/format.ts'
import { diskError } from './disk-errors.ts'
import { openDiskFile } from './disk-file.ts'
import { hostTimer } from './host-timer.ts'
import { openSeedKind } from '../seed/seed-disk.ts'
import { openNbdKind } from './nbd.ts'

export interface HostEnvironmentOptions {
  /** Opens files without locking them and whatever locks they have: only to look at disks that are in use. */
  readonly ignoreLocks?: boolean
  /** The named guest that uses what is opened: others that want it are told. */
  readonly guest?: string
  /** Also opens for writing what a suspended guest will go on with. */
  readonly disturbSuspended?: boolean
  /** Where relative paths of a description begin; default the current folder. */
  readonly folder?: string
  readonly notice?: (message: string) => void
}

/** What disks need of this host: files, hashes, decompressors, time. */
export function hostEnvironment(options: HostEnvironmentOptions = {}): StorageEnvironment {
  return {
    openFile: (path, { readOnly }) => openDiskFile(path, {
      readOnly, lock: options.ignoreLocks !== true, guest: options.guest, disturbSuspended: options.disturbSuspended,
    }),
    resolvePath: (from, reference) => resolvePath(from === null ? options.folder ?? process.cwd() : dirname(from), reference),
    sha256: bytes => createHash('sha256').update(bytes).digest(),
    decompress: {
      deflate: (bytes, length) => exactly(length, () => inflateRawSync(bytes, { maxOutputLength: length })),
      zlib: (bytes, length) => exactly(length, () => inflateSync(bytes, { maxOutputLength: length })),
      zstd: (bytes, length) => exactly(length, () => decompressZstd(bytes, new Uint8Array(length))),
    },
    timer: hostTimer,
    kinds: { nbd: openNbdKind, seed: openSeedKind },
    notice: options.notice,
  }
}

/** Symbolic links are followed, so that one file has one name. */
async function resolvePath(folder: string, reference: string): Promise<string> {
  const path = resolve(folder, reference)
  if (path.includes('\0')) throw storageError('DISK_NOT_FOUND', 'a disk\'s path has a zero byte in it')
  return realpath(path).catch((error: unknown) => { throw diskError(error, path, 'open') })
}

function exactly(length: number, decompress: () => Uint8Array): Uint8Array {
  try {
    const bytes = decompress()
    if (bytes.length === length) return bytes
  } catch (error) {
    throw storageError('DISK_CORRUPT', `compressed data cannot be decompressed to ${length} bytes`, error)
  }
  throw storageError('DISK_CORRUPT', `compressed data has not the ${length} bytes that it should have`)
}
