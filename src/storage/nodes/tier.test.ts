import { expect, test } from 'vitest'
import { Random } from '../../base/testing/random.ts'
import { blockNodeContract, workload } from '../testing/contract.ts'
import { DiskModel, expectContent, readAll } from '../testing/disk-model.ts'
import { MemoryStore } from '../testing/memory-file.ts'
import { RawNode } from './raw.ts'
import { TierNode, type TierOptions } from './tier.ts'

const SEGMENT = 65536

async function parts(store: MemoryStore, create: boolean, size: number, slots: number, readOnly = false): Promise<TierOptions> {
  const open = async (name: string, size: number): Promise<RawNode> => {
    const file = store.file(name, readOnly)
    return create ? RawNode.create(file, size) : new RawNode(file)
  }
  return { fast: await open('fast', slots * SEGMENT + 100), slow: await open('slow', size), map: store.file('map', readOnly), readOnly }
}

for (const slots of [3, 40]) {
  blockNodeContract(`tier with ${slots} fast segments`, async ({ store, size, create, readOnly }) => {
    const options = await parts(store, create, size, slots, readOnly)
    return create ? TierNode.create(options, SEGMENT) : TierNode.open(options)
  }, { crashes: 25 })
}

const SIZE = 64 * SEGMENT

async function fresh(slots = 8): Promise<{ store: MemoryStore, node: TierNode, notices: string[] }> {
  const store = new MemoryStore()
  const notices: string[] = []
  const options = { ...await parts(store, true, SIZE, slots), notice: (message: string) => notices.push(message) }
  return { store, node: await TierNode.create(options, SEGMENT), notices }
}

async function use(node: TierNode, segment: number, times: number): Promise<void> {
  for (let time = 0; time < times; time++) {
    await node.read(segment * SEGMENT + time, [new Uint8Array(100)])
    await node.settled()
  }
}

test('what is used often moves to the fast node, and makes room when it has cooled down', async () => {
  const { store, node } = await fresh()
  const content = new Random(1).bytes(SIZE)
  await node.write(0, [content])
  for (let segment = 0; segment < 8; segment++) await use(node, segment, 6)
  expect(node.fastSegments).toBe(8)
  await use(node, 20, 3)
  expect(node.isFast(20 * SEGMENT)).toBe(false)
  for (let segment = 30; segment < 38; segment++) await use(node, segment, 40)
  for (let segment = 30; segment < 38; segment++) expect(node.isFast(segment * SEGMENT)).toBe(true)
  expectContent(await readAll(node), content)
  const asked = store.counts.read
  store.fail = (operation, name) => operation === 'read' && name === 'slow' ? 'DISK_READ_FAILED' : null
  await use(node, 33, 10)
  expect(store.counts.read - asked).toBe(10)
  store.fail = null
  await node.close()
  const again = await TierNode.open(await parts(store, false, SIZE, 8))
  expect(again.fastSegments).toBe(8)
  expectContent(await readAll(again), content)
  await again.close()
})

test('one long read heats nothing much', async () => {
  const { node } = await fresh()
  for (let time = 0; time < 10; time++) await readAll(node)
  await node.settled()
  expect(node.fastSegments).toBe(1)
  await node.close()
})

test('moves go on beside reads and writes', async () => {
  const { store, node } = await fresh(4)
  const model = new DiskModel(new Uint8Array(SIZE))
  for (let seed = 1; seed < 6; seed++) await workload(node, model, new Random(seed), 100)
  await node.flush()
  expect(store.counts.flush).toBeGreaterThan(50)
  expectContent(await readAll(node), model.bytes)
  await node.close()
  expectContent(await readAll(await TierNode.open(await parts(store, false, SIZE, 4))), model.bytes)
})

test('a map that cannot be written stops the moves, and never lets old bytes come back', async () => {
  for (let seed = 1; seed < 30; seed++) {
    const { store, node, notices } = await fresh(2)
    const random = new Random(seed)
    const model = new DiskModel(new Uint8Array(SIZE))
    await workload(node, model, random, 20)
    let failures = 0
    store.fail = (operation, name) => {
      if (name !== 'map' || operation === 'read' || random.below(2) === 0) return null
      failures++
      return 'DISK_WRITE_FAILED'
    }
    for (const segment of [1, 2, 3, 4]) await use(node, segment, 4 + random.below(9))
    store.fail = null
    for (const segment of [1, 2, 3, 4]) {
      const bytes = random.bytes(500)
      await node.write(segment * SEGMENT + 50, [bytes])
      model.set(segment * SEGMENT + 50, bytes)
    }
    await node.flush()
    if (failures > 0) expect(notices.length).toBeGreaterThan(0)
    const again = await TierNode.open(await parts(store.crashed(), false, SIZE, 2))
    expectContent(await readAll(again), model.bytes)
    await again.close()
    await node.close()
  }
})

test('a map that is damaged or of other disks is refused', async () => {
  const { store, node } = await fresh()
  for (let segment = 0; segment < 8; segment++) await use(node, segment, 4)
  await node.close()
  await expect(TierNode.open({ ...await parts(store, false, SIZE, 8), slow: await RawNode.create(store.file('x'), SEGMENT) }))
    .rejects.toThrow('is the map of other disks')
  const map = store.bytes('map')
  const random = new Random(5)
  for (let round = 0; round < 200; round++) {
    const damaged = round % 4 === 0 ? map.slice(0, random.below(map.length)) : map.slice()
    if (damaged.length > 8300) damaged[8192 + random.below(40)] = random.below(256)
    store.setBytes('map', damaged)
    const result = await TierNode.open(await parts(store, false, SIZE, 8)).catch((error: unknown) => error)
    if (result instanceof TierNode) await readAll(result)
    else expect(result).toMatchObject({ code: 'DISK_CORRUPT' })
  }
})
