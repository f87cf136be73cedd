import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { GuestStore } from '../guests/guest-store.ts'
import { DiskImageStore } from '../images/disks/store.ts'
import { ImageStore } from '../images/image-store.ts'
import { asideOf, sweepAside } from './aside.ts'

let folder: string
beforeEach(() => { folder = mkdtempSync(join(tmpdir(), 'tenon-aside-')) })
afterEach(() => rmSync(folder, { recursive: true }))

const UUID = '01234567-89ab-cdef-0123-456789abcdef'
const DEAD = spawnSync(process.execPath, ['-e', '']).pid
/** As a process that has died would have named it. */
const ofDead = (path: string): string => asideOf(path).replace(`-${process.pid}-`, `-${DEAD}-`)
const ofElsewhere = (path: string): string => asideOf(path).replace(/\.[0-9a-f]{8}-/, '.00000000-')
const names = (): string[] => readdirSync(folder).sort()

function age(path: string): void {
  const time = new Date(Date.now() - 2 * 24 * 60 * 60_000)
  utimesSync(path, time, time)
}

test('what a process left that has died is swept away, file or folder, and nothing else', async () => {
  const mine = asideOf(join(folder, 'image'))
  const dead = ofDead(join(folder, 'image'))
  for (const path of [mine, join(folder, 'image'), join(folder, 'notes.tmp'), ofDead(join(folder, 'state.json'))]) writeFileSync(path, '')
  mkdirSync(dead)
  writeFileSync(join(dead, 'disk.raw'), 'much')
  await sweepAside(folder)
  expect(names()).toEqual([mine.slice(folder.length + 1), 'image', 'notes.tmp'].sort())
  await sweepAside(join(folder, 'none'))
})

test('what cannot be judged from here stays for a day after the last was written to it', async () => {
  const [other, growing] = [ofElsewhere(join(folder, 'a')), ofElsewhere(join(folder, 'b'))]
  const nameless = [`${join(folder, 'c')}.${UUID}.tmp`, join(folder, `contents-${UUID}.tmp`)]
  for (const path of [other, ...nameless]) writeFileSync(path, '')
  mkdirSync(growing)
  await sweepAside(folder)
  expect(names()).toHaveLength(4)
  writeFileSync(join(growing, 'disk.raw'), '')
  for (const path of [other, growing, ...nameless]) age(path)
  await sweepAside(folder)
  expect(names()).toEqual([growing.slice(folder.length + 1)])
})

test('stores sweep where they write', async () => {
  const images = new ImageStore(folder)
  const disks = new DiskImageStore(folder)
  const guests = new GuestStore(folder)
  await guests.create('web', async () => {})
  for (const place of ['images', 'disks']) mkdirSync(join(folder, place))
  const left = [join(images.folder, 'busybox.json'), disks.folder('a:1', 'x'), guests.folder('web').state].map(ofDead)
  const living = asideOf(join(images.folder, 'other.json'))
  for (const path of [...left, living]) writeFileSync(path, '')
  await images.save('busybox', { recipe: '1', kernelRelease: '6', packages: [] }, { kernel: Buffer.from('k'), initrd: Buffer.from('i') })
  await guests.setState('web', { state: 'stopped' })
  await expect(disks.make(disks.folder('a:1', 'y'), () => Promise.reject(new Error('no')))).rejects.toThrow('no')
  const found = ['images', 'disks', 'guests/web'].flatMap(place => readdirSync(join(folder, place))).filter(name => name.endsWith('.tmp'))
  expect(found).toEqual([living.slice(images.folder.length + 1)])
})
