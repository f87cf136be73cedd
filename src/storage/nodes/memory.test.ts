import { expect, test } from 'vitest'
import { blockNodeContract } from '../testing/contract.ts'
import { readAll } from '../testing/disk-model.ts'
import { MemoryNode } from './memory.ts'

blockNodeContract('memory', async ({ size, readOnly }) => new MemoryNode({ size, readOnly }), { persistent: false, resizable: true })

test('a huge disk costs what was written', async () => {
  const node = new MemoryNode({ size: 2 ** 50 })
  await node.write(2 ** 49 + 5, [new Uint8Array([1, 2, 3])])
  expect(node.occupied).toBe(65536)
  expect([...await readAll(node, 2 ** 49 + 4, 5)]).toEqual([0, 1, 2, 3, 0])
  expect(await node.extent(0, 2 ** 48)).toEqual({ state: 'hole', length: 2 ** 49 })
  await node.close()
})

test('its limit is kept, and freed room can be used again', async () => {
  const node = new MemoryNode({ size: 1 << 20, limit: 2 * 65536 })
  await node.write(0, [new Uint8Array(2 * 65536).fill(1)])
  await expect(node.write(3 * 65536, [new Uint8Array(1)])).rejects.toMatchObject({ code: 'DISK_FULL' })
  await node.discard(0, 65536)
  await node.write(3 * 65536, [new Uint8Array([9])])
  expect(await readAll(node, 3 * 65536, 1)).toEqual(new Uint8Array([9]))
  await node.close()
})
