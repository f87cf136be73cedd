import { expect, test } from 'vitest'
import { MemoryStore } from '../testing/memory-file.ts'
import { Qcow2Node } from './node.ts'
import { CLUSTER, soundImage, useDamaged } from './testing/damage.ts'

test('damaged images do no harm', async () => {
  expect(await useDamaged(1, 40)).toBeGreaterThan(5)
})

test('a guest cannot reach the header through a damaged table', async () => {
  const bytes = await soundImage()
  const view = new DataView(bytes.buffer)
  const l2 = Number(view.getBigUint64(Number(view.getBigUint64(40))) & 0x00ff_ffff_ffff_fe00n)
  view.setBigUint64(l2, 0x8000_0000_0000_0000n)
  view.setBigUint64(l2 + 8, 0x8000_0000_0000_0000n | view.getBigUint64(40))
  view.setBigUint64(l2 + 16, 0x8000_0000_0000_0000n | view.getBigUint64(48))
  const store = new MemoryStore()
  store.setBytes('disk', bytes)
  const node = await Qcow2Node.open(store.file('disk'))
  for (const at of [0, CLUSTER, 2 * CLUSTER]) {
    await expect(node.write(at, [new Uint8Array(10)])).rejects.toMatchObject({ code: 'DISK_CORRUPT' })
  }
  await node.close()
  expect(store.bytes('disk').subarray(0, CLUSTER)).toEqual(bytes.subarray(0, CLUSTER))
})
