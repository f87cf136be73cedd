/** VMDKs against other programs: what they write is read, what is written here they read. */
import { readdirSync } from 'node:fs'
import { deflateSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { Random } from '../../base/testing/random.ts'
import type { BlockNode } from '../block-node.ts'
import { MemoryNode } from '../nodes/memory.ts'
import { expectContent, readAll } from '../testing/disk-model.ts'
import { MemoryStore } from '../testing/memory-file.ts'
import { isInstalled, ToolFolder } from '../testing/tools.ts'
import { createVmdk } from './create.ts'
import { openVmdk } from './open.ts'
import { writeStreamOptimizedVmdk } from './stream-optimized.ts'
import { contextOf } from './testing/disks.ts'

const hasQemu = isInstalled('qemu-img')
const has7z = isInstalled('7z')
const hasLibvmdk = isInstalled('vmdkinfo')
const SIZE = 5 * (1 << 20) + 512 * 3

const open = (store: MemoryStore, name = 'disk.vmdk') => openVmdk(store.file(name), contextOf(store))

/** Data with zeros between. */
function pattern(size = SIZE): Uint8Array {
  const random = new Random(5)
  const bytes = new Uint8Array(size)
  for (let at = 0; at < size - 100_000; at += 1_000_000) bytes.set(random.bytes(70_000), at + random.below(3) * 1111)
  bytes.set(random.bytes(512), size - 512)
  return bytes
}

async function written(bytes: Uint8Array): Promise<MemoryStore> {
  const store = new MemoryStore()
  await createVmdk(store.file('disk.vmdk'), { size: bytes.length, contentId: 0x12345678 })
  const node = await open(store)
  for (let at = 0; at < bytes.length; at += 500_000) await node.write(at, [bytes.subarray(at, at + 500_000)])
  await node.close()
  return store
}

async function streamed(source: BlockNode): Promise<Uint8Array> {
  const pieces: Uint8Array[] = []
  await writeStreamOptimizedVmdk(source, {
    fileName: 'disk.vmdk', contentId: 5, compress: bytes => deflateSync(bytes), write: async (bytes) => { pieces.push(bytes) },
  })
  return new Uint8Array(Buffer.concat(pieces))
}

async function memoryOf(bytes: Uint8Array): Promise<BlockNode> {
  const node = new MemoryNode({ size: bytes.length })
  await node.write(0, [bytes])
  return node
}

describe.skipIf(!hasQemu)('with qemu-img', () => {
  const compare = (folder: ToolFolder, bytes: Uint8Array) => {
    folder.write('disk.raw', bytes)
    folder.run('qemu-img', 'compare', '-f', 'vmdk', '-F', 'raw', 'disk.vmdk', 'disk.raw')
  }

  test('a monolithicSparse disk made here is read there, and found right', async () => {
    const bytes = pattern()
    const store = await written(bytes)
    const folder = new ToolFolder()
    folder.take(store, 'disk.vmdk')
    folder.run('qemu-img', 'check', '-f', 'vmdk', 'disk.vmdk')
    expect(JSON.parse(folder.run('qemu-img', 'info', '-f', 'vmdk', '--output=json', 'disk.vmdk'))).toMatchObject({
      'virtual-size': SIZE, 'format-specific': { data: { 'create-type': 'monolithicSparse' } },
    })
    compare(folder, bytes)
  })

  test.each([
    ['monolithicSparse', true], ['twoGbMaxExtentSparse', true], ['monolithicFlat', true], ['twoGbMaxExtentFlat', true], ['streamOptimized', false],
  ])('a %s disk made there is read here (and written: %s)', async (subformat, writable) => {
    const folder = new ToolFolder()
    const store = new MemoryStore()
    const bytes = pattern()
    folder.write('disk.raw', bytes)
    folder.run('qemu-img', 'convert', '-f', 'raw', '-O', 'vmdk', '-o', `subformat=${subformat}`, 'disk.raw', 'disk.vmdk')
    const names = readdirSync(folder.path).filter(name => name.endsWith('.vmdk'))
    for (const name of names) folder.give(store, name)
    const node = await open(store)
    expect(node.readOnly).toBe(!writable)
    expectContent(await readAll(node), bytes)
    if (writable) {
      const change = new Random(6).bytes(3_000_000)
      await node.write(1_234_567, [change])
      bytes.set(change, 1_234_567)
    }
    await node.close()
    for (const name of names) folder.take(store, name)
    compare(folder, bytes)
  })

  test('extents of 2 GiB follow one another', async () => {
    const folder = new ToolFolder()
    const store = new MemoryStore()
    folder.run('qemu-img', 'create', '-q', '-f', 'vmdk', '-o', 'subformat=twoGbMaxExtentSparse', 'disk.vmdk', '5G')
    folder.run('qemu-io', '-f', 'vmdk', '-c', 'write -P 7 2147450880 64k', '-c', 'write -P 8 4G 10k', 'disk.vmdk')
    for (const name of readdirSync(folder.path)) folder.give(store, name)
    const node = await open(store)
    expect(node.size).toBe(5 * 2 ** 30)
    const bytes = new Uint8Array(131072).fill(7, 32768 - 32768, 65536)
    expectContent(await readAll(node, 2147450880, 131072), bytes)
    expectContent(await readAll(node, 4 * 2 ** 30, 10240), new Uint8Array(10240).fill(8))
    await node.write(2147483648 - 5, [new Uint8Array(10).fill(9)])
    await node.close()
    for (const name of readdirSync(folder.path)) folder.take(store, name)
    folder.run('qemu-io', '-f', 'vmdk', '-c', 'read -P 9 2147483643 10', '-c', 'read -P 7 2147450880 1k', 'disk.vmdk')
  })

  test('a disk and its parent, made there, are read here and the reverse', async () => {
    const folder = new ToolFolder()
    const store = new MemoryStore()
    const bytes = pattern()
    folder.write('disk.raw', bytes)
    folder.run('qemu-img', 'convert', '-f', 'raw', '-O', 'vmdk', 'disk.raw', 'base.vmdk')
    folder.run('qemu-img', 'create', '-q', '-f', 'vmdk', '-b', 'base.vmdk', '-F', 'vmdk', 'disk.vmdk')
    folder.run('qemu-io', '-f', 'vmdk', '-c', 'write -P 7 100k 30k', 'disk.vmdk')
    bytes.fill(7, 102400, 102400 + 30720)
    for (const name of ['base.vmdk', 'disk.vmdk']) folder.give(store, name)
    const node = await open(store)
    expectContent(await readAll(node), bytes)
    await node.write(2_000_000, [new Uint8Array(1000).fill(9)])
    bytes.fill(9, 2_000_000, 2_001_000)
    await node.close()
    folder.take(store, 'disk.vmdk')
    compare(folder, bytes)
  })

  test('both write to one disk in turn', async () => {
    const store = await written(new Uint8Array(SIZE))
    const folder = new ToolFolder()
    const bytes = new Uint8Array(SIZE)
    for (let round = 0; round < 4; round++) {
      const node = await open(store)
      await node.write(round * 1_300_000, [new Uint8Array(70_000).fill(round + 1)])
      bytes.fill(round + 1, round * 1_300_000, round * 1_300_000 + 70_000)
      await node.close()
      folder.take(store, 'disk.vmdk')
      folder.run('qemu-io', '-f', 'vmdk', '-c', `write -P ${round + 50} ${round * 1_048_576 + 4096} 64k`, 'disk.vmdk')
      bytes.fill(round + 50, round * 1_048_576 + 4096, round * 1_048_576 + 4096 + 65536)
      folder.run('qemu-img', 'check', '-f', 'vmdk', 'disk.vmdk')
      folder.give(store, 'disk.vmdk')
    }
    expectContent(await readAll(await open(store)), bytes)
  })

  test('a stream-optimized disk made here is read there', async () => {
    const folder = new ToolFolder()
    const bytes = pattern(70 << 20)
    folder.write('disk.vmdk', await streamed(await memoryOf(bytes)))
    expect(JSON.parse(folder.run('qemu-img', 'info', '-f', 'vmdk', '--output=json', 'disk.vmdk'))).toMatchObject({
      'virtual-size': 70 << 20, 'format-specific': { data: { 'create-type': 'streamOptimized' } },
    })
    compare(folder, bytes)
  })
})

test.skipIf(!has7z)('7-Zip reads a stream-optimized and a sparse disk', async () => {
  const bytes = pattern()
  const folder = new ToolFolder()
  folder.write('stream.vmdk', await streamed(await memoryOf(bytes)))
  folder.take(await written(bytes), 'disk.vmdk')
  for (const name of ['stream', 'disk']) {
    folder.run('7z', 'x', '-tVMDK', '-y', `-o${name}`, `${name}.vmdk`)
    expectContent(folder.read(`${name}/${readdirSync(folder.at(name))[0]}`), bytes)
  }
})

test.skipIf(!hasLibvmdk)('libvmdk knows both by their fields', async () => {
  const folder = new ToolFolder()
  folder.write('stream.vmdk', await streamed(await memoryOf(pattern())))
  folder.take(await written(pattern()), 'disk.vmdk')
  expect(folder.run('vmdkinfo', 'stream.vmdk')).toMatch(/Disk type:\s*Stream optimized/i)
  expect(folder.run('vmdkinfo', 'disk.vmdk')).toMatch(/Disk type:\s*Monolithic sparse/i)
})
