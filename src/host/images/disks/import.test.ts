import { existsSync, linkSync, readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeEach, expect, test } from 'vitest'
import { Random } from '../../../base/testing/random.ts'
import { openDisk } from '../../../storage/open.ts'
import { ToolFolder } from '../../../storage/testing/tools.ts'
import { convertDisk } from '../../disk-files/convert.ts'
import { openDiskFile } from '../../disks/disk-file.ts'
import { hostEnvironment } from '../../disks/environment.ts'
import { inspectImages, listImages, removeImages } from '../cached-images.ts'
import { prepareDiskImage } from '../debian/prepare.ts'
import { findSystem } from './find-system.ts'
import { importDisk } from './import.ts'
import { DiskImageStore } from './store.ts'
import { type Files, PARTITION_IDS, writeSystemDisk } from './testing/system-disk.ts'

const withCode = (code: string): unknown => expect.objectContaining({ code })
const CLOUD = 'CONFIG_BLK_DEV_NVME=y\nCONFIG_EXT4_FS=y\n'
const DEBIAN: Files = {
  '/sbin/init': 'init', '/boot/vmlinuz-6.1.0-9-cloud-amd64': 'OLD', '/boot/vmlinuz-6.1.0-10-cloud-amd64': 'NEW', '/boot/vmlinuz-0-rescue-1': 'RESCUE',
  '/boot/initrd.img-6.1.0-10-cloud-amd64': 'INITRD', '/boot/config-6.1.0-10-cloud-amd64': CLOUD,
}
let folder: ToolFolder
let cache: string
const at = (name: string): string => folder.at(name)

beforeEach(() => {
  folder = new ToolFolder()
  cache = at('cache')
})

async function find(volumes: readonly Files[], options?: { readonly table: boolean }): Promise<unknown> {
  await writeSystemDisk(at('disk.raw'), volumes, options)
  const disk = await openDisk({ kind: 'file', path: at('disk.raw'), format: 'raw' }, hostEnvironment(), { readOnly: true })
  const { root, kernel } = await findSystem(disk).finally(() => disk.close())
  const text = (bytes?: Uint8Array): string | undefined => bytes && Buffer.from(bytes).toString()
  return [root, kernel?.release, text(kernel?.kernel), text(kernel?.initrd)]
}

test('the newest kernel boots, without an initrd where it needs none', async () => {
  expect(await find([DEBIAN])).toEqual([`PARTUUID=${PARTITION_IDS[0]}`, '6.1.0-10-cloud-amd64', 'NEW', undefined])
})

test('a kernel whose drivers are modules gets its initrd', async () => {
  expect(await find([{ ...DEBIAN, '/boot/config-6.1.0-10-cloud-amd64': 'CONFIG_BLK_DEV_NVME=m\nCONFIG_EXT4_FS=y\n' }])).toEqual([
    `PARTUUID=${PARTITION_IDS[0]}`, '6.1.0-10-cloud-amd64', 'NEW', 'INITRD',
  ])
})

test('a file system without a table is the disk itself', async () => {
  expect(await find([DEBIAN], { table: false })).toEqual(['/dev/nvme0n1', '6.1.0-10-cloud-amd64', 'NEW', undefined])
})

test('/boot may be a partition of its own', async () => {
  const boot = { '/vmlinuz-6.5.6-300.fc39.x86_64': 'FEDORA', '/initramfs-6.5.6-300.fc39.x86_64.img': 'RAMDISK', '/vmlinuz-6.5.6-99.fc39.x86_64': 'OLD' }
  expect(await find([boot, { '/usr/lib/systemd/systemd': 'x' }])).toEqual([`PARTUUID=${PARTITION_IDS[1]}`, '6.5.6-300.fc39.x86_64', 'FEDORA', 'RAMDISK'])
})

test('a disk without a Linux is refused, and says why', async () => {
  await expect(find([{ '/etc/hosts': '' }])).rejects.toThrow('of its 1 partitions 1 are ext4, and none has an init')
  writeFileSync(at('empty'), Buffer.alloc(1 << 20))
  await expect(importDisk('a:1', at('empty'), { cache })).rejects.toEqual(withCode('IMAGE_UNBOOTABLE'))
  expect(existsSync(join(cache, 'disks')) ? readdirSync(join(cache, 'disks')) : []).toEqual([])
})

test('damaged disks are errors, whatever is damaged', async () => {
  await writeSystemDisk(at('disk.raw'), [DEBIAN])
  const bytes = readFileSync(at('disk.raw'))
  const random = new Random(5)
  for (let round = 0; round < 60; round++) {
    const damaged = Buffer.from(bytes)
    for (let spot = 0; spot < 4; spot++) damaged[random.pick([0, 446, 512, 1024, 1 << 20, (1 << 20) + 1024, (1 << 20) + 4096]) + random.below(512)] = random.below(256)
    writeFileSync(at('damaged.raw'), damaged)
    const disk = await openDisk({ kind: 'file', path: at('damaged.raw'), format: 'raw' }, hostEnvironment({ ignoreLocks: true }), { readOnly: true })
    const result = await findSystem(disk).then(() => 'found', (error: { code?: string }) => error.code).finally(() => disk.close())
    expect(['found', 'IMAGE_UNBOOTABLE', 'DISK_CORRUPT', 'DISK_UNSUPPORTED', 'DISK_OUT_OF_RANGE', 'DISK_NOT_FOUND']).toContain(result)
  }
})

test('an imported disk of any format is an image, by its name', async () => {
  await writeSystemDisk(at('disk.raw'), [DEBIAN])
  await convertDisk(at('disk.raw'), at('disk.vmdk'), { format: 'vmdk', compress: true })
  await importDisk('web:1', at('disk.vmdk'), { cache })
  const image = await prepareDiskImage('web:1', { cache, startMachine: () => Promise.reject(new Error('none is needed')) })
  expect(image).toMatchObject({ name: 'web:1', commandLine: `root=PARTUUID=${PARTITION_IDS[0]} rw`, packages: [], initrd: undefined })
  expect(Buffer.from(image.kernel).toString()).toBe('NEW')
  expect(Buffer.compare(readFileSync(image.diskPath), readFileSync(at('disk.raw')))).toBe(0)
  await expect(prepareDiskImage('web:2', { cache, startMachine: () => Promise.reject(new Error('none')) })).rejects.toThrow('there is debian:12, debian:13, web:1')
})

test('a kernel, an initrd and a root of the user\'s come before what the disk has', async () => {
  await writeSystemDisk(at('disk.raw'), [{ '/etc/hosts': '' }])
  writeFileSync(at('k'), 'KERNEL')
  writeFileSync(at('i'), 'INITRD')
  await expect(importDisk('a:1', at('disk.raw'), { cache, kernel: at('k') })).rejects.toEqual(withCode('IMAGE_UNBOOTABLE'))
  const image = await importDisk('a:1', at('disk.raw'), { cache, kernel: at('k'), initrd: at('i'), append: 'root=/dev/nvme0n1p1 quiet' })
  expect([image.commandLine, Buffer.from(image.kernel).toString(), Buffer.from(image.initrd!).toString()]).toEqual(['root=/dev/nvme0n1p1 quiet', 'KERNEL', 'INITRD'])
})

test('names are checked, and taken once', async () => {
  await writeSystemDisk(at('disk.raw'), [DEBIAN])
  const take = (name: string, options = {}): Promise<unknown> => importDisk(name, at('disk.raw'), { cache, reserved: ['debian:12'], ...options })
  for (const name of ['web', '../a:1', 'A:1', 'a:', 'debian:12']) await expect(take(name), name).rejects.toEqual(withCode('IMAGE_NAME_INVALID'))
  await take('web:1')
  await expect(take('web:1')).rejects.toEqual(withCode('IMAGE_EXISTS'))
  await take('web:1', { force: true })
  expect((await new DiskImageStore(cache).find('web:1')).length).toBe(1)
  const end = new AbortController()
  end.abort(new Error('enough'))
  await expect(take('web:2', { signal: end.signal })).rejects.toThrow('enough')
  expect(readdirSync(join(cache, 'disks')).length).toBe(1)
})

test('images are listed, inspected and removed; not one in use, and guests keep their disks', async () => {
  await writeSystemDisk(at('disk.raw'), [DEBIAN])
  const { diskPath } = await importDisk('web:1', at('disk.raw'), { cache })
  const [summary] = (await listImages(cache)).filter(({ isThere }) => isThere)
  expect(summary).toMatchObject({ name: 'web:1', origin: 'imported', kernelRelease: '6.1.0-10-cloud-amd64' })
  expect((await listImages(cache)).map(({ name }) => name)).toEqual(['busybox', 'debian:12', 'debian:13', 'web:1'])
  expect(await inspectImages(summary.id, cache)).toMatchObject([{ name: 'web:1', source: at('disk.raw'), packages: [] }])
  const guest = await openDiskFile(diskPath, { readOnly: true })
  await expect(removeImages('web:1', cache)).rejects.toEqual(withCode('DISK_IN_USE'))
  await guest.close()
  linkSync(diskPath, at('base.raw'))
  expect(await removeImages('web:1', cache)).toEqual([{ name: 'web:1', id: summary.id, isShared: true }])
  expect(Buffer.compare(readFileSync(at('base.raw')), readFileSync(at('disk.raw')))).toBe(0)
  for (const work of [removeImages, inspectImages]) await expect(work('web:1', cache)).rejects.toEqual(withCode('IMAGE_UNKNOWN'))
  await expect(removeImages('busybox', cache)).rejects.toEqual(withCode('IMAGE_UNKNOWN'))
})

test('an image that is not what it was is no image', async () => {
  await writeSystemDisk(at('disk.raw'), [DEBIAN])
  const { diskPath } = await importDisk('web:1', at('disk.raw'), { cache })
  utimesSync(diskPath, 1, 1)
  await expect(prepareDiskImage('web:1', { cache, startMachine: () => Promise.reject(new Error('none')) })).rejects.toThrow('is damaged')
  await removeImages('web:1', cache)
})

test('records of the first format are of images that were built', async () => {
  const image = join(cache, 'disks', 'debian-12-0123456789abcdef')
  await writeSystemDisk(at('disk.raw'), [DEBIAN])
  const { diskPath } = await importDisk('web:1', at('disk.raw'), { cache })
  const { kernelRelease, kernelSha256, diskSize, diskModified, packages } = JSON.parse(readFileSync(join(diskPath, '../image.json'), 'utf8')) as Record<string, unknown>
  folder.run('mv', join(diskPath, '..'), image)
  writeFileSync(join(image, 'image.json'), JSON.stringify({ format: 1, kernelRelease, kernelSha256, diskSize, diskModified, packages }))
  expect(await new DiskImageStore(cache).load(image)).toMatchObject({ name: 'debian:12', commandLine: 'root=/dev/nvme0n1 rw' })
  expect((await listImages(cache)).filter(({ isThere }) => isThere)).toMatchObject([{ name: 'debian:12', origin: 'built-in', id: '0123456789abcdef' }])
})
