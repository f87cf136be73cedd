import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { fileError } from './file-errors.ts'
import { cacheFolder } from './folder.ts'
import { withLock } from './lock.ts'

let folder: string
let lock: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tenon-cache-'))
  lock = join(folder, 'lock')
})

afterEach(() => rmSync(folder, { recursive: true }))

test.skipIf(process.platform === 'win32')('the cache is where the platform has caches', () => {
  expect(cacheFolder({}, 'linux', '/home/u')).toBe('/home/u/.cache/tenon')
  expect(cacheFolder({ XDG_CACHE_HOME: '/x' }, 'linux', '/home/u')).toBe('/x/tenon')
  expect(cacheFolder({ XDG_CACHE_HOME: 'relative' }, 'linux', '/home/u')).toBe('/home/u/.cache/tenon')
  expect(cacheFolder({}, 'darwin', '/Users/u')).toBe('/Users/u/Library/Caches/tenon')
  expect(cacheFolder({ LOCALAPPDATA: '/l' }, 'win32', '/u')).toBe('/l/tenon/cache')
  expect(cacheFolder({ TENON_CACHE: '/t', XDG_CACHE_HOME: '/x' }, 'linux', '/home/u')).toBe('/t')
})

test('one works at a time', async () => {
  let working = 0
  let most = 0
  let waits = 0
  const work = async (): Promise<void> => {
    most = Math.max(most, ++working)
    await new Promise(resolve => setTimeout(resolve, 30))
    working--
  }
  await Promise.all([1, 2, 3].map(() => withLock(lock, { onWait: () => waits++ }, work)))
  expect([most, waits]).toEqual([1, 2])
})

test('the lock is given back after a failure', async () => {
  await expect(withLock(lock, {}, () => Promise.reject(new Error('no')))).rejects.toThrow('no')
  expect(await withLock(lock, {}, async () => 'yes')).toBe('yes')
})

test('a lock whose holder has died is taken over', async () => {
  const { pid } = spawnSync(process.execPath, ['-e', ''])
  writeFileSync(lock, JSON.stringify({ process: pid, host: hostname(), id: 'x' }))
  expect(await withLock(lock, {}, async () => 'mine')).toBe('mine')
})

test('a lock of another host is taken over when it is no longer touched', async () => {
  writeFileSync(lock, JSON.stringify({ process: process.pid, host: 'elsewhere', id: 'x' }))
  await expect(withLock(lock, { timeoutMs: 200 }, async () => {})).rejects.toEqual(expect.objectContaining({ code: 'CACHE_LOCKED' }))
  const old = new Date(Date.now() - 60_000)
  utimesSync(lock, old, old)
  expect(await withLock(lock, {}, async () => 'mine')).toBe('mine')
})

test('waiting ends when it is told to', async () => {
  writeFileSync(lock, JSON.stringify({ process: process.pid, host: hostname(), id: 'x' }))
  const controller = new AbortController()
  setTimeout(() => controller.abort(new Error('enough')), 50)
  await expect(withLock(lock, { signal: controller.signal }, async () => {})).rejects.toThrow('enough')
  expect(readFileSync(lock, 'utf8')).toContain('"id":"x"')
})

test('a folder that is not there is an error with a code', async () => {
  await expect(withLock(join(folder, 'none', 'lock'), {}, async () => {})).rejects.toEqual(expect.objectContaining({ code: 'CACHE_UNUSABLE' }))
})

test('file errors say what to do, others stay themselves', () => {
  const full = Object.assign(new Error('x'), { code: 'ENOSPC', syscall: 'write' })
  expect(fileError(full, '/c')).toEqual(expect.objectContaining({ code: 'CACHE_DISK_FULL' }))
  const other = new TypeError('x')
  expect(fileError(other, '/c')).toBe(other)
})
