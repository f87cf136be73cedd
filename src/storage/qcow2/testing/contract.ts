import { expect } from 'vitest'
import { Random } from '../../../base/testing/random.ts'
import { MemoryNode } from '../../nodes/memory.ts'
import { blockNodeContract } from '../../testing/contract.ts'
import type { MemoryStore } from '../../testing/memory-file.ts'
import { createQcow2, type CreateOptions } from '../create.ts'
import { Qcow2Node } from '../node.ts'

/** What the backing disk has, where the image has one: less than the image is long. */
const BASE = new Random(77).bytes((1 << 20) - 40_000)

async function open(store: MemoryStore, hasBacking: boolean, readOnly: boolean): Promise<Qcow2Node> {
  if (!hasBacking) return Qcow2Node.open(store.file('disk', readOnly), { readOnly })
  const backing = new MemoryNode({ size: BASE.length })
  await backing.write(0, [BASE])
  return Qcow2Node.open(store.file('disk', readOnly), { readOnly, backing })
}

/** The contract of all nodes; and no crash leaves more than clusters that are counted and not used, which the next writer finds. */
export function qcow2Contract(name: string, options: Omit<CreateOptions, 'size'>, crashes: number): void {
  const hasBacking = options.backingFile !== undefined
  const check = async (store: MemoryStore): Promise<void> => {
    if (options.lazyRefcounts !== true) {
      const looking = await open(store, hasBacking, true)
      expect((await looking.check()).errors).toEqual([])
      await looking.close()
    }
    const node = await open(store, hasBacking, false)
    const { errors, leaks } = await node.check()
    expect(errors).toEqual([])
    if (options.version !== 2) expect(leaks).toBe(0)
    await node.close()
  }
  const content = (size: number): Uint8Array => {
    const bytes = new Uint8Array(size)
    if (hasBacking) bytes.set(BASE.subarray(0, size))
    return bytes
  }
  blockNodeContract(`qcow2, ${name}`, async ({ store, size, create, readOnly }) => {
    if (create) await createQcow2(store.file('disk'), { size, ...options })
    return open(store, hasBacking, readOnly)
  }, { resizable: true, check, crashes, content })
}
