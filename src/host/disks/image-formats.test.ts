/** Disks of other formats as the host opens them: probed, with their parts and parents, through `openDisk`. */
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { deflateSync } from 'node:zlib'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Random } from '../../base/testing/random.ts'
import { copyNode } from '../../storage/copy.ts'
import { openDisk } from '../../storage/open.ts'
import { expectContent, readAll } from '../../storage/testing/disk-model.ts'
import { createDifferencingVhd, createVhd } from '../../storage/vhd/create.ts'
import { createVmdk } from '../../storage/vmdk/create.ts'
import { writeStreamOptimizedVmdk } from '../../storage/vmdk/stream-optimized.ts'
import { openDiskFile } from './disk-file.ts'
import { hostEnvironment } from './environment.ts'

const SIZE = 3 << 20
const ID = Uint8Array.from({ length: 16 }, (_, index) => index + 1)
const CHILD_ID = ID.map(byte => byte + 1)
let folder: string

beforeEach(() => { folder = mkdtempSync(join(tmpdir(), 'tenon-formats-')) })
afterEach(() => rmSync(folder, { recursive: true }))

const open = (name: string) => openDisk(name, hostEnvironment({ folder }))

async function create(name: string, make: (file: Awaited<ReturnType<typeof openDiskFile>>) => Promise<void>): Promise<void> {
  const file = await openDiskFile(join(folder, name), { create: true })
  await make(file)
  await file.close()
}

test('a differencing VHD finds its parent beside it', async () => {
  const bytes = new Random(1).bytes(SIZE)
  await create('base.vhd', file => createVhd(file, { type: 'dynamic', size: SIZE, uniqueId: ID, time: 0 }))
  await create('disk.vhd', file => createDifferencingVhd(file, {
    size: SIZE, uniqueId: CHILD_ID, time: 0, parent: { relativePath: 'base.vhd', uniqueId: ID, time: 0 },
  }))
  const base = await open('base.vhd')
  await base.write(0, [bytes])
  await base.close()
  const node = await open('disk.vhd')
  expect([node.kind, node.children.backing.kind, node.children.backing.readOnly]).toEqual(['vhd', 'vhd', true])
  expectContent(await readAll(node), bytes)
  await node.write(100, [new Uint8Array(100).fill(1)])
  bytes.fill(1, 100, 200)
  await node.close()
  const again = await open('disk.vhd')
  expectContent(await readAll(again), bytes)
  await again.close()
  rmSync(join(folder, 'base.vhd'))
  await expect(open('disk.vhd')).rejects.toMatchObject({ code: 'DISK_NOT_FOUND' })
})

test('a disk that is its own parent, by whatever way, is refused', async () => {
  await create('a.vhd', file => createDifferencingVhd(file, { size: SIZE, uniqueId: ID, time: 0, parent: { relativePath: 'b.vhd', uniqueId: CHILD_ID, time: 0 } }))
  await create('b.vhd', file => createDifferencingVhd(file, { size: SIZE, uniqueId: CHILD_ID, time: 0, parent: { relativePath: 'a.vhd', uniqueId: ID, time: 0 } }))
  await expect(open('a.vhd')).rejects.toThrow(/its own backing file/)
  await create('a.vmdk', file => createVmdk(file, { size: SIZE, contentId: 1, parent: { fileNameHint: 'a.vmdk', contentId: 1 } }))
  await expect(open('a.vmdk')).rejects.toThrow(/its own backing file/)
})

test('a disk goes from format to format, and keeps its holes', async () => {
  await create('disk.vhd', file => createVhd(file, { type: 'dynamic', size: 100 << 20, uniqueId: ID, time: 0 }))
  await create('disk.vmdk', file => createVmdk(file, { size: 100 << 20, contentId: 1 }))
  const vhd = await open('disk.vhd')
  const bytes = new Random(2).bytes(100_000)
  await vhd.write(70 << 20, [bytes])
  const vmdk = await open('disk.vmdk')
  await copyNode(vhd, vmdk)
  expectContent(await readAll(vmdk, 70 << 20, bytes.length), bytes)
  await vmdk.close()
  expect(statSync(join(folder, 'disk.vmdk')).size).toBeLessThan(1 << 20)
  const pieces: Uint8Array[] = []
  await writeStreamOptimizedVmdk(vhd, {
    fileName: 'export.vmdk', contentId: 2, compress: part => deflateSync(part), write: async (piece) => { pieces.push(piece) },
  })
  await vhd.close()
  writeFileSync(join(folder, 'export.vmdk'), Buffer.concat(pieces))
  const exported = await open('export.vmdk')
  expect([exported.kind, exported.readOnly, exported.size]).toEqual(['vmdk', true, 100 << 20])
  expectContent(await readAll(exported, 70 << 20, bytes.length), bytes)
  await exported.close()
})

test('an extent that is in several places is opened once', async () => {
  writeFileSync(join(folder, 'flat'), new Uint8Array(8192))
  writeFileSync(join(folder, 'disk.vmdk'), '# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\nRW 8 FLAT "flat" 8\nRW 8 FLAT "flat" 0\n')
  const node = await open('disk.vmdk')
  await node.write(4000, [new Uint8Array(200).fill(5)])
  await node.close()
  const flat = await openDisk({ kind: 'file', path: 'flat', format: 'raw' }, hostEnvironment({ folder }))
  expectContent(await readAll(flat), new Uint8Array(8192).fill(5, 0, 104).fill(5, 8096))
  await flat.close()
})
