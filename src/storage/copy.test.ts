import { expect, test } from 'vitest'
import { Random } from '../base/testing/random.ts'
import { compareNodes } from './compare.ts'
import { copyNode } from './copy.ts'
import { MemoryNode } from './nodes/memory.ts'
import { OverlayNode } from './nodes/overlay.ts'
import { RawNode } from './nodes/raw.ts'
import { expectContent, readAll } from './testing/disk-model.ts'
import { MemoryStore } from './testing/memory-file.ts'

async function scattered(size: number, seed: number): Promise<MemoryNode> {
  const random = new Random(seed)
  const node = new MemoryNode({ size })
  for (let piece = 0; piece < 40; piece++) {
    const bytes = random.bytes(1 + random.below(20_000))
    await node.write(random.below(size - bytes.length), [bytes])
  }
  return node
}

test.each([1, 2, 3])('copies are equal, whatever the target had (seed %i)', async (seed) => {
  const size = (5 << 20) + 512 * seed + seed
  const source = await scattered(size, seed)
  const target = await scattered(size + 70_000, seed + 10)
  expect(await compareNodes(source, target)).not.toBeNull()
  const seen: number[] = []
  const { written, zeros } = await copyNode(source, target, { progress: done => seen.push(done) })
  expect(written + zeros).toBe(target.size)
  expect(seen.at(-1)).toBe(target.size)
  expect(await compareNodes(source, target)).toBeNull()
  expectContent((await readAll(target)).subarray(0, size), await readAll(source))
})

test('zeros are not written: a huge disk is copied at once', async () => {
  const source = new MemoryNode({ size: 2 ** 43 })
  await source.write(2 ** 42, [new Uint8Array(4096 * 3).fill(1), new Uint8Array(4096 * 3), new Uint8Array([5])])
  const target = new MemoryNode({ size: 2 ** 43 })
  const { written } = await copyNode(source, target, { targetIsZero: true })
  expect(written).toBe(4 * 4096)
  expect(target.occupied).toBe(65536)
  expect(await compareNodes(source, target)).toBeNull()
})

test('a chain is copied flat', async () => {
  const base = await scattered(2 << 20, 5)
  const overlay = new OverlayNode({ base, top: new MemoryNode({ size: 2 << 20 }) })
  await overlay.write(1 << 20, [new Uint8Array(100_000).fill(9)])
  await overlay.writeZeroes(0, 50_000, true)
  const target = new MemoryNode({ size: 2 << 20 })
  await copyNode(overlay, target, { targetIsZero: true })
  expectContent(await readAll(target), await readAll(overlay))
})

test('an abort is heard', async () => {
  const source = await scattered(64 << 20, 1)
  const signal = { aborted: false, reason: new Error('enough') }
  const copying = copyNode(source, new MemoryNode({ size: 64 << 20 }), { signal, progress: () => { signal.aborted = true } })
  await expect(copying).rejects.toThrow('enough')
})

test('a target that is too small, read-only or full is refused', async () => {
  const source = await scattered(1 << 20, 1)
  await expect(copyNode(source, new MemoryNode({ size: 1000 }))).rejects.toMatchObject({ code: 'DISK_OUT_OF_RANGE' })
  await expect(copyNode(source, new MemoryNode({ size: 1 << 20, readOnly: true }))).rejects.toMatchObject({ code: 'DISK_READ_ONLY' })
  const store = new MemoryStore()
  store.fail = operation => operation === 'write' ? 'DISK_FULL' : null
  const target = await RawNode.create(store.file('disk'), 1 << 20)
  await expect(copyNode(source, target)).rejects.toMatchObject({ code: 'DISK_FULL' })
})

test('the first difference is found', async () => {
  const one = await scattered(3 << 20, 7)
  const other = new MemoryNode({ size: (3 << 20) + 5000 })
  await copyNode(one, other)
  await other.write((3 << 20) + 4000, [new Uint8Array([1])])
  expect(await compareNodes(one, other)).toBe((3 << 20) + 4000)
  const [byte] = await readAll(one, 2_000_001, 1)
  await other.write(2_000_001, [new Uint8Array([byte ^ 1])])
  expect(await compareNodes(other, one)).toBe(2_000_001)
})
