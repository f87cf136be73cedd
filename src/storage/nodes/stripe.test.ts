import { expect, test } from 'vitest'
import { blockNodeContract } from '../testing/contract.ts'
import { readAll } from '../testing/disk-model.ts'
import { MemoryNode } from './memory.ts'
import { StripeNode } from './stripe.ts'
import { stripeBuilder } from './testing/builders.ts'

for (const [count, stripeSize] of [[3, 4096], [2, 65536], [5, 512]]) {
  const size = Math.floor((1 << 20) / count / stripeSize) * count * stripeSize
  blockNodeContract(`stripe of ${count} by ${stripeSize}`, stripeBuilder(count, stripeSize), { size, crashes: 15 })
}

test('stripes go round', async () => {
  const nodes = [new MemoryNode({ size: 2000 }), new MemoryNode({ size: 1600 })]
  const node = new StripeNode({ nodes, stripeSize: 512 })
  expect(node.size).toBe(3 * 512 * 2)
  await node.write(512, [new Uint8Array(512).fill(1), new Uint8Array(512).fill(2), new Uint8Array(512).fill(3)])
  expect((await readAll(nodes[0]))[512]).toBe(2)
  expect((await readAll(nodes[1]))[0]).toBe(1)
  expect((await readAll(nodes[1]))[512]).toBe(3)
  await node.close()
})
