import { writeFileSync, truncateSync } from 'node:fs'
import { expect, test } from 'vitest'
import { isInstalled, ToolFolder } from '../../storage/testing/tools.ts'
import { findOwnKernel } from './own-kernel.ts'

const hasTools = isInstalled('mke2fs')

/** A disk whose file system has these files, made by e2fsprogs. */
function diskWith(folder: ToolFolder, files: readonly string[]): string {
  for (const file of files) {
    folder.run('mkdir', '-p', `root/${file.slice(0, file.lastIndexOf('/'))}`)
    writeFileSync(folder.at(`root/${file}`), `this is ${file}`)
  }
  writeFileSync(folder.at('disk.raw'), '')
  truncateSync(folder.at('disk.raw'), 8 << 20)
  folder.run('mke2fs', '-q', '-t', 'ext4', '-d', 'root', 'disk.raw')
  return folder.at('disk.raw')
}

test.skipIf(!hasTools)('the newest kernel that has its modules is taken, with its initrd', async () => {
  const disk = diskWith(new ToolFolder(), [
    'boot/vmlinuz-6.1.0-9-amd64', 'boot/vmlinuz-6.1.0-28-amd64', 'boot/vmlinuz-6.12.0-1-amd64', 'boot/initrd.img-6.1.0-28-amd64',
    'lib/modules/6.1.0-9-amd64/modules.dep', 'lib/modules/6.1.0-28-amd64/modules.dep', 'boot/vmlinuz-no version',
  ])
  const found = await findOwnKernel(disk)
  expect([found?.release, ...[found?.kernel, found?.initrd].map(bytes => Buffer.from(bytes!).toString())]).toEqual([
    '6.1.0-28-amd64', 'this is boot/vmlinuz-6.1.0-28-amd64', 'this is boot/initrd.img-6.1.0-28-amd64',
  ])
})

test.skipIf(!hasTools)('a partition is looked into', async () => {
  const folder = new ToolFolder()
  const disk = diskWith(folder, ['boot/vmlinuz-6.1', 'lib/modules/6.1/modules.dep'])
  const table = Buffer.alloc(1 << 20)
  // One entry of an MBR: Linux, from sector 2048, of 16384 sectors.
  table.writeUInt8(0x83, 446 + 4)
  table.writeUInt32LE(2048, 446 + 8)
  table.writeUInt32LE(16384, 446 + 12)
  table.writeUInt16LE(0xaa55, 510)
  writeFileSync(folder.at('table'), table)
  folder.run('sh', '-c', `cat table ${disk} > whole`)
  expect(await findOwnKernel(folder.at('whole'))).toMatchObject({ release: '6.1', initrd: undefined })
})

test('a disk without a kernel, or without anything, has none', async () => {
  const folder = new ToolFolder()
  folder.write('empty', new Uint8Array(1 << 20))
  expect(await findOwnKernel(folder.at('empty'))).toBeUndefined()
  if (hasTools) expect(await findOwnKernel(diskWith(folder, ['etc/passwd']))).toBeUndefined()
})
