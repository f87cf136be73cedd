import { spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { openDisk } from '../../storage/open.ts'
import { isInstalled } from '../../storage/testing/tools.ts'
import { hostEnvironment } from '../disks/environment.ts'
import { checkGuestName, DomainFolder, homeFolder } from './home.ts'
import { GuestHome } from './testing/guest-home.ts'

const withCode = (code: string): Error => expect.objectContaining({ code }) as Error

test('the home is where the platform has data, or where TENON_HOME says', () => {
  expect(homeFolder({ TENON_HOME: '/x' }, 'linux', '/home/me')).toBe('/x')
  expect(homeFolder({ XDG_DATA_HOME: '/data' }, 'linux', '/home/me')).toBe('/data/tenon')
  expect(homeFolder({ XDG_DATA_HOME: 'relative' }, 'linux', '/home/me')).toBe('/home/me/.local/share/tenon')
  expect(homeFolder({}, 'darwin', '/Users/me')).toBe('/Users/me/Library/Application Support/tenon')
})

test('a socket whose path would be too long lies elsewhere', () => {
  expect(new DomainFolder('/home/me', 'default').socket).toBe('/home/me/run/default/host.sock')
  expect(Buffer.byteLength(new DomainFolder(`/${'long/'.repeat(30)}`, 'default').socket)).toBeLessThan(104)
})

test.each(['', 'Web', 'a_b', '-a', '.', '..', 'a/b', 'a\0', 'con', 'code', 'x'.repeat(64)])('%j is no name', name => {
  expect(() => checkGuestName(name)).toThrow(withCode('GUEST_NAME_INVALID'))
})

test('a guest is made, found and removed', async () => {
  const home = new GuestHome()
  expect(await home.store.names()).toEqual([])
  await home.make('b')
  await home.make('a-1', 'memory: 64 MiB')
  expect(await home.store.names()).toEqual(['a-1', 'b'])
  expect((await home.store.definition('a-1')).memory).toBe(64 * 1024 ** 2)
  expect(statSync(home.store.folder('b').path).mode & 0o777).toBe(0o700)
  await home.store.remove('b')
  await expect(home.store.remove('b')).rejects.toEqual(withCode('GUEST_UNKNOWN'))
  expect(await home.store.names()).toEqual(['a-1'])
})

test('of two that make one name at once, one succeeds, and nothing is left of the other', async () => {
  const home = new GuestHome()
  const outcomes = await Promise.allSettled([home.make('a'), home.make('a'), home.make('a')])
  expect(outcomes.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected', 'rejected'])
  expect(outcomes.find(outcome => outcome.status === 'rejected')).toMatchObject({ reason: { code: 'GUEST_EXISTS' } })
  expect(readdirSync(join(home.path, 'guests'))).toEqual(['a'])
})

test('what a dead process left is swept away, and what a live one makes is not', async () => {
  const home = new GuestHome()
  const dead = spawnSync(process.execPath, ['-e', '']).pid
  const guests = join(home.path, 'guests')
  for (const name of [`.new-${dead}-x`, `.new-${process.pid}-y`]) mkdirSync(join(guests, name), { recursive: true })
  await home.make('a')
  expect(readdirSync(guests).sort()).toEqual([`.new-${process.pid}-y`, 'a'])
})

test('a guest\'s disk begins as its image\'s, and keeps it whatever becomes of the cache', async () => {
  const home = new GuestHome()
  await home.makeWithDisk('a')
  const { disk, base } = home.store.folder('a')
  rmSync(join(home.path, 'image.raw'))
  writeFileSync(join(home.path, 'image.raw'), 'another image')
  const node = await openDisk(disk, hostEnvironment())
  const bytes = new Uint8Array(8)
  await node.read(4096, [bytes])
  expect(Buffer.from(bytes).toString()).toBe('basebase')
  await node.write(4096, [Buffer.from('CHANGED!')])
  await node.close()
  expect(readFileSync(base).subarray(4096, 4104).toString()).toBe('basebase')
  if (isInstalled('qemu-img')) expect(spawnSync('qemu-img', ['check', disk], { encoding: 'utf8' }).stdout).toContain('No errors were found')
})

test('a state that cannot be read is that of a guest that never ran', async () => {
  const home = new GuestHome()
  await home.make('a')
  await home.store.setState('a', { state: 'running', domain: 'default', process: 7, since: 1 })
  expect(await home.store.state('a')).toMatchObject({ state: 'running', process: 7 })
  writeFileSync(home.store.folder('a').state, '{')
  expect(await home.store.state('a')).toEqual({ state: 'stopped' })
})
