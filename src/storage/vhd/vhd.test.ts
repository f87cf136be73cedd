import { describe, expect, test } from 'vitest'
import { TenonError } from '../../base/errors.ts'
import { Random } from '../../base/testing/random.ts'
import type { BlockNode } from '../block-node.ts'
import { blockNodeContract, type NodeOptions } from '../testing/contract.ts'
import { expectContent, readAll } from '../testing/disk-model.ts'
import { MemoryStore } from '../testing/memory-file.ts'
import { createDifferencingVhd, createVhd } from './create.ts'
import { putU32 } from './layout.ts'
import { openVhd } from './open.ts'

const ID = Uint8Array.from({ length: 16 }, (_, index) => index + 1)
const PARENT_ID = ID.map(byte => byte + 100)
const code = (code: string) => expect.objectContaining({ code })
const TIME = 1_700_000_000

const alone = (readOnly = false) => ({
  readOnly,
  openBacking: async (): Promise<BlockNode> => { throw new TenonError('DISK_NOT_FOUND', 'there is none') },
})

async function build(type: 'fixed' | 'dynamic', { size, readOnly, create, store }: NodeOptions, blockSize: number): Promise<BlockNode> {
  if (create) await createVhd(store.file('disk.vhd'), { type, size, blockSize, uniqueId: ID, time: TIME })
  return openVhd(store.file('disk.vhd', readOnly), alone(readOnly))
}

const PARENT_SIZE = 700_416
const parentContent = new Random(77).bytes(PARENT_SIZE)
const content = (size: number) => {
  const bytes = new Uint8Array(size)
  bytes.set(parentContent)
  return bytes
}

async function buildDifferencing({ size, readOnly, create, store }: NodeOptions): Promise<BlockNode> {
  if (create) {
    await createVhd(store.file('base.vhd'), { type: 'dynamic', size: PARENT_SIZE, blockSize: 16384, uniqueId: PARENT_ID, time: TIME })
    const base = await openVhd(store.file('base.vhd'), alone())
    await base.write(0, [parentContent])
    await base.close()
    await createDifferencingVhd(store.file('disk.vhd'), {
      size, blockSize: 65536, uniqueId: ID, time: TIME, parent: { relativePath: 'base.vhd', uniqueId: PARENT_ID, time: TIME },
    })
  }
  return openVhd(store.file('disk.vhd', readOnly), {
    readOnly,
    openBacking: (reference, format) => {
      expect([reference, format]).toEqual(['./base.vhd', 'vhd'])
      return openVhd(store.file('base.vhd', true), alone(true))
    },
  })
}

blockNodeContract('vhd, fixed', options => build('fixed', options, 65536), { crashes: 10 })
blockNodeContract('vhd, dynamic', options => build('dynamic', options, 65536))
blockNodeContract('vhd, dynamic, small blocks', options => build('dynamic', options, 4096), { crashes: 10 })
blockNodeContract('vhd, differencing', buildDifferencing, { content })

async function disk(size = 1 << 20): Promise<{ store: MemoryStore, node: BlockNode }> {
  const store = new MemoryStore()
  return { store, node: await build('dynamic', { size, readOnly: false, create: true, store }, 65536) }
}

describe('a VHD', () => {
  test('takes no more room than it needs', async () => {
    const { store, node } = await disk(100 << 20)
    expect(store.bytes('disk.vhd').length).toBeLessThan(10_000)
    await node.write(50 << 20, [new Uint8Array(10).fill(1)])
    await node.writeZeroes(0, 100 << 20, true)
    await node.close()
    expect(store.bytes('disk.vhd').length).toBeLessThan(80_000)
  })

  test('has a footer at its end, and a copy at its start', async () => {
    const { store, node } = await disk()
    await node.write(5, [new Uint8Array(100_000).fill(1)])
    await node.close()
    const bytes = store.bytes('disk.vhd')
    expectContent(bytes.subarray(bytes.length - 512), bytes.slice(0, 512))
  })

  test('sectors that were never written read as zeros', async () => {
    const { store, node } = await disk()
    await node.write(0, [new Uint8Array(65536).fill(1)])
    await node.close()
    const bytes = store.bytes('disk.vhd')
    bytes[2048] = 0x7f
    store.setBytes('disk.vhd', bytes)
    const again = await openVhd(store.file('disk.vhd'), alone())
    const expected = new Uint8Array(65536).fill(1)
    expected.fill(0, 0, 512)
    expectContent(await readAll(again, 0, 65536), expected)
    expect(await again.extent(0, 65536)).toEqual({ state: 'hole', length: 512 })
    await again.write(10, [new Uint8Array(5).fill(2)])
    expected.fill(2, 10, 15)
    expectContent(await readAll(again, 0, 65536), expected)
    await again.close()
  })

  test('a footer that the guest writes to a fixed disk counts for nothing', async () => {
    const store = new MemoryStore()
    const fixed = await build('fixed', { size: 1 << 20, readOnly: false, create: true, store }, 65536)
    const other = await disk()
    await fixed.write(0, [other.store.bytes('disk.vhd')])
    await fixed.close()
    const again = await openVhd(store.file('disk.vhd'), alone())
    expect((await readAll(again, 0, 8))).toEqual(new TextEncoder().encode('conectix'))
    await again.close()
  })

  test('refuses sizes and blocks that it cannot have', async () => {
    const file = new MemoryStore().file('disk.vhd')
    for (const size of [100, -512, NaN, 2 ** 41, 2 ** 53]) {
      await expect(createVhd(file, { type: 'dynamic', size, uniqueId: ID, time: 0 })).rejects.toEqual(code('DISK_OUT_OF_RANGE'))
    }
    for (const blockSize of [100, 3 << 20, 2 ** 31]) {
      await expect(createVhd(file, { type: 'dynamic', size: 512, blockSize, uniqueId: ID, time: 0 })).rejects.toEqual(code('DISK_UNSUPPORTED'))
    }
  })

  test('knows its parent from another', async () => {
    const store = new MemoryStore()
    const node = await buildDifferencing({ size: 1 << 20, readOnly: false, create: true, store })
    await node.close()
    const open = (openBacking: () => Promise<BlockNode>) => openVhd(store.file('disk.vhd'), { readOnly: false, openBacking })
    await expect(open(async () => (await disk()).node)).rejects.toEqual(code('DISK_BACKING_CHANGED'))
    await expect(open(alone().openBacking)).rejects.toThrow(/"\.\/base\.vhd", "base\.vhd"/)
    await expect(open(async () => { throw new TenonError('DISK_CORRUPT', 'circle') })).rejects.toEqual(code('DISK_CORRUPT'))
  })
})

/** Offsets in a file of `disk()`: footer, header, table. */
const DAMAGE: readonly [string, (bytes: Uint8Array) => Uint8Array, string][] = [
  ['an empty file', () => new Uint8Array(0), 'DISK_UNKNOWN_FORMAT'],
  ['a short file', bytes => bytes.slice(0, 100), 'DISK_CORRUPT'],
  ['a file that was cut off', bytes => bytes.slice(0, 4096), 'DISK_CORRUPT'],
  ['a damaged header', bytes => bytes.fill(7, 600, 601), 'DISK_CORRUPT'],
  ['blocks in one place', (bytes) => { bytes.set(bytes.slice(1536, 1540), 1540); return bytes }, 'DISK_CORRUPT'],
  ['a block in the header', (bytes) => { putU32(bytes, 1540, 1); return bytes }, 'DISK_CORRUPT'],
  ['a block behind the end', (bytes) => { putU32(bytes, 1540, 0x7fffffff); return bytes }, 'DISK_CORRUPT'],
]

describe('a damaged VHD', () => {
  test.each(DAMAGE)('%s', async (_, damage, expected) => {
    const { store, node } = await disk()
    await node.write(0, [new Uint8Array(65536).fill(1)])
    await node.close()
    store.setBytes('disk.vhd', damage(store.bytes('disk.vhd')))
    await expect(openVhd(store.file('disk.vhd'), alone())).rejects.toEqual(code(expected))
  })

  test('one damaged footer of two is none lost', async () => {
    const { store, node } = await disk()
    await node.write(0, [new Uint8Array(65536).fill(1)])
    await node.close()
    const bytes = store.bytes('disk.vhd')
    for (const at of [20, bytes.length - 500]) {
      store.setBytes('disk.vhd', bytes.slice().fill(9, at, at + 1))
      const again = await openVhd(store.file('disk.vhd'), alone())
      expectContent(await readAll(again, 0, 65536), new Uint8Array(65536).fill(1))
      await again.close()
    }
  })

  test('random damage is an error or another disk, never more', async () => {
    const random = new Random(21)
    const { store, node } = await disk()
    await node.write(100_000, [random.bytes(300_000)])
    await node.close()
    const good = store.bytes('disk.vhd')
    let opened = 0
    for (let round = 0; round < 300; round++) {
      const bytes = good.slice(0, random.below(4) === 0 ? random.below(good.length) : good.length)
      for (let count = random.below(4); count >= 0; count--) {
        const at = random.pick([random.below(512), 512 + random.below(1024), 1536 + random.below(64), bytes.length - random.below(512)])
        if (at < bytes.length && at >= 0) bytes[at] = random.value()
      }
      if (random.below(2) === 0) mendChecksums(bytes)
      store.setBytes('disk.vhd', bytes)
      opened += await tryDisk(store) ? 1 : 0
    }
    expect(opened).toBeGreaterThan(30)
  })
})

function mendChecksums(bytes: Uint8Array): void {
  for (const [start, length, at] of [[0, 512, 64], [512, 1024, 36], [bytes.length - 512, 512, 64]]) {
    if (start < 0 || start + length > bytes.length) continue
    putU32(bytes, start + at, 0)
    putU32(bytes, start + at, ~bytes.subarray(start, start + length).reduce((sum, byte) => sum + byte, 0) >>> 0)
  }
}

/** Whether it could be opened; then it can also be used, or says why not. */
async function tryDisk(store: MemoryStore): Promise<boolean> {
  try {
    const node = await openVhd(store.file('disk.vhd'), alone())
    for (const offset of [0, 100_000, node.size - 512]) {
      await node.read(offset, [new Uint8Array(512)])
      await node.write(offset, [new Uint8Array(512)])
    }
    await node.close()
    return true
  } catch (error) {
    expect(error).toBeInstanceOf(TenonError)
    return false
  }
}
