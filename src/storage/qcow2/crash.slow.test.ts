/**
 * Crashes in the middle of everything: whatever part of what was not flushed survives, the image has no errors, and the disk is what it was
 * before or after. Own check for all of them, `qemu-img check` for a sample.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Random } from '../../base/testing/random.ts'
import { workload } from '../testing/contract.ts'
import { DiskModel, expectContent, readAll } from '../testing/disk-model.ts'
import { MemoryStore } from '../testing/memory-file.ts'
import { createQcow2, type CreateOptions } from './create.ts'
import { Qcow2Node } from './node.ts'
import { compress, decompressors, hasQemu, QemuFolder } from './testing/qemu.ts'

const SIZE = 1 << 20
const CRASHES = 60

let folder: QemuFolder

const LAYOUTS: readonly (readonly [string, Omit<CreateOptions, 'size'>])[] = [
  ['4 KiB clusters', { clusterSize: 4096 }],
  ['512-byte clusters, refcounts of 64 bits', { clusterSize: 512, refcountBits: 64 }],
  ['64 KiB clusters, lazy refcounts', { lazyRefcounts: true }],
]

interface Subject {
  readonly store: MemoryStore
  readonly node: Qcow2Node
  readonly model: DiskModel
}

/** A disk with data, a snapshot of what it was before, and everything durable. */
async function subject(options: Omit<CreateOptions, 'size'>, seed: number): Promise<Subject & { readonly old: Uint8Array }> {
  const store = new MemoryStore()
  await createQcow2(store.file('disk'), { size: SIZE, ...options })
  const node = await open(store)
  const model = new DiskModel(new Uint8Array(SIZE))
  await workload(node, model, new Random(seed), 40)
  await node.createSnapshot({ name: 'old', seconds: 1 })
  const old = model.bytes
  model.bytes = old.slice()
  await workload(node, model, new Random(seed + 100), 40)
  await node.flush()
  store.settle()
  return { store, node, model, old }
}

function open(store: MemoryStore, readOnly = false): Promise<Qcow2Node> {
  return Qcow2Node.open(store.file('disk', readOnly), { readOnly, decompressors })
}

/**
 * Each crash leaves a sound image, and an open for writing mends what was lost; `expected` looks at the disk that it has. Returns how
 * many of them had leaks.
 */
async function crashes(store: MemoryStore, seed: number, expected: (node: Qcow2Node) => Promise<void>): Promise<number> {
  const random = new Random(seed)
  let leaks = 0
  for (let crash = 0; crash < CRASHES; crash++) {
    const after = store.crashed(crash === 0 ? store.now : random.below(store.now + 1), random)
    if (hasQemu && crash % 15 === 0) expectSoundToQemu(after)
    leaks += await lookAt(after)
    const node = await open(after)
    expect(await node.check()).toMatchObject({ errors: [], leaks: 0 })
    await expected(node)
    await node.close()
    if (hasQemu && crash % 15 === 0) expect(statusOf(after)).toBe(0)
  }
  return leaks
}

/** With lazy refcounts a dirty image is not sound before it is repaired. */
const isToBeRepaired = (store: MemoryStore): boolean => (store.bytes('disk')[79] & 1) !== 0 && (store.bytes('disk')[87] & 1) !== 0

/** Sound as it is. Returns 1 if it has leaks. */
async function lookAt(store: MemoryStore): Promise<0 | 1> {
  if (isToBeRepaired(store)) return 0
  const node = await open(store, true)
  const { errors, leaks } = await node.check()
  expect(errors).toEqual([])
  await node.close()
  return leaks > 0 ? 1 : 0
}

function statusOf(store: MemoryStore): number | null {
  folder.export(store, 'disk')
  return folder.check('disk').status
}

function expectSoundToQemu(store: MemoryStore): void {
  folder.export(store, 'disk')
  if (isToBeRepaired(store)) folder.img('check', '-r', 'all', 'disk')
  const { status, output } = folder.check('disk')
  expect([0, 3], output).toContain(status)
}

describe.each(LAYOUTS)('qcow2, crashes with %s', (_, options) => {
  beforeAll(() => { if (hasQemu) folder = new QemuFolder() })
  afterAll(() => { if (hasQemu) folder.remove() })

  test('a snapshot is taken, or it is not, and no cluster is lost', async () => {
    const { store, node, model } = await subject(options, 1)
    await node.createSnapshot({ name: 'new', seconds: 2 })
    const seen = new Set<number>()
    const leaks = await crashes(store, 2, async (after) => {
      seen.add((await after.snapshots()).length)
      expectContent(await readAll(after), model.bytes)
      if ((await after.snapshots()).length === 1) return
      await after.write(0, [new Uint8Array(50_000).fill(1)])
      await after.applySnapshot('new')
      expectContent(await readAll(after), model.bytes)
    })
    expect([...seen].sort()).toEqual([1, 2])
    expect(leaks).toBe(0)
  })

  test('a snapshot is deleted, or it is not, and no cluster is lost', async () => {
    const { store, node, model, old } = await subject(options, 3)
    await node.deleteSnapshot('old')
    const seen = new Set<number>()
    const leaks = await crashes(store, 4, async (after) => {
      const [snapshot] = await after.snapshots()
      seen.add(snapshot === undefined ? 0 : 1)
      expectContent(await readAll(after), model.bytes)
      if (snapshot === undefined) return
      await after.applySnapshot('old')
      expectContent(await readAll(after), old)
    })
    expect([...seen].sort()).toEqual([0, 1])
    expect(leaks).toBe(0)
  })

  test('a snapshot is applied, or it is not, and no cluster is lost', async () => {
    const { store, node, model, old } = await subject(options, 5)
    await node.applySnapshot('old')
    let applied = 0
    const leaks = await crashes(store, 6, async (after) => {
      const bytes = await readAll(after)
      const isOld = Buffer.compare(bytes, old) === 0
      if (isOld) applied++
      expectContent(bytes, isOld ? old : model.bytes)
    })
    expect(applied).toBeGreaterThan(0)
    expect(applied).toBeLessThan(CRASHES)
    expect(leaks).toBe(0)
  })

  test('the size changes, or it does not', async () => {
    const { store, node, model } = await subject(options, 7)
    await node.resize(SIZE * 40)
    await node.resize(SIZE / 2 + 512)
    const sizes = new Set<number>()
    await crashes(store, 8, async (after) => {
      sizes.add(after.size)
      expectContent(await readAll(after, 0, SIZE / 2 + 512), model.bytes.subarray(0, SIZE / 2 + 512))
      if (after.size <= SIZE) return
      expectContent(await readAll(after, SIZE, after.size - SIZE), new Uint8Array(after.size - SIZE))
    })
    expect([...sizes].sort((one, other) => one - other)).toEqual([SIZE / 2 + 512, SIZE, SIZE * 40])
  })

  test('writing goes on above a snapshot', async () => {
    const { store, node, model, old } = await subject(options, 9)
    const before = model.bytes.slice()
    await workload(node, model, new Random(10), 40)
    await node.flush()
    await crashes(store, 11, async (after) => {
      await after.applySnapshot('old')
      expectContent(await readAll(after), old)
    })
    expect(before.length).toBe(SIZE)
  })

  test('compressed clusters are written', async () => {
    const { store, node, model } = await subject(options, 12)
    const { clusterSize } = node.info()
    const cluster = new Uint8Array(clusterSize)
    for (let at = 0; at < SIZE; at += 3 * clusterSize) {
      cluster.fill(at / clusterSize + 1, 0, clusterSize / 2)
      await node.writeCompressed(at, cluster, compress)
      if (at % (33 * clusterSize) === 0) await node.flush()
    }
    let checked = 0
    await crashes(store, 13, async (after) => {
      const bytes = await readAll(after)
      checked++
      for (let at = 0; at < SIZE; at += clusterSize) {
        const now = bytes.subarray(at, at + clusterSize)
        if (at % (3 * clusterSize) !== 0 || now[0] !== (at / clusterSize + 1 & 0xff)) {
          expectContent(now, model.bytes.subarray(at, at + clusterSize), at)
        }
      }
    })
    expect(checked).toBeGreaterThan(10)
  })
})
