import { describe } from 'vitest'
import { blockNodeContract } from '../testing/contract.ts'
import type { MemoryStore } from '../testing/memory-file.ts'
import { createQcow2, type CreateOptions } from './create.ts'
import { Qcow2Node } from './node.ts'
import { expect } from 'vitest'

/** No crash leaves more than clusters that are counted and not used. */
async function check(store: MemoryStore): Promise<void> {
  const node = await Qcow2Node.open(store.file('disk'), { readOnly: true })
  const { errors } = await node.check()
  expect(errors).toEqual([])
  await node.close()
}

function contract(name: string, options: Omit<CreateOptions, 'size'>): void {
  blockNodeContract(`qcow2, ${name}`, async ({ store, size, create, readOnly }) => {
    if (create) await createQcow2(store.file('disk'), { size, ...options })
    return Qcow2Node.open(store.file('disk', readOnly), { readOnly })
  }, { resizable: true, check })
}

describe('qcow2', () => {
  contract('64 KiB clusters', {})
  contract('512-byte clusters', { clusterSize: 512 })
  contract('4 KiB clusters and refcounts of 64 bits', { clusterSize: 4096, refcountBits: 64 })
  contract('1 KiB clusters and refcounts of a bit', { clusterSize: 1024, refcountBits: 1 })
  contract('version 2', { clusterSize: 4096, version: 2 })
})
