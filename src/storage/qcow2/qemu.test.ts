/** Images of QEMU's read and written here, and ours read there. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Random } from '../../base/testing/random.ts'
import type { BlockNode } from '../block-node.ts'
import { workload } from '../testing/contract.ts'
import { DiskModel, expectContent, readAll } from '../testing/disk-model.ts'
import { MemoryStore } from '../testing/memory-file.ts'
import { createQcow2, type CreateOptions } from './create.ts'
import { Qcow2Node } from './node.ts'
import { compress, decompressors, hasQemu, QemuFolder } from './testing/qemu.ts'

const SIZE = 8 << 20

/** Some of all kinds of content, at places that are in and between clusters. */
const FILLED = [
  'write -P 1 0 100k', 'write -P 2 1000k 3k', 'write -P 3 3M 1M', 'write -z 3200k 64k', 'write -z -u 3500k 128k', 'write -P 4 3584k 512',
  'discard 3712k 64k', 'write -P 5 8187k 5k',
]

let folder: QemuFolder

/** Opens an image of the folder, with its chain of backing images. */
async function open(store: MemoryStore, name: string, readOnly = false, backing: BlockNode | null = null): Promise<Qcow2Node> {
  if (!store.has(name)) folder.import(store, name)
  return Qcow2Node.open(store.file(name, readOnly), { readOnly, backing, decompressors })
}

/** What is written to the image in the store is an image that QEMU finds sound and reads the same. */
async function expectSound(store: MemoryStore, name: string, bytes: Uint8Array): Promise<void> {
  folder.export(store, name)
  expect(folder.check(name)).toMatchObject({ status: 0 })
  expectContent(folder.raw(name), bytes)
}

async function expectNoErrors(node: Qcow2Node): Promise<void> {
  expect(await node.check()).toMatchObject({ errors: [], leaks: 0 })
}

describe.skipIf(!hasQemu)('qcow2, with QEMU', () => {
  beforeAll(() => { folder = new QemuFolder() })
  afterAll(() => folder.remove())

  const layouts = [
    'compat=1.1', 'compat=0.10', 'compat=1.1,lazy_refcounts=on', 'compat=1.1,cluster_size=512', 'compat=1.1,cluster_size=2M',
    ...[1, 2, 4, 8, 32, 64].map(bits => `compat=1.1,refcount_bits=${bits},cluster_size=4k`), 'preallocation=metadata', 'preallocation=full,cluster_size=8k',
  ]

  test.each(layouts)('reads and goes on writing what QEMU has made with %s', async (layout) => {
    folder.img('create', '-f', 'qcow2', '-o', layout, 'a.qcow2', `${SIZE}`)
    folder.io('a.qcow2', ...FILLED)
    const store = new MemoryStore()
    const node = await open(store, 'a.qcow2')
    const expected = folder.raw('a.qcow2')
    expectContent(await readAll(node), expected)
    await expectNoErrors(node)
    const model = new DiskModel(expected)
    await workload(node, model, new Random(layout.length), 120)
    await expectNoErrors(node)
    await node.close()
    await expectSound(store, 'a.qcow2', model.bytes)
  })

  test.each(['zlib', 'zstd'])('reads clusters that are compressed with %s, and writes over them', async (type) => {
    const random = new Random(4)
    const content = new Uint8Array(SIZE)
    for (let at = 0; at < SIZE; at += 1 << 20) content.set(random.bytes(10_000 + random.below(60_000)), at + random.below(10_000))
    folder.write('c.raw', content)
    folder.img('convert', '-c', '-f', 'raw', '-O', 'qcow2', '-o', `compression_type=${type}`, 'c.raw', 'c.qcow2')
    const store = new MemoryStore()
    const node = await open(store, 'c.qcow2')
    expectContent(await readAll(node), content)
    const report = await node.check()
    expect(report).toMatchObject({ errors: [], leaks: 0 })
    expect(report.compressedClusters).toBeGreaterThan(8)
    const model = new DiskModel(content)
    await workload(node, model, new Random(6), 150)
    await expectNoErrors(node)
    await node.close()
    await expectSound(store, 'c.qcow2', model.bytes)
  })

  test.each(['compat=1.1', 'compat=0.10'])('reads and writes above a backing file (%s)', async (layout) => {
    folder.img('create', '-f', 'qcow2', '-o', 'cluster_size=4k', 'base.qcow2', `${SIZE - 300 * 1024}`)
    folder.io('base.qcow2', ...FILLED.slice(0, -1), 'write -P 9 5M 2M')
    folder.img('create', '-f', 'qcow2', '-o', layout, '-b', 'base.qcow2', '-F', 'qcow2', 'top.qcow2', `${SIZE}`)
    folder.io('top.qcow2', 'write -P 7 50k 100k', 'write -z 3M 200k', 'write -P 8 7M 10k')
    const store = new MemoryStore()
    const node = await open(store, 'top.qcow2', false, await open(store, 'base.qcow2', true))
    const expected = folder.raw('top.qcow2')
    expectContent(await readAll(node), expected)
    const model = new DiskModel(expected)
    await workload(node, model, new Random(8), 120)
    const grown = SIZE + 400 * 1024
    await node.resize(SIZE / 2)
    model.resize(SIZE / 2)
    await node.resize(grown)
    model.resize(grown)
    await workload(node, model, new Random(9), 60)
    await node.close()
    await expectSound(store, 'top.qcow2', model.bytes)
  })

  const ours: readonly (readonly [string, Omit<CreateOptions, 'size'>])[] = [
    ['defaults', {}], ['version 2', { version: 2 }], ['512-byte clusters', { clusterSize: 512 }], ['2 MiB clusters', { clusterSize: 2 << 20 }],
    ['lazy refcounts', { lazyRefcounts: true, clusterSize: 4096 }], ['refcounts of 1 bit', { refcountBits: 1, clusterSize: 1024 }],
    ['refcounts of 64 bits', { refcountBits: 64, clusterSize: 512 }],
  ]

  test.each(ours)('makes images with %s that QEMU reads', async (_, options) => {
    const store = new MemoryStore()
    await createQcow2(store.file('n.qcow2'), { size: SIZE, ...options })
    await expectSound(store, 'n.qcow2', new Uint8Array(SIZE))
    const node = await open(store, 'n.qcow2')
    const model = new DiskModel(new Uint8Array(SIZE))
    await workload(node, model, new Random(3), 200)
    await expectNoErrors(node)
    await node.close()
    await expectSound(store, 'n.qcow2', model.bytes)
    expect(folder.img('compare', 'n.qcow2', 'n.qcow2.raw')).toContain('identical')
  })

  test('writes compressed clusters that QEMU reads', async () => {
    const store = new MemoryStore()
    const random = new Random(12)
    await createQcow2(store.file('z.qcow2'), { size: SIZE + 512 })
    const node = await open(store, 'z.qcow2')
    const content = new Uint8Array(SIZE + 512)
    for (let at = 0; at < SIZE; at += 100_000) content.set(random.bytes(random.below(50_000)), at)
    content[SIZE + 511] = 9
    const offsets = Array.from({ length: Math.ceil(content.length / 65536) }, (_, index) => index * 65536)
    await Promise.all(offsets.map(offset => node.writeCompressed(offset, content.subarray(offset, offset + 65536), compress)))
    expectContent(await readAll(node), content)
    await expectNoErrors(node)
    const model = new DiskModel(content)
    await node.flush()
    folder.export(store, 'z.qcow2')
    expect(folder.check('z.qcow2')).toMatchObject({ status: 0 })
    expect(store.file('z.qcow2').size).toBeLessThan(SIZE * 0.7)
    await workload(node, model, new Random(3), 100)
    await node.close()
    await expectSound(store, 'z.qcow2', model.bytes)
  })

  test('has internal snapshots that QEMU reads, and reads and deletes QEMU\'s', async () => {
    folder.img('create', '-f', 'qcow2', '-o', 'cluster_size=4k', 's.qcow2', `${SIZE}`)
    folder.io('s.qcow2', ...FILLED)
    folder.img('snapshot', '-c', 'theirs', 's.qcow2')
    folder.io('s.qcow2', 'write -P 0x11 100k 300k')
    const store = new MemoryStore()
    const node = await open(store, 's.qcow2')
    await expectNoErrors(node)
    expect(await node.snapshots()).toMatchObject([{ id: '1', name: 'theirs', size: SIZE, vmStateSize: 0 }])
    const model = new DiskModel(folder.raw('s.qcow2'))
    const theirs = folder.raw('s.qcow2', '-l', 'snapshot.name=theirs')
    await workload(node, model, new Random(5), 100)
    await node.createSnapshot({ name: 'ours', seconds: 1_700_000_000, nanoseconds: 5 })
    await expectNoErrors(node)
    const ours = model.bytes.slice()
    await workload(node, model, new Random(6), 100)
    await node.flush()
    await expectSound(store, 's.qcow2', model.bytes)
    expectContent(folder.raw('s.qcow2', '-l', 'snapshot.name=theirs'), theirs)
    expectContent(folder.raw('s.qcow2', '-l', 'snapshot.name=ours'), ours)
    expect(folder.img('snapshot', '-l', 's.qcow2')).toMatch(/^1 +theirs .*\n2 +ours +0 B 2023-11-14/m)
    await node.deleteSnapshot('theirs')
    await expectNoErrors(node)
    expectContent(await readAll(node), model.bytes)
    await workload(node, model, new Random(7), 50)
    await node.applySnapshot('ours')
    await expectNoErrors(node)
    expectContent(await readAll(node), ours)
    await node.flush()
    await expectSound(store, 's.qcow2', ours)
    const again = new DiskModel(ours)
    await workload(node, again, new Random(8), 50)
    await node.deleteSnapshot('2')
    await expectNoErrors(node)
    await node.close()
    await expectSound(store, 's.qcow2', again.bytes)
    expect(folder.img('snapshot', '-l', 's.qcow2')).toBe('')
  })

  test('finds the errors and leaks that QEMU finds, and repairs what can be', async () => {
    folder.img('create', '-f', 'qcow2', '-o', 'cluster_size=4k', 'd.qcow2', `${SIZE}`)
    folder.io('d.qcow2', ...FILLED)
    const bytes = folder.read('d.qcow2')
    const view = new DataView(bytes.buffer)
    const block = Number(view.getBigUint64(Number(view.getBigUint64(48))))
    view.setUint16(block + 20 * 2, 3)
    view.setUint16(block + 25 * 2, 0)
    folder.write('d.qcow2', bytes)
    expect(folder.check('d.qcow2').output).toMatch(/^3 errors were found[^]*^1 leaked clusters/m)
    const store = new MemoryStore()
    const node = await open(store, 'd.qcow2')
    expect(await node.check()).toMatchObject({ errorCount: 3, leaks: 1 })
    expect((await node.check('all')).errors).toEqual([])
    await expectNoErrors(node)
    await node.close()
    folder.export(store, 'd.qcow2')
    expect(folder.check('d.qcow2')).toMatchObject({ status: 0 })
  })
})
