import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import { Random } from '../../base/testing/random.ts'
import { blockNodeContract, workload } from '../testing/contract.ts'
import { DiskModel, expectContent, readAll } from '../testing/disk-model.ts'
import { MemoryStore } from '../testing/memory-file.ts'
import { DedupNode, type DedupOptions } from './dedup.ts'

const sha256 = (bytes: Uint8Array): Uint8Array => createHash('sha256').update(bytes).digest()

function files(store: MemoryStore, readOnly = false): DedupOptions {
  return { map: store.file('map', readOnly), data: store.file('data', readOnly), sha256 }
}

/** Opening reads all of the map; here also what nothing should refer to. */
async function check(store: MemoryStore): Promise<void> {
  const node = await DedupNode.open(files(store))
  await node.collect()
  expect(node.statistics.used).toBeLessThanOrEqual(node.statistics.slots)
  await node.close()
}

for (const [blockSize, mapPages] of [[4096, 4], [16_384, 1024], [65536, 4]]) {
  blockNodeContract(`dedup of ${blockSize}`, async ({ store, size, create, readOnly }) => {
    const options = { ...files(store, readOnly), mapPages, knownSlots: 64 }
    return create ? DedupNode.create(options, size, blockSize) : DedupNode.open(options)
  }, { resizable: true, crashes: 15, check })
}

const BLOCK = 4096
const SIZE = 1024 * BLOCK

async function fresh(size = SIZE): Promise<{ store: MemoryStore, node: DedupNode }> {
  const store = new MemoryStore()
  return { store, node: await DedupNode.create({ ...files(store), mapPages: 4 }, size, BLOCK) }
}

test('the same content is stored once, also after it was opened again', async () => {
  const { store, node } = await fresh()
  const content = new Random(1).bytes(16 * BLOCK)
  for (let copy = 0; copy < 10; copy++) await node.write(copy * 32 * BLOCK, [content])
  await node.write(500 * BLOCK, [new Uint8Array(50 * BLOCK).fill(7)])
  expect(node.statistics).toMatchObject({ slots: 17, used: 17, shared: 9 * 16 + 49 })
  await node.close()
  const again = await DedupNode.open(files(store))
  await again.write(900 * BLOCK, [content])
  await again.write(700 * BLOCK + 5, [content.subarray(5, 3 * BLOCK)])
  expect(again.statistics).toMatchObject({ slots: 18, shared: 16 + 2 })
  expectContent(await readAll(again, 900 * BLOCK, content.length), content)
  await again.close()
  expect(store.bytes('data').length).toBeLessThan(2 * BLOCK + 18 * BLOCK)
})

test('zeros take no room', async () => {
  const { node } = await fresh()
  await node.write(0, [new Uint8Array(100 * BLOCK)])
  await node.write(0, [new Uint8Array(2 * BLOCK).fill(1)])
  await node.write(0, [new Uint8Array(BLOCK)])
  expect(await node.extent(0, SIZE)).toEqual({ state: 'zero', length: BLOCK })
  expect(await node.extent(BLOCK, SIZE - BLOCK)).toEqual({ state: 'data', length: BLOCK })
  expect(node.statistics.slots).toBe(1)
  await node.close()
})

test('garbage is counted and used again, and never what is in use', async () => {
  const { store, node } = await fresh()
  const random = new Random(2)
  const model = new DiskModel(new Uint8Array(SIZE))
  for (let round = 0; round < 6; round++) {
    const bytes = random.bytes(200 * BLOCK)
    await node.write(0, [bytes])
    model.set(0, bytes)
    await node.collect()
    expect(node.statistics).toMatchObject({ used: 200, replaced: 0 })
  }
  expect(node.statistics.slots).toBe(400)
  expect(await node.collect()).toBe(0)
  expectContent(await readAll(node), model.bytes)
  await node.close()
  expectContent(await readAll(await DedupNode.open(files(store))), model.bytes)
})

test('collecting goes on beside everything else', async () => {
  const { store, node } = await fresh()
  const model = new DiskModel(new Uint8Array(SIZE))
  let collected = 0
  const state = { working: true }
  const collecting = (async () => {
    while (state.working) collected += await node.collect()
  })()
  for (let seed = 1; seed < 7; seed++) await workload(node, model, new Random(seed), 40)
  state.working = false
  await collecting
  expect(collected).toBeGreaterThan(0)
  await node.close()
  expectContent(await readAll(await DedupNode.open(files(store))), model.bytes)
})

test('equal hashes of different contents are no harm', async () => {
  const store = new MemoryStore()
  const node = await DedupNode.create({ ...files(store), sha256: () => new Uint8Array(32).fill(9) }, SIZE, BLOCK)
  const model = new DiskModel(new Uint8Array(SIZE))
  await workload(node, model, new Random(3), 150)
  expectContent(await readAll(node), model.bytes)
  await node.close()
})

test('a huge disk opens at once and costs little', async () => {
  const store = new MemoryStore()
  const size = 2 ** 41
  const node = await DedupNode.create(files(store), size, 65536)
  await node.write(2 ** 40, [new Uint8Array([1])])
  await node.discard(0, 2 ** 40)
  await node.close()
  const again = await DedupNode.open(files(store))
  expect(again.statistics).toMatchObject({ slots: 1, used: 1 })
  await again.close()
  expect(store.occupied('map') + store.occupied('data')).toBeLessThan(200_000)
})

test('damaged files are refused or read, and nothing else happens', async () => {
  const { store, node } = await fresh(64 * BLOCK)
  const random = new Random(4)
  await node.write(0, [random.bytes(64 * BLOCK)])
  await node.close()
  const map = store.bytes('map')
  for (let round = 0; round < 150; round++) {
    const damaged = round % 3 === 0 ? map.slice(0, random.below(map.length)) : map.slice()
    for (let at = 0; at < 2 && damaged.length > 0; at++) damaged[random.below(damaged.length)] = random.u32()
    store.setBytes('map', damaged)
    const result = await DedupNode.open(files(store, true)).catch((error: unknown) => error)
    if (result instanceof DedupNode) await readAll(result)
    else expect(result).toMatchObject({ code: expect.stringMatching(/^DISK_(CORRUPT|UNSUPPORTED)$/) as string })
  }
})
