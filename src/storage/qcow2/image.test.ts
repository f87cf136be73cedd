/** What an image does besides being a disk, and how it does it. */
import { describe, expect, test } from 'vitest'
import { Random } from '../../base/testing/random.ts'
import { MemoryNode } from '../nodes/memory.ts'
import { workload } from '../testing/contract.ts'
import { DiskModel, expectContent, readAll } from '../testing/disk-model.ts'
import { MemoryStore } from '../testing/memory-file.ts'
import { createQcow2, type CreateOptions } from './create.ts'
import { readHeader } from './header.ts'
import { Qcow2Node } from './node.ts'
import { compress, decompressors } from './testing/qemu.ts'

const SIZE = 1 << 20

async function fresh(options: Partial<CreateOptions> = {}): Promise<{ store: MemoryStore, node: Qcow2Node }> {
  const store = new MemoryStore()
  await createQcow2(store.file('disk'), { size: SIZE, ...options })
  return { store, node: await Qcow2Node.open(store.file('disk'), { decompressors }) }
}

async function used(options: Partial<CreateOptions> = {}): Promise<{ store: MemoryStore, node: Qcow2Node, model: DiskModel }> {
  const { store, node } = await fresh(options)
  const model = new DiskModel(new Uint8Array(SIZE))
  await workload(node, model, new Random(2), 60)
  await node.flush()
  return { store, node, model }
}

const code = (code: string): unknown => expect.objectContaining({ code })

/** What was asked of the file since. */
function record(store: MemoryStore): string[] {
  const operations: string[] = []
  store.fail = (operation, _, offset, length) => {
    operations.push(`${operation} ${offset} ${length}`)
    return null
  }
  return operations
}

describe('how the file is used', () => {
  test('a large disk opens by its header, and its tables stay within their limit', async () => {
    const store = new MemoryStore()
    const size = 100 * 2 ** 30
    await createQcow2(store.file('disk'), { size })
    const operations = record(store)
    const node = await Qcow2Node.open(store.file('disk'), { cacheBytes: 1 << 20 })
    expect(operations).toEqual(['read 0 112', 'read 0 65536'])
    const random = new Random(1)
    for (let count = 0; count < 1000; count++) {
      const offset = random.below(size / 2 ** 20) * 2 ** 20
      await node.write(offset, [new Uint8Array(4)])
      expect(node.info().cachedBytes).toBeLessThanOrEqual(1 << 20)
    }
    expect(await node.check()).toMatchObject({ errors: [], leaks: 0 })
    await node.close()
  })

  test('clusters in a row are one operation', async () => {
    const { store, node } = await fresh()
    const operations = record(store)
    await node.write(0, [new Uint8Array(SIZE).fill(1)])
    expect(operations.filter(each => each.endsWith(` ${SIZE}`))).toHaveLength(1)
    operations.length = 0
    await node.write(1000, [new Uint8Array(SIZE - 5000).fill(2)])
    await node.read(3, [new Uint8Array(SIZE - 10)])
    expect(operations.map(each => each.replace(/ \d+ /, ' '))).toEqual([`write ${SIZE - 5000}`, `read ${SIZE - 10}`])
    await node.close()
  })

  test('a small write to a new cluster is no larger in the file', async () => {
    const { store, node } = await fresh()
    await node.write(SIZE - 1000, [new Uint8Array(10)])
    const operations = record(store)
    await node.write(70_000, [new Uint8Array(512).fill(1)])
    expect(operations.filter(each => each.startsWith('write'))).toEqual([expect.stringMatching(/ 512$/)])
    await node.close()
  })

  test('a flush costs one flush of the file when no table has changed, two when clusters were allocated', async () => {
    const { store, node } = await fresh()
    await node.write(1 << 18, [new Uint8Array(512)])
    await node.flush()
    await node.write(0, [new Uint8Array(512)])
    const before = store.counts.flush
    await node.flush()
    expect(store.counts.flush - before).toBe(2)
    await node.write(512, [new Uint8Array(512)])
    await Promise.all([node.flush(), node.flush(), node.flush()])
    expect(store.counts.flush - before).toBeLessThanOrEqual(4)
    await node.close()
  })

  test('two writes to one new cluster follow each other, and others do not wait', async () => {
    const { store, node } = await fresh()
    await node.write(SIZE - 10, [new Uint8Array(10)])
    let release = (): void => {}
    const held = new Promise<void>((resolve) => { release = resolve })
    const file = holding(store, held)
    const slow = await Qcow2Node.open(file)
    const done: number[] = []
    const writes = [0, 1000, 65536].map(async (offset) => {
      await slow.write(offset, [new Uint8Array(100).fill(1 + offset % 7)])
      done.push(offset)
    })
    await new Promise(resolve => setTimeout(resolve, 20))
    expect(done).toEqual([65536])
    release()
    await Promise.all(writes)
    expect(done).toEqual([65536, 0, 1000])
    const bytes = await readAll(slow, 0, 65636)
    expect([bytes[0], bytes[1000], bytes[65536]]).toEqual([1, 1 + 1000 % 7, 1 + 65536 % 7])
    await slow.close()
  })
})

/** A file whose first write of 100 bytes takes until `held` ends. */
function holding(store: MemoryStore, held: Promise<void>): ReturnType<MemoryStore['file']> {
  const file = store.file('disk')
  const write = file.write.bind(file)
  let first = true
  file.write = async (offset, from) => {
    const isFirst = first && from[0].length === 100
    if (isFirst) first = false
    if (isFirst) await held
    await write(offset, from)
  }
  return file
}

describe('images as a whole', () => {
  test.each(['metadata', 'full'] as const)('preallocated (%s): every cluster has its place, and reads as zeros', async (preallocation) => {
    const { store, node } = await fresh({ preallocation, clusterSize: 4096 })
    expect(await node.check()).toMatchObject({ errors: [], leaks: 0, allocatedClusters: SIZE / 4096 })
    expectContent(await readAll(node), new Uint8Array(SIZE))
    expect(store.occupied('disk') > SIZE).toBe(preallocation === 'full')
    const operations = record(store)
    await node.write(100_000, [new Uint8Array(9000).fill(1)])
    expect(operations.map(each => each.split(' ')[0])).toEqual(expect.arrayContaining(['write']))
    await node.flush()
    expect(operations.filter(each => each.startsWith('write'))).toHaveLength(1)
    await node.close()
  })

  test('compacted: smaller, and the same in all of its snapshots', async () => {
    const { store, node, model } = await used({ clusterSize: 4096 })
    await node.createSnapshot({ name: 'kept', seconds: 1 })
    const kept = model.bytes.slice()
    await workload(node, model, new Random(3), 60)
    const cluster = new Uint8Array(4096).fill(5, 0, 1000)
    for (let at = 0; at < SIZE / 2; at += 8192) {
      await node.writeCompressed(at, cluster, compress)
      model.set(at, cluster)
    }
    await node.compactInto(store.file('copy'))
    expect(store.file('copy').size).toBeLessThan(store.file('disk').size)
    await node.close()
    const copy = await Qcow2Node.open(store.file('copy'), { decompressors })
    expect(await copy.check()).toMatchObject({ errors: [], leaks: 0 })
    expectContent(await readAll(copy), model.bytes)
    await workload(copy, new DiskModel(model.bytes), new Random(4), 30)
    await copy.applySnapshot('kept')
    expectContent(await readAll(copy), kept)
    await copy.close()
  })

  test('compaction refuses an image with errors', async () => {
    const { store, node } = await used({ clusterSize: 4096 })
    await node.close()
    const bytes = store.bytes('disk')
    const view = new DataView(bytes.buffer)
    view.setUint16(Number(view.getBigUint64(Number(view.getBigUint64(48)))) + 20, 0)
    store.setBytes('bad', bytes)
    const bad = await Qcow2Node.open(store.file('bad'))
    await expect(bad.compactInto(store.file('copy'))).rejects.toEqual(code('DISK_CORRUPT'))
    await bad.close()
  })

  test('described', async () => {
    const { node } = await fresh({ clusterSize: 4096, refcountBits: 8, lazyRefcounts: true })
    expect(node.info()).toMatchObject({
      version: 3, size: SIZE, clusterSize: 4096, refcountBits: 8, lazyRefcounts: true, compression: 'zlib', backingFile: null,
      snapshotCount: 0, dirty: false, corrupt: false,
    })
    await node.close()
  })

  test.each([2, 3] as const)('of version %i, what a crash has lost is found by the next who writes, if the version knows of it', async (version) => {
    const { store, node } = await used({ version })
    const after = store.crashed(store.now - 1)
    await node.close()
    expect((await Qcow2Node.open(store.file('disk', true))).info().dirty).toBe(false)
    const looking = await Qcow2Node.open(after.file('disk', true), { readOnly: true })
    expect(looking.info().dirty).toBe(version === 3)
    expect(await looking.check()).toMatchObject({ errorCount: 0 })
    const again = await Qcow2Node.open(after.file('disk'))
    if (version === 3) expect(await again.check()).toMatchObject({ errors: [], leaks: 0 })
    await again.close()
    expect((await Qcow2Node.open(after.file('disk', true))).info().dirty).toBe(false)
  })

  test('with lazy refcounts it is dirty while it is written, and repaired when it was not closed', async () => {
    const { store, node, model } = await used({ lazyRefcounts: true })
    expect(node.info().dirty).toBe(true)
    const after = store.crashed()
    await node.close()
    const closed = await Qcow2Node.open(store.file('disk', true))
    expect(closed.info().dirty).toBe(false)
    const looking = await Qcow2Node.open(after.file('disk', true), { readOnly: true })
    expect((await looking.check()).errorCount).toBeGreaterThan(0)
    expectContent(await readAll(looking), model.bytes)
    const repaired = await Qcow2Node.open(after.file('disk'))
    expect(repaired.info().dirty).toBe(false)
    expect(await repaired.check()).toMatchObject({ errors: [], leaks: 0 })
    expectContent(await readAll(repaired), model.bytes)
    await repaired.close()
  })

  test('leaks are repaired', async () => {
    const { store, node, model } = await used({ clusterSize: 4096 })
    await node.close()
    const bytes = store.bytes('disk')
    const view = new DataView(bytes.buffer)
    const block = Number(view.getBigUint64(Number(view.getBigUint64(48))))
    for (let cluster = 10; cluster < 14; cluster++) view.setUint16(block + cluster * 2, 4)
    store.setBytes('disk', bytes)
    const leaking = await Qcow2Node.open(store.file('disk'))
    expect((await leaking.check()).leaks).toBeGreaterThan(0)
    expect(await leaking.check('leaks')).toMatchObject({ leaks: 0, repaired: 4 })
    expect(await leaking.check()).toMatchObject({ errors: [], leaks: 0 })
    expectContent(await readAll(leaking), model.bytes)
    await leaking.close()
  })

  test('discarded clusters give their room back', async () => {
    const { store, node } = await fresh()
    await node.write(0, [new Uint8Array(SIZE).fill(1)])
    await node.flush()
    const full = store.occupied('disk')
    await node.discard(0, SIZE / 2)
    await node.flush()
    expect(store.occupied('disk')).toBeLessThanOrEqual(full - SIZE / 2)
    await node.write(0, [new Uint8Array(SIZE / 2).fill(2)])
    expect(store.file('disk').size).toBeLessThan(SIZE * 1.5)
    await node.close()
  })
})

describe('snapshots', () => {
  test('whatever fails while one is taken, the disk is as it was', async () => {
    for (let failing = 0; failing < 30; failing++) {
      const { store, node, model } = await used({ clusterSize: 4096 })
      let count = 0
      store.fail = operation => (operation === 'write' || operation === 'flush') && count++ === failing ? 'DISK_WRITE_FAILED' : null
      const failed = await node.createSnapshot({ name: 'x', seconds: 1 }).then(() => false, () => true)
      store.fail = null
      expect(failed).toBe(count > failing)
      expectContent(await readAll(node), model.bytes)
      await node.close().catch(() => {})
      const again = await Qcow2Node.open(store.file('disk'))
      expect((await again.check()).errors).toEqual([])
      expectContent(await readAll(again), model.bytes)
      await again.write(0, [new Uint8Array(100_000)])
      await again.close()
      if (!failed) return
    }
    expect.fail('it never came to an end')
  })

  test('refcounts of one bit have no room for one', async () => {
    const { node, model } = await used({ refcountBits: 1 })
    await expect(node.createSnapshot({ name: 'x', seconds: 1 })).rejects.toEqual(code('DISK_UNSUPPORTED'))
    expect(await node.check()).toMatchObject({ errors: [], leaks: 0 })
    expectContent(await readAll(node), model.bytes)
    await node.close()
  })

  test('have names, and IDs that are not given twice', async () => {
    const { node } = await fresh()
    await node.createSnapshot({ name: 'ein Ünïcode', seconds: 5, nanoseconds: 7, guestTime: 12_345 })
    await node.createSnapshot({ name: 'two', id: 'own', seconds: 6 })
    await expect(node.createSnapshot({ name: 'two', id: 'own', seconds: 6 })).rejects.toEqual(code('DISK_UNSUPPORTED'))
    await expect(node.applySnapshot('none')).rejects.toEqual(code('DISK_NOT_FOUND'))
    expect(await node.snapshots()).toMatchObject([
      { id: '1', name: 'ein Ünïcode', seconds: 5, nanoseconds: 7, guestTime: 12_345, size: SIZE }, { id: 'own', name: 'two' },
    ])
    await node.close()
  })

  test('requests that come while one is taken wait, and lose nothing', async () => {
    const { node, model } = await used({ clusterSize: 4096 })
    const bytes = new Uint8Array(5000).fill(9)
    const snapshot = node.createSnapshot({ name: 'x', seconds: 1 })
    await Promise.all([snapshot, node.createSnapshot({ name: 'y', seconds: 1 }), node.write(3000, [bytes]), node.flush()])
    const after = model.bytes.slice()
    after.set(bytes, 3000)
    expectContent(await readAll(node), after)
    await node.applySnapshot('x')
    expectContent(await readAll(node), model.bytes)
    await node.close()
  })
})

describe('what is refused', () => {
  const fields: readonly (readonly [string, number, number, string, RegExp])[] = [
    ['another magic', 0, 0x12345678, 'DISK_UNKNOWN_FORMAT', /no qcow2|not a qcow2/],
    ['version 4', 4, 4, 'DISK_UNSUPPORTED', /version 4/],
    ['clusters of 256 bytes', 20, 8, 'DISK_CORRUPT', /2\^8/],
    ['clusters of 4 MiB', 20, 22, 'DISK_UNSUPPORTED', /2\^22/],
    ['encryption', 32, 2, 'DISK_UNSUPPORTED', /encryption/],
    ['an L1 table that is too small', 36, 0, 'DISK_CORRUPT', /L1 table/],
    ['an L1 table over the header', 44, 0, 'DISK_CORRUPT', /L1 table/],
    ['an L1 table behind the end', 44, 0x7fff0000, 'DISK_CORRUPT', /cut off/],
    ['a refcount table over the L1 table', 52, 0x30000, 'DISK_CORRUPT', /lies over/],
    ['a huge refcount table', 56, 0x10000, 'DISK_UNSUPPORTED', /8 MiB/],
    ['too many snapshots', 60, 70_000, 'DISK_UNSUPPORTED', /snapshots/],
    ['extended L2 entries', 76, 16, 'DISK_UNSUPPORTED', /extended L2 entries/],
    ['an external data file', 76, 4, 'DISK_UNSUPPORTED', /external data file/],
    ['a feature that nobody has named', 72, 2, 'DISK_UNSUPPORTED', /feature bit 33/],
    ['a compression type without its bit', 104, 0x01000000, 'DISK_CORRUPT', /compression/],
    ['refcounts of 128 bits', 96, 7, 'DISK_CORRUPT', /refcount order/],
    ['a header that is too short', 100, 72, 'DISK_CORRUPT', /length/],
  ]

  test.each(fields)('%s', async (_, at, value, expected, message) => {
    const { store, node } = await fresh()
    await node.close()
    const bytes = store.bytes('disk')
    new DataView(bytes.buffer).setUint32(at, value)
    store.setBytes('disk', bytes)
    const error = await readHeader(store.file('disk')).catch((error: unknown) => error)
    expect(error).toEqual(code(expected))
    expect((error as Error).message).toMatch(message)
  })

  test('an unknown feature by the name that the image gives it', async () => {
    const { store, node } = await fresh()
    await node.close()
    const bytes = store.bytes('disk')
    bytes[77] |= 1
    const name = Array.from('quantum\u001b[31m clusters', character => character.charCodeAt(0))
    bytes.set([0, 16, ...name, 0], 112 + 8)
    store.setBytes('disk', bytes)
    await expect(readHeader(store.file('disk'))).rejects.toThrow('quantum[31m clusters')
  })

  test('writing to an image that is marked corrupt', async () => {
    const { store, node } = await fresh()
    await node.close()
    const bytes = store.bytes('disk')
    bytes[79] |= 2
    store.setBytes('disk', bytes)
    await expect(Qcow2Node.open(store.file('disk'))).rejects.toEqual(code('DISK_CORRUPT'))
    const node2 = await Qcow2Node.open(store.file('disk', true))
    expectContent(await readAll(node2), new Uint8Array(SIZE))
  })

  test('using an image without its backing file', async () => {
    const { store, node } = await fresh()
    await node.close()
    await createQcow2(store.file('top'), { size: SIZE, backingFile: 'base.raw', backingFormat: 'raw' })
    expect(await readHeader(store.file('top'))).toMatchObject({ backingFile: 'base.raw', backingFormat: 'raw' })
    await expect(Qcow2Node.open(store.file('top'))).rejects.toEqual(code('DISK_NOT_FOUND'))
    const alone = await Qcow2Node.open(store.file('top'), { backing: null })
    expect(await alone.check()).toMatchObject({ errors: [] })
    await expect(readAll(alone)).rejects.toEqual(code('DISK_NOT_FOUND'))
    await expect(alone.write(10, [new Uint8Array(10)])).rejects.toEqual(code('DISK_NOT_FOUND'))
    await alone.close()
    const base = new MemoryNode({ size: SIZE / 2 })
    await base.write(0, [new Uint8Array(SIZE / 2).fill(6)])
    const whole = await Qcow2Node.open(store.file('top'), { backing: base })
    const expected = new Uint8Array(SIZE).fill(6, 0, SIZE / 2)
    expectContent(await readAll(whole), expected)
    await whole.write(SIZE / 2 - 10, [new Uint8Array(20).fill(7)])
    expectContent(await readAll(whole), expected.fill(7, SIZE / 2 - 10, SIZE / 2 + 10))
    await whole.close()
    await expect(base.flush()).rejects.toEqual(code('DISK_CLOSED'))
  })

  test.each<[string, Partial<CreateOptions>]>([
    ['clusters of 1000 bytes', { clusterSize: 1000 }],
    ['refcounts of 3 bits', { refcountBits: 3 }],
    ['version 2 with zstd', { version: 2, compression: 'zstd' }],
    ['a thick image with a backing file', { backingFile: 'x', preallocation: 'full' }],
    ['a format without a file', { backingFormat: 'raw' }],
    ['a backing file with a long name', { backingFile: 'x'.repeat(2000) }],
    ['8 TiB in clusters of 512 bytes', { size: 2 ** 43, clusterSize: 512 }],
  ])('making an image with %s', async (_, options) => {
    await expect(createQcow2(new MemoryStore().file('disk'), { size: SIZE, ...options })).rejects.toEqual(code('DISK_UNSUPPORTED'))
  })
})
