import { expect, test } from 'vitest'
import { Random } from '../../base/testing/random.ts'
import { blockNodeContract } from '../testing/contract.ts'
import { expectContent, readAll } from '../testing/disk-model.ts'
import { MemoryNode } from './memory.ts'
import { OverlayNode } from './overlay.ts'

async function filled(content: Uint8Array): Promise<MemoryNode> {
  const base = new MemoryNode({ size: content.length })
  for (let at = 0; at < content.length; at += 3 * 65536) await base.write(at, [content.subarray(at, at + 65536)])
  return base
}

function baseContent(size: number): Uint8Array {
  const content = new Random(11).bytes(size)
  for (let at = 65536; at < size; at += 3 * 65536) content.fill(0, at, at + 2 * 65536)
  return content
}

for (const copyOnRead of [false, true]) {
  blockNodeContract(`overlay, ${copyOnRead ? 'copying what is read' : 'over memory'}`, async ({ size, readOnly }) => {
    const base = await filled(baseContent(size))
    return new OverlayNode({ base, top: new MemoryNode({ size: size + 512 }), copyOnRead, readOnly })
  }, { persistent: false, content: baseContent })
}

test('the base stays as it was', async () => {
  const content = baseContent(1 << 20)
  const base = await filled(content)
  const node = new OverlayNode({ base, top: new MemoryNode({ size: 1 << 20 }) })
  await node.write(1000, [new Uint8Array(100_000).fill(7)])
  await node.writeZeroes(300_000, 5, true)
  await node.discard(500_000, 100_000)
  expectContent(await readAll(base), content)
  expect(await node.extent(1 << 19, 512)).toMatchObject({ state: 'zero' })
  expect(await node.extent(0, 1 << 20)).toMatchObject({ state: 'data' })
  await node.close()
  await expect(base.flush()).rejects.toMatchObject({ code: 'DISK_CLOSED' })
})

test('with copy on read the base is read once', async () => {
  const content = baseContent(1 << 20)
  const base = await filled(content)
  const top = new MemoryNode({ size: 1 << 20 })
  const node = new OverlayNode({ base, top, copyOnRead: true })
  await readAll(node)
  base.read = () => Promise.reject(new Error('read again'))
  expectContent(await readAll(node), content)
  expectContent(await readAll(top), content)
  await node.close()
})

test('an overlay of a huge disk costs little', async () => {
  const node = new OverlayNode({ base: new MemoryNode({ size: 2 ** 50 }), top: new MemoryNode({ size: 2 ** 50 }) })
  await node.write(2 ** 49, [new Uint8Array([1])])
  expect(await node.extent(0, 2 ** 50)).toEqual({ state: 'hole', length: 2 ** 49 })
  expect(await node.extent(2 ** 49, 2 ** 40)).toMatchObject({ state: 'data' })
  await node.close()
})
