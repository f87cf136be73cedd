/**
 * Locks on disks between processes: one writer, or any number of readers.
 *
 * Node has neither flock nor fcntl, so a lock is a *claim*: a file `.tenon-lock-INODE-RANDOM` beside the disk, which says who made it.
 * Whoever wants the disk first makes its claim and then looks at the others. Of two that come at once, at least one sees the other; if
 * both do, both withdraw and try again. So there is never a moment in which two believe that they hold it.
 *
 * A claim of a process that has died is removed by the next one: names are random, so what was dead stays dead, and removing it cannot hit
 * anybody else. A process is known by its number, its start and the host's boot; of what cannot be judged from here (another host,
 * another container) the claim stands until somebody deletes the file that the message names. A suspended guest's claim has no process:
 * it stands while the guest's saved state is there, against writers alone (disk-claim.ts).
 *
 * Where the folder cannot be written (a block device, a read-only share) claims lie in the temporary folder, and everybody looks in both.
 * A disk that is renamed while it is open stays locked. Left out: hard links in different folders.
 */
import { randomBytes } from 'node:crypto'
import { rmSync, statSync, type BigIntStats } from 'node:fs'
import { chmod, mkdir, readdir, readFile, realpath, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { storageError } from '../../storage/errors.ts'
import { claimText, describeClaim, isDeadClaim, parseClaim, type Claim, type ClaimOwner, type LockMode } from './disk-claim.ts'
import { diskError } from './disk-errors.ts'

/** A held lock. */
export interface DiskLock {
  /** The claim's file, for messages and tests. */
  readonly path: string
  release(): Promise<void>
}

const ATTEMPTS = 12
/** A claim that is still empty after so long was left by a process that died in between. */
const EMPTY_MS = 10_000

/** Claims of this process, to be removed when it ends. */
const held = new Set<string>()
process.on('exit', () => { for (const path of held) rmSync(path, { force: true }) })

export interface LockOptions {
  /** The named guest that it is for. */
  readonly guest?: string
  /** Passes over the claims of suspended guests. */
  readonly disturbSuspended?: boolean
}

/** Rejects with DISK_IN_USE if another holds the disk, in this process or another. `stats` are those of the open file. */
export async function lockDisk(
  path: string, stats: BigIntStats, mode: LockMode, { guest, disturbSuspended = false }: LockOptions = {},
): Promise<DiskLock> {
  const places = await placesOf(path, stats)
  for (let attempt = 1; ; attempt++) {
    const claim = await makeClaim(places, path, mode, { guest })
    const other = await findConflict(places, claim, mode, disturbSuspended).catch(async (error: unknown) => {
      await remove(claim)
      throw diskError(error, path, 'open')
    })
    if (other === null) return { path: claim, release: () => remove(claim) }
    await remove(claim)
    if (attempt === ATTEMPTS || isLasting(other)) throw inUse(path, other)
    await new Promise(resolve => setTimeout(resolve, 2 + Math.random() * 10 * attempt))
  }
}

/** Held, not only asked for: an older claim was not made at the same moment as ours. */
function isLasting({ file, claim }: Conflict): boolean { return claim?.suspended !== undefined || ageOf(file) > 250 }

function inUse(path: string, { claim, file }: Conflict): Error { return storageError('DISK_IN_USE', describeClaim(path, claim, file)) }

/**
 * Keeps others from writing a disk that a suspended guest will go on with, for as long as its state `suspended` is there. Others may read
 * it. No process holds such a claim: it is removed by the first who finds it dead.
 * @throws TenonError DISK_NOT_FOUND and so on; DISK_IN_USE if no claim can be written.
 */
export async function claimForSuspended(path: string, owner: Required<ClaimOwner>): Promise<void> {
  const stats = await stat(path, { bigint: true }).catch((error: unknown) => { throw diskError(error, path, 'open') })
  await makeClaim(await placesOf(path, stats), path, 'shared', owner)
}

/** A place for claims: `prefix` has folder and first part of the name. */
interface Place {
  readonly folder: string
  readonly prefix: string
}

/** Where claims for this disk may be, the best place first. Symbolic links lead to one place. */
async function placesOf(path: string, stats: BigIntStats): Promise<readonly Place[]> {
  const shared = join(tmpdir(), 'tenon-locks')
  const isNew = await mkdir(shared, { recursive: true }).then(made => made !== undefined, () => false)
  if (isNew) await chmod(shared, 0o1777).catch(() => {})
  if (!stats.isFile()) return [{ folder: shared, prefix: `device-${stats.rdev}-` }]
  const folder = dirname(await realpath(path))
  return [{ folder, prefix: `.tenon-lock-${stats.ino}-` }, { folder: shared, prefix: `file-${stats.dev}-${stats.ino}-` }]
}

async function makeClaim(places: readonly Place[], path: string, mode: LockMode, owner: ClaimOwner): Promise<string> {
  let reason: unknown
  for (const { folder, prefix } of places) {
    const claim = join(folder, prefix + randomBytes(8).toString('hex'))
    try {
      if (owner.suspended === undefined) held.add(claim)
      await writeFile(claim, claimText(mode, owner), { flag: 'wx', mode: 0o644 })
      return claim
    } catch (error) {
      reason = error
      await remove(claim)
    }
  }
  const folders = places.map(place => place.folder).join(' nor ')
  throw storageError('DISK_IN_USE', `${path} cannot be locked: neither ${folders} can be written`, reason)
}

async function remove(path: string): Promise<void> {
  held.delete(path)
  await rm(path, { force: true }).catch(() => {})
}

interface Conflict {
  readonly file: string
  /** Null if it says nothing that can be read. */
  readonly claim: Claim | null
}

async function findConflict(places: readonly Place[], own: string, mode: LockMode, disturbSuspended: boolean): Promise<Conflict | null> {
  for (const { folder, prefix } of places) {
    for (const entry of await entriesOf(folder)) {
      const file = join(folder, entry)
      const conflict = entry.startsWith(prefix) && file !== own ? await judge(file, mode) : null
      if (conflict !== null && !(disturbSuspended && conflict.claim?.suspended !== undefined)) return conflict
    }
  }
  return null
}

/** A folder that is not there, or may not be looked into, holds no claims of anybody we could share a disk with. */
async function entriesOf(folder: string): Promise<string[]> {
  return readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'EACCES') return []
    throw error
  })
}

async function judge(file: string, mode: LockMode): Promise<Conflict | null> {
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => error.code === 'ENOENT' ? null : '?')
  if (text === null) return null
  const claim = parseClaim(text)
  if (text === '' && ageOf(file) > EMPTY_MS) return removed(file)
  if (claim !== null && isDeadClaim(claim)) return removed(file)
  return mode === 'shared' && claim?.mode === 'shared' ? null : { file, claim }
}

async function removed(file: string): Promise<null> {
  await rm(file, { force: true }).catch(() => {})
  return null
}

function ageOf(file: string): number {
  const stats = statSync(file, { throwIfNoEntry: false })
  return stats === undefined ? 0 : Date.now() - stats.mtimeMs
}
