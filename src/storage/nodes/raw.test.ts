import { expect, test } from 'vitest'
import { blockNodeContract } from '../testing/contract.ts'
import { MemoryStore } from '../testing/memory-file.ts'
import { ProbedRawNode } from './probed-raw.ts'
import { RawNode } from './raw.ts'
import { rawBuilder } from './testing/builders.ts'

for (const canPunch of [true, false]) {
  blockNodeContract(`raw, ${canPunch ? 'with' : 'without'} holes`, rawBuilder(canPunch), { resizable: true })
}

blockNodeContract('raw that was probed', async (options) => {
  return new ProbedRawNode(await rawBuilder(true)(options), ({ head }) => head[0] === 1 && head[1] === 2 && head[2] === 3)
}, { resizable: true, crashes: 10 })

test('zeros that may be unmapped give room back', async () => {
  const store = new MemoryStore()
  const node = await RawNode.create(store.file('disk'), 1 << 20)
  await node.write(0, [new Uint8Array(1 << 20).fill(7)])
  await node.writeZeroes(4096, 8192, true)
  await node.discard(1 << 19, 4096)
  expect(store.occupied('disk')).toBe((1 << 20) - 3 * 4096)
  expect(await node.extent(4096, 65536)).toEqual({ state: 'hole', length: 8192 })
  await node.writeZeroes(0, 8192, false)
  expect(await node.extent(0, 65536)).toEqual({ state: 'data', length: 8192 })
  await node.close()
})

test('a file of odd length is a disk of odd length', async () => {
  const store = new MemoryStore()
  store.setBytes('disk', new Uint8Array(1001).fill(3))
  const node = new RawNode(store.file('disk', true))
  const bytes = new Uint8Array(1)
  await node.read(1000, [bytes])
  expect(bytes[0]).toBe(3)
  await expect(node.read(1001, [bytes])).rejects.toMatchObject({ code: 'DISK_OUT_OF_RANGE' })
  await node.close()
})
