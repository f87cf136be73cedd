import { randomUUID } from 'node:crypto'
import { open, readFile, rename, rm, stat, utimes } from 'node:fs/promises'
import { hostname } from 'node:os'
import { hostError } from '../errors.ts'
import { isRunning } from '../processes.ts'
import { CACHE_FILES, explained } from './file-errors.ts'
import type { FileOwner } from './file-errors.ts'

/**
 * A lock between processes: a file that only its creator may remove, named after its holder. The holder touches it as it works, so
 * that one whose holder died (or whose host did) is recognised and taken over.
 *
 * It saves work, it does not guard correctness: everything in the cache is written aside and renamed into place.
 */
export interface LockOptions {
  readonly signal?: AbortSignal
  /** Called once, when another process turns out to hold the lock. */
  readonly onWait?: () => void
  readonly timeoutMs?: number
  /** A lock that was not touched for so long is abandoned. */
  readonly staleMs?: number
  /** Whose lock it is, for messages. Default: the cache's. */
  readonly owner?: FileOwner
}

const POLL_MS = 100
const DEFAULTS = { timeoutMs: 30 * 60_000, staleMs: 30_000 }

/** Runs `work` while holding the lock at `path`. Throws TenonError CACHE_LOCKED if another holds it for `timeoutMs`. */
export async function withLock<T>(path: string, options: LockOptions, work: () => Promise<T>): Promise<T> {
  const { staleMs, timeoutMs } = { ...DEFAULTS, ...options }
  const identity = JSON.stringify({ process: process.pid, host: hostname(), id: randomUUID() })
  const deadline = Date.now() + timeoutMs
  for (let waited = false; !await create(path, identity, options.owner);) {
    options.signal?.throwIfAborted()
    if (await isAbandoned(path, staleMs)) {
      await takeAway(path)
      continue
    }
    if (!waited) options.onWait?.()
    waited = true
    if (Date.now() > deadline) {
      throw hostError('CACHE_LOCKED', `another process holds ${path} for too long: if there is none, delete that file`)
    }
    await new Promise(resolve => setTimeout(resolve, POLL_MS))
  }
  const heartbeat = setInterval(() => void touch(path), staleMs / 4)
  heartbeat.unref()
  try {
    return await work()
  } finally {
    clearInterval(heartbeat)
    if (await holderOf(path) === identity) await rm(path, { force: true })
  }
}

function create(path: string, identity: string, owner: FileOwner = CACHE_FILES): Promise<boolean> {
  return explained(path, async () => {
    try {
      const handle = await open(path, 'wx')
      await handle.writeFile(identity).finally(() => handle.close())
      return true
    } catch (error) {
      // Windows says EPERM while the file is being deleted.
      if (['EEXIST', 'EPERM'].includes((error as NodeJS.ErrnoException).code ?? '') && await exists(path)) return false
      throw error
    }
  }, owner)
}

async function isAbandoned(path: string, staleMs: number): Promise<boolean> {
  try {
    if (Date.now() - (await stat(path)).mtimeMs > staleMs) return true
    const { process: holder, host } = JSON.parse(await readFile(path, 'utf8')) as { process: number, host: string }
    return host === hostname() && !isRunning(holder)
  } catch {
    // Gone, or not yet written: look again.
    return false
  }
}

/** By renaming: of several waiters one succeeds. */
async function takeAway(path: string): Promise<void> {
  const aside = `${path}.${randomUUID()}`
  await rename(path, aside).catch(() => {})
  await rm(aside, { force: true })
}

async function touch(path: string): Promise<void> {
  const now = new Date()
  await utimes(path, now, now).catch(() => {})
}

async function holderOf(path: string): Promise<string | undefined> {
  return readFile(path, 'utf8').catch(() => undefined)
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(() => true, () => false)
}
