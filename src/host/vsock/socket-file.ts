/**
 * A Unix socket that listens at a path of the user's choice.
 *
 * It is made under a name of its own beside the path, for its owner alone, and then linked to the path: so nobody connects too early, and
 * nothing that is there is replaced. What a killed process has left, a socket that nobody listens to, makes room. At the end the path is
 * removed if it still is our socket.
 */
import { randomBytes } from 'node:crypto'
import { chmod, link, lstat, rm, stat } from 'node:fs/promises'
import { connect } from 'node:net'
import type { Server } from 'node:net'
import { dirname } from 'node:path'
import { withLock } from '../cache/lock.ts'
import { hostError } from '../errors.ts'

/** Bytes of a path that fit an address of every system (103 on macOS, 107 on Linux), with `_4294967295` behind it. */
export const LONGEST_PATH = 92

/** How long another process may take to look at what is at the path. */
const LOCK_MS = 10_000

export interface SocketFile {
  /** Takes no more connections. The file is gone afterwards. */
  close(): Promise<void>
}

/** @throws TenonError VSOCK_UNFIT, VSOCK_IN_USE. */
export async function listenAt(server: Server, path: string): Promise<SocketFile> {
  if (Buffer.byteLength(path) > LONGEST_PATH) throw unfit(path, `it is too long for a socket: ${LONGEST_PATH} bytes is the most`)
  const folder = dirname(path)
  if (!await stat(folder).then(found => found.isDirectory(), () => false)) throw unfit(path, `there is no folder ${folder}: make it first`)
  const aside = asideOf(path)
  try {
    await listen(server, aside)
    await chmod(aside, 0o600)
    await publish(aside, path)
    const { ino } = await lstat(aside)
    await rm(aside)
    return { close: () => close(server, path, ino) }
  } catch (error) {
    server.close()
    await rm(aside, { force: true })
    throw explained(path, error)
  }
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(path, () => {
      server.off('error', reject)
      // A connection that could not be accepted: its peer has seen that.
      server.on('error', () => {})
      resolve()
    })
  })
}

async function publish(aside: string, path: string): Promise<void> {
  if (await linked(aside, path)) return
  // Only whoever holds the lock removes what another has made: it is sure then that it is the same that nobody answered for.
  await withLock(`${path}.lock`, { timeoutMs: LOCK_MS }, async () => {
    await removeLeftOver(path)
    if (!await linked(aside, path)) throw inUse(path)
  })
}

function linked(aside: string, path: string): Promise<boolean> {
  return link(aside, path).then(() => true, (error: NodeJS.ErrnoException) => {
    if (error.code === 'EEXIST') return false
    throw error
  })
}

async function removeLeftOver(path: string): Promise<void> {
  const found = await lstat(path).catch(absent)
  if (found === undefined) return
  if (!found.isSocket()) throw unfit(path, 'there is a file that is no socket: remove it, or choose another path')
  if (await isServed(path)) throw inUse(path)
  await rm(path, { force: true })
}

function absent(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error
}

function isServed(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(path)
    probe.on('error', ({ code }: NodeJS.ErrnoException) => resolve(code !== 'ECONNREFUSED' && code !== 'ENOENT'))
    probe.on('connect', () => {
      probe.destroy()
      resolve(true)
    })
  })
}

async function close(server: Server, path: string, ino: number): Promise<void> {
  // While it listens, nobody replaces it.
  const isOurs = await lstat(path).then(found => found.ino === ino, () => false)
  if (isOurs) await rm(path, { force: true })
  server.close()
}

function asideOf(path: string): string { return `${path}.${randomBytes(4).toString('hex')}` }

function unfit(path: string, why: string): Error { return hostError('VSOCK_UNFIT', `no vsock can be at ${path}: ${why}`) }

function inUse(path: string): Error {
  return hostError('VSOCK_IN_USE', `the vsock ${path} is in use, perhaps by another guest: choose another path`)
}

function explained(path: string, error: unknown): unknown {
  const { code } = error as NodeJS.ErrnoException
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') return unfit(path, `nothing can be made in its folder (${code}): choose another path`)
  return (error as NodeJS.ErrnoException).errno === undefined ? error : unfit(path, `a socket cannot be made there (${code})`)
}
