import { expect, test } from 'vitest'
import { Random } from '../../base/testing/random.ts'
import type { BlockNode } from '../block-node.ts'
import { blockNodeContract, workload } from '../testing/contract.ts'
import { DiskModel, expectContent, readAll } from '../testing/disk-model.ts'
import { MemoryStore } from '../testing/memory-file.ts'
import { MirrorNode, type MirrorOptions } from './mirror.ts'
import { RawNode } from './raw.ts'

const SIZE = 3 << 20

async function disks(store: MemoryStore, create: boolean, size = SIZE, readOnly = false): Promise<BlockNode[]> {
  return Promise.all(['a', 'b', 'c'].map(async (name) => {
    const file = store.file(name, readOnly)
    return create ? RawNode.create(file, size) : new RawNode(file)
  }))
}

for (const discard of ['zeroes', 'ignore'] as const) {
  blockNodeContract(`mirror, discards: ${discard}`, async ({ store, size, create, readOnly }) => {
    const nodes = await disks(store, create, size, readOnly)
    const options: MirrorOptions = { nodes, state: store.file('state', readOnly), readOnly, discard }
    return create ? MirrorNode.create(options, 'equal') : MirrorNode.open(options)
  }, {
    crashes: discard === 'zeroes' ? 25 : 5,
    check: async (store) => {
      // What a mirror has mended once, stays equal on all that are up to date.
      const node = await MirrorNode.open({ nodes: await disks(store, false), state: store.file('state') })
      await node.rebuilt()
      await node.close()
      expectContent(store.bytes('b'), store.bytes('a'))
      expectContent(store.bytes('c'), store.bytes('a'))
    },
  })
}

async function fresh(): Promise<{ store: MemoryStore, node: MirrorNode, notices: string[] }> {
  const store = new MemoryStore()
  const notices: string[] = []
  const node = await MirrorNode.create({
    nodes: await disks(store, true), state: store.file('state'), notice: message => notices.push(message),
  }, 'equal')
  return { store, node, notices }
}

async function reopen(store: MemoryStore, missing: readonly number[] = []): Promise<MirrorNode> {
  const nodes = (await disks(store, false)).map((node, at) => missing.includes(at) ? null : node)
  return MirrorNode.open({ nodes, state: store.file('state') })
}

test('a child that fails is dropped, and the mirror goes on without it, also after a crash', async () => {
  const { store, node, notices } = await fresh()
  const model = new DiskModel(new Uint8Array(SIZE))
  await workload(node, model, new Random(1), 30)
  store.fail = (operation, name) => operation === 'write' && name === 'a' ? 'DISK_WRITE_FAILED' : null
  await workload(node, model, new Random(2), 30)
  expect(node.childStates).toEqual(['failed', 'up-to-date', 'up-to-date'])
  expect(notices).toHaveLength(1)
  expect(notices[0]).toContain('goes on without its disk 0')
  store.fail = null
  await node.flush()
  const after = store.crashed()
  const again = await reopen(after)
  expect(again.childStates).toEqual(['rebuilding', 'up-to-date', 'up-to-date'])
  expectContent(await readAll(again), model.bytes)
  await again.rebuilt()
  expect(again.childStates).toEqual(['up-to-date', 'up-to-date', 'up-to-date'])
  await again.close()
  expectContent(after.bytes('a'), model.bytes)
})

test('the last child stays, whatever happens', async () => {
  const { store, node } = await fresh()
  await node.write(0, [new Uint8Array(1000).fill(1)])
  store.fail = (operation, name) => operation === 'write' && name !== 'state' ? 'DISK_FULL' : null
  await expect(node.write(0, [new Uint8Array(1000).fill(2)])).rejects.toMatchObject({ code: 'DISK_FULL' })
  expect(node.childStates).toEqual(['up-to-date', 'failed', 'failed'])
  expect([1, 2]).toContain((await readAll(node))[0])
  store.fail = null
  await node.write(0, [new Uint8Array(1000).fill(3)])
  await node.close()
  const again = await reopen(store)
  expect((await readAll(again))[999]).toBe(3)
  await again.close()
})

test('a read that fails is answered by another child', async () => {
  const { store, node } = await fresh()
  await node.write(0, [new Uint8Array(SIZE).fill(5)])
  store.fail = (operation, name) => operation === 'read' && name !== 'c' ? 'DISK_READ_FAILED' : null
  for (let at = 0; at < 10; at++) expect((await readAll(node, at * 4096, 4096))[0]).toBe(5)
  expect(node.childStates).toEqual(['failed', 'failed', 'up-to-date'])
  store.fail = null
  await node.write(5, [new Uint8Array([6])])
  await node.close()
  await expect(reopen(store, [2])).rejects.toThrow('none of the mirror\'s disks that are there is up to date')
})

test('reads go to all children', async () => {
  const { store, node } = await fresh()
  const asked = new Map<string, number>()
  store.fail = (operation, name) => {
    if (operation === 'read') asked.set(name, (asked.get(name) ?? 0) + 1)
    return null
  }
  await Promise.all(Array.from({ length: 300 }, (_, at) => node.read((at * 7919) % 700 * 4096, [new Uint8Array(4096)])))
  for (const name of ['a', 'b', 'c']) expect(asked.get(name)).toBeGreaterThan(50)
  await node.close()
})

test('a new child is rebuilt while the mirror is in use', async () => {
  const { store, node } = await fresh()
  const model = new DiskModel(new Uint8Array(SIZE))
  await workload(node, model, new Random(5), 40)
  await node.close()
  const degraded = await reopen(store, [1])
  expect(degraded.childStates).toEqual(['up-to-date', 'missing', 'up-to-date'])
  await expect(degraded.replace(0, await RawNode.create(store.file('x'), SIZE))).rejects.toMatchObject({ code: 'DISK_IN_USE' })
  await expect(degraded.replace(1, await RawNode.create(store.file('x'), SIZE - 512))).rejects.toMatchObject({ code: 'DISK_OUT_OF_RANGE' })
  store.setBytes('b', new Random(6).bytes(SIZE))
  await degraded.replace(1, new RawNode(store.file('b')))
  expect(degraded.childStates[1]).toBe('rebuilding')
  await workload(degraded, model, new Random(7), 60)
  await degraded.rebuilt()
  expect(degraded.childStates[1]).toBe('up-to-date')
  expectContent(store.bytes('b'), model.bytes)
  await degraded.close()
})

test('closing ends a rebuild, which begins again at the next opening', async () => {
  const { store, node } = await fresh()
  await node.write(0, [new Uint8Array(SIZE).fill(4)])
  await node.close()
  await (await reopen(store, [0])).close()
  store.setBytes('a', new Uint8Array(SIZE))
  const begun = await reopen(store)
  expect(begun.childStates[0]).toBe('rebuilding')
  await begun.close()
  const again = await reopen(store)
  await again.rebuilt()
  expect(again.childStates[0]).toBe('up-to-date')
  await again.close()
  expectContent(store.bytes('a'), new Uint8Array(SIZE).fill(4))
})

test('marks are taken away: few regions are copied after a crash', async () => {
  const store = new MemoryStore()
  const size = 400 << 20
  const node = await MirrorNode.create({ nodes: await disks(store, true, size), state: store.file('state') }, 'equal')
  for (let region = 0; region < 400; region++) await node.write(region << 20, [new Uint8Array([1])])
  await node.flush()
  const after = store.crashed()
  const before = after.counts.read
  const again = await reopen(after)
  expect(after.counts.read - before).toBeLessThan(6 + 131 * 4)
  await again.close()
  expect(after.bytes('state').length).toBeLessThan(32768)
})

test('a state that is none, is damaged or belongs to others is refused', async () => {
  const { store, node } = await fresh()
  await node.close()
  await expect(MirrorNode.open({ nodes: (await disks(store, false)).slice(1), state: store.file('state') })).rejects.toThrow('not of 2')
  const state = store.bytes('state')
  store.setBytes('state', new Uint8Array(100))
  await expect(reopen(store)).rejects.toMatchObject({ code: 'DISK_CORRUPT' })
  const random = new Random(3)
  for (let round = 0; round < 40; round++) {
    const damaged = state.slice()
    for (let at = 0; at < 3; at++) damaged[random.below(damaged.length)] ^= 1 << random.below(8)
    store.setBytes('state', damaged)
    const result = await reopen(store).catch((error: unknown) => error)
    if (result instanceof MirrorNode) await result.close()
    else expect(result).toMatchObject({ code: expect.stringMatching(/^DISK_(CORRUPT|UNSUPPORTED)$/) as string })
  }
})
