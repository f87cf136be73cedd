/** VHDs against other programs: what they write is read, what is written here they read. */
import { describe, expect, test } from 'vitest'
import { Random } from '../../base/testing/random.ts'
import type { BlockNode } from '../block-node.ts'
import { expectContent, readAll } from '../testing/disk-model.ts'
import { MemoryStore } from '../testing/memory-file.ts'
import { isInstalled, ToolFolder } from '../testing/tools.ts'
import { createDifferencingVhd, createVhd } from './create.ts'
import { openVhd } from './open.ts'

const hasQemu = isInstalled('qemu-img')
const has7z = isInstalled('7z')
const hasVhdi = isInstalled('vhdiinfo')
const SIZE = 5 * (1 << 20) + 512 * 3
const ID = Uint8Array.from({ length: 16 }, (_, index) => index * 7 + 1)

const open = (store: MemoryStore, name: string, backing?: BlockNode) => openVhd(store.file(name), {
  readOnly: false, backing, openBacking: async () => { throw new Error('there is no parent here') },
})

/** Data with zeros between. */
function pattern(size: number): Uint8Array {
  const random = new Random(5)
  const bytes = new Uint8Array(size)
  for (let at = 0; at < size - 100_000; at += 1_000_000) bytes.set(random.bytes(70_000), at + random.below(3) * 1111)
  bytes.set(random.bytes(512), size - 512)
  return bytes
}

describe.skipIf(!hasQemu)('with qemu-img', () => {
  test.each(['fixed', 'dynamic'] as const)('a %s disk made here is read there', async (type) => {
    const store = new MemoryStore()
    const folder = new ToolFolder()
    await createVhd(store.file('disk.vhd'), { type, size: SIZE, uniqueId: ID, time: 1_700_000_000 })
    const node = await open(store, 'disk.vhd')
    const bytes = pattern(SIZE)
    for (let at = 0; at < SIZE; at += 500_000) await node.write(at, [bytes.subarray(at, at + 500_000)])
    await node.close()
    folder.take(store, 'disk.vhd')
    folder.write('disk.raw', bytes)
    expect(JSON.parse(folder.run('qemu-img', 'info', '-f', 'vpc', '--output=json', 'disk.vhd'))).toMatchObject({ 'virtual-size': SIZE })
    folder.run('qemu-img', 'compare', '-f', 'vpc', '-F', 'raw', 'disk.vhd', 'disk.raw')
  })

  test.each(['fixed', 'dynamic'])('a %s disk made there is read and written here, and read there again', async (type) => {
    const store = new MemoryStore()
    const folder = new ToolFolder()
    const bytes = pattern(SIZE)
    folder.write('disk.raw', bytes)
    folder.run('qemu-img', 'convert', '-f', 'raw', '-O', 'vpc', '-o', `subformat=${type},force_size=on`, 'disk.raw', 'disk.vhd')
    folder.give(store, 'disk.vhd')
    const node = await open(store, 'disk.vhd')
    expectContent(await readAll(node), bytes)
    const change = new Random(6).bytes(3_000_000)
    await node.write(1_234_567, [change])
    bytes.set(change, 1_234_567)
    await node.close()
    folder.take(store, 'disk.vhd')
    folder.write('disk.raw', bytes)
    folder.run('qemu-img', 'compare', '-f', 'vpc', '-F', 'raw', 'disk.vhd', 'disk.raw')
  })

  test('both write to one disk in turn', async () => {
    const store = new MemoryStore()
    const folder = new ToolFolder()
    await createVhd(store.file('disk.vhd'), { type: 'dynamic', size: SIZE, uniqueId: ID, time: 0 })
    const bytes = new Uint8Array(SIZE)
    for (let round = 0; round < 4; round++) {
      const node = await open(store, 'disk.vhd')
      await node.write(round * 1_300_000, [new Uint8Array(70_000).fill(round + 1)])
      bytes.fill(round + 1, round * 1_300_000, round * 1_300_000 + 70_000)
      await node.close()
      folder.take(store, 'disk.vhd')
      folder.run('qemu-io', '-f', 'vpc', '-c', `write -P ${round + 50} ${round * 1_048_576 + 4096} 64k`, 'disk.vhd')
      bytes.fill(round + 50, round * 1_048_576 + 4096, round * 1_048_576 + 4096 + 65536)
      folder.give(store, 'disk.vhd')
    }
    expectContent(await readAll(await open(store, 'disk.vhd')), bytes)
  })
})

async function differencing(): Promise<{ store: MemoryStore, bytes: Uint8Array }> {
  const store = new MemoryStore()
  const bytes = pattern(SIZE)
  await createVhd(store.file('base.vhd'), { type: 'dynamic', size: SIZE, uniqueId: ID, time: 1_700_000_000 })
  const base = await open(store, 'base.vhd')
  await base.write(0, [bytes])
  await createDifferencingVhd(store.file('disk.vhd'), {
    size: SIZE, uniqueId: ID.map(byte => byte + 1), time: 1_700_000_001,
    parent: { relativePath: 'base.vhd', uniqueId: ID, time: 1_700_000_000 },
  })
  const node = await open(store, 'disk.vhd', base)
  for (const [index, offset] of [100, 70_000, 2_097_000, 4_000_001].entries()) {
    const change = new Uint8Array(10_000).fill(index + 1)
    await node.write(offset, [change])
    bytes.set(change, offset)
  }
  await node.close()
  return { store, bytes }
}

test.skipIf(!has7z)('7-Zip reads a differencing disk and its parent', async () => {
  const { store, bytes } = await differencing()
  const folder = new ToolFolder()
  folder.take(store, 'base.vhd')
  folder.take(store, 'disk.vhd')
  folder.run('7z', 'x', '-tVHD', '-y', '-oout', 'disk.vhd')
  const [name] = folder.run('ls', 'out').trim().split('\n')
  expectContent(folder.read(`out/${name}`), bytes)
})

test.skipIf(!hasVhdi)('libvhdi knows a differencing disk by its fields', async () => {
  const { store } = await differencing()
  const folder = new ToolFolder()
  folder.take(store, 'disk.vhd')
  const said = folder.run('vhdiinfo', 'disk.vhd')
  expect(said).toMatch(/Disk type\s*: Differential/)
  expect(said).toMatch(/Parent filename\s*: base\.vhd/)
  expect(said).toMatch(new RegExp(`\\(${SIZE} bytes\\)`))
})
