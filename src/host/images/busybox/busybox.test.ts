import { spawnSync } from 'node:child_process'
import { gunzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { makeDeb, makeModule } from '../testing/fake-archive.ts'
import { buildBusyboxImage } from './build.ts'
import { DHCP_SCRIPT, INIT_SCRIPT, NETWORK_SCRIPT, SESSION_SCRIPT } from './init-script.ts'
import { readModuleInfo } from './module-info.ts'
import { aliasTable, dependencyTable, packModule } from './modules.ts'

const modules = {
  'kernel/c-c.ko': ['name=c_c', 'depends='],
  'kernel/b.ko': ['name=b', 'depends=c_c', 'alias=pci:v1af4'],
  'kernel/a.ko': ['name=a', 'depends=b,c_c', 'alias=virtio:1', 'alias=virtio:2'],
}
const infos = new Map(Object.entries(modules).map(([path, strings]) => [path, readModuleInfo(makeModule(strings))]))

test('reads what a module says about itself, and nothing of what is no module', () => {
  expect(infos.get('kernel/a.ko')).toEqual(new Map([['name', ['a']], ['depends', ['b,c_c']], ['alias', ['virtio:1', 'virtio:2']]]))
  const file = makeModule(['name=a'])
  expect(readModuleInfo(file.subarray(0, file.length - 1)).size).toBe(0)
  expect(readModuleInfo(Buffer.from('hello')).size).toBe(0)
})

test('modules.dep lists all dependencies, the first to be loaded last', () => {
  expect(dependencyTable(infos)).toBe('kernel/c-c.ko.gz:\nkernel/b.ko.gz: kernel/c-c.ko.gz\nkernel/a.ko.gz: kernel/b.ko.gz kernel/c-c.ko.gz\n')
})

test('dependencies in a circle end', () => {
  const circle = new Map([['kernel/x.ko', new Map([['depends', ['y']]])], ['kernel/y.ko', new Map([['depends', ['x']]])]])
  expect(dependencyTable(circle)).toBe('kernel/x.ko.gz: kernel/y.ko.gz\nkernel/y.ko.gz: kernel/x.ko.gz\n')
})

test('modules.alias lists every alias', () => {
  expect(aliasTable(infos)).toBe('alias pci:v1af4 b\nalias virtio:1 a\nalias virtio:2 a\n')
})

test('a packed module unpacks to itself', async () => {
  const file = makeModule(['name=a'])
  expect(gunzipSync((await packModule('kernel/a.ko', file)).zipped)).toEqual(file)
})

const kernelPackage = makeDeb([
  { path: './boot/vmlinuz-6.1.0-9-cloud-amd64', data: Buffer.from('a kernel') },
  { path: './lib/modules/6.1.0-9-cloud-amd64/kernel/fs/x.ko', data: makeModule(['name=x']) },
  { path: './lib/modules/6.1.0-9-cloud-amd64/modules.builtin', data: Buffer.from('kernel/fs/ext4.ko\n') },
])
const busyboxPackage = makeDeb([{ path: './bin/busybox', data: Buffer.from('\x7fELF busybox') }])

test('builds a kernel and an initramfs, the same each time', async () => {
  const image = await buildBusyboxImage({ kernelPackage, busyboxPackage })
  expect([Buffer.from(image.kernel).toString(), image.kernelRelease]).toEqual(['a kernel', '6.1.0-9-cloud-amd64'])
  const text = Buffer.from(image.initrd).toString('latin1')
  for (const part of ['bin/busybox\0', '\x7fELF busybox', 'lib/modules/6.1.0-9-cloud-amd64/kernel/fs/x.ko.gz\0', 'kernel/fs/ext4.ko\n', 'dev/console\0']) {
    expect(text).toContain(part)
  }
  expect((await buildBusyboxImage({ kernelPackage, busyboxPackage })).initrd).toEqual(image.initrd)
})

test('says what a package lacks', async () => {
  const invalid = expect.objectContaining({ code: 'ARCHIVE_FORMAT_INVALID' })
  await expect(buildBusyboxImage({ kernelPackage, busyboxPackage: makeDeb([]) })).rejects.toEqual(invalid)
  await expect(buildBusyboxImage({ kernelPackage: busyboxPackage, busyboxPackage })).rejects.toEqual(invalid)
  await expect(buildBusyboxImage({ kernelPackage: kernelPackage.subarray(0, 300), busyboxPackage })).rejects.toEqual(invalid)
})

test.skipIf(process.platform === 'win32').each([['init', INIT_SCRIPT], ['session', SESSION_SCRIPT], ['network', NETWORK_SCRIPT], ['dhcp', DHCP_SCRIPT]])('the script %s is one to a shell', (_, script) => {
  const { status, stderr } = spawnSync('sh', ['-n'], { input: script })
  expect([status, stderr.toString()]).toEqual([0, ''])
})
