/**
 * New disk files: made under another name in the same folder, and renamed when they are whole. So nobody ever sees half a disk under its
 * name, whatever ends the work, and a file that is there already stays as it is until it is replaced.
 */
import { randomBytes } from 'node:crypto'
import { rmSync } from 'node:fs'
import { chmod, link, lstat, realpath, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { storageError } from '../../storage/errors.ts'
import { diskError } from '../disks/disk-errors.ts'
import { openDiskFile, type DiskFile } from '../disks/disk-file.ts'

export interface NewFileOptions {
  /** Replaces a file that is there, if nobody uses it. */
  readonly force?: boolean
}

/** Files being made by this process, to be removed when it ends in the middle. */
const unfinished = new Set<string>()
process.on('exit', () => { for (const path of unfinished) rmSync(path, { force: true }) })

/**
 * Has `make` fill a new file, which it closes, and gives it its name. Rejects with DISK_EXISTS for a file that is there already, without
 * `force`, with DISK_IN_USE for one that is in use, and as `make` does; nothing is left then.
 */
export async function makeFile(path: string, { force = false }: NewFileOptions, make: (file: DiskFile) => Promise<void>): Promise<void> {
  const target = await targetOf(path)
  const replaced = await claimTarget(target, force)
  const aside = join(dirname(target), `.${basename(target)}.${randomBytes(6).toString('hex')}.part`)
  unfinished.add(aside)
  try {
    await makeAside(aside, make)
    if (replaced === null) await nameNew(aside, target)
    else await replace(aside, target)
  } finally {
    await rm(aside, { force: true }).catch(() => {})
    unfinished.delete(aside)
    await replaced?.close()
  }
}

/**
 * Has `make` fill a file that takes the place of `path`, with its permissions. Whoever calls has the old one open for writing, so that
 * nobody else has.
 */
export async function replaceFile(path: string, make: (file: DiskFile) => Promise<void>): Promise<void> {
  const target = await targetOf(path)
  const aside = join(dirname(target), `.${basename(target)}.${randomBytes(6).toString('hex')}.part`)
  unfinished.add(aside)
  try {
    await makeAside(aside, make)
    await replace(aside, target)
  } finally {
    await rm(aside, { force: true }).catch(() => {})
    unfinished.delete(aside)
  }
}

async function makeAside(aside: string, make: (file: DiskFile) => Promise<void>): Promise<void> {
  const file = await openDiskFile(aside, { create: true })
  try {
    await make(file)
  } finally {
    await file.close()
  }
}

/** Symbolic links lead to the file that is meant. */
async function targetOf(path: string): Promise<string> {
  const exists = await lstat(path).then(() => true, () => false)
  const folder = exists ? null : await realpath(dirname(resolve(path))).catch((error: unknown) => { throw diskError(error, dirname(resolve(path)), 'open') })
  if (folder !== null) return join(folder, basename(path))
  return realpath(path).catch((error: unknown) => { throw diskError(error, path, 'open') })
}

/** Opens what is to be replaced, so that it is locked until it is. Null: there is nothing. */
async function claimTarget(target: string, force: boolean): Promise<DiskFile | null> {
  const found = await stat(target).catch(() => null)
  if (found === null) return null
  if (!force) throw exists(target)
  if (!found.isFile()) throw storageError('DISK_UNSUPPORTED', `${target} is no file, and is not replaced: choose another name`)
  return openDiskFile(target)
}

/** By a link, which fails where another file came meanwhile. Where there are no links, by renaming. */
async function nameNew(aside: string, target: string): Promise<void> {
  try {
    await link(aside, target)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST' || await stat(target).then(() => true, () => false)) throw exists(target)
    await rename(aside, target).catch((again: unknown) => { throw diskError(again, target, 'write') })
  }
}

async function replace(aside: string, target: string): Promise<void> {
  try {
    await chmod(aside, (await stat(target)).mode & 0o777)
    await rename(aside, target)
  } catch (error) {
    throw diskError(error, target, 'write')
  }
}

function exists(target: string): Error {
  return storageError('DISK_EXISTS', `${target} is there already: choose another name, or replace it with --force`)
}
