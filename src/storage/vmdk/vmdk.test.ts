import { deflateSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { TenonError } from '../../base/errors.ts'
import { Random } from '../../base/testing/random.ts'
import type { BlockNode } from '../block-node.ts'
import { MemoryNode } from '../nodes/memory.ts'
import { blockNodeContract, type NodeOptions } from '../testing/contract.ts'
import { expectContent, readAll } from '../testing/disk-model.ts'
import { MemoryStore } from '../testing/memory-file.ts'
import { createVmdk } from './create.ts'
import { parseDescriptor } from './descriptor.ts'
import { openVmdk } from './open.ts'
import { writeStreamOptimizedVmdk } from './stream-optimized.ts'
import { contextOf, writeDescriptor } from './testing/disks.ts'

const code = (code: string) => expect.objectContaining({ code })
const open = (store: MemoryStore, readOnly = false, name = 'disk.vmdk') => openVmdk(store.file(name, readOnly), contextOf(store, readOnly))

async function buildSparse({ size, readOnly, create, store }: NodeOptions, grainSectors = 128): Promise<BlockNode> {
  if (create) await createVmdk(store.file('disk.vmdk'), { size, contentId: 0x1234, grainSectors })
  return open(store, readOnly)
}

const PARENT_SIZE = 700_416
const parentContent = new Random(77).bytes(PARENT_SIZE)
const content = (size: number) => {
  const bytes = new Uint8Array(size)
  bytes.set(parentContent)
  return bytes
}

async function buildChild({ size, readOnly, create, store }: NodeOptions): Promise<BlockNode> {
  if (create) {
    await createVmdk(store.file('base.vmdk'), { size: PARENT_SIZE, contentId: 7 })
    const base = await open(store, false, 'base.vmdk')
    await base.write(0, [parentContent])
    await base.close()
    await createVmdk(store.file('disk.vmdk'), { size, contentId: 9, grainSectors: 16, parent: { fileNameHint: 'base.vmdk', contentId: 8 } })
  }
  return open(store, readOnly)
}

/** Flat, sparse and flat again, with the flat parts in one file. */
async function buildSeveral({ size, readOnly, create, store }: NodeOptions): Promise<BlockNode> {
  const sectors = size / 512
  const parts = [300, 1024, sectors - 1324]
  if (create) {
    await store.file('flat.vmdk').truncate((parts[0] + parts[2] + 10) * 512)
    await createVmdk(store.file('part.vmdk'), { size: parts[1] * 512, contentId: 1, grainSectors: 8 })
    writeDescriptor(store, 'disk.vmdk', 'custom', [
      { access: 'RW', sectors: parts[0], kind: 'FLAT', fileName: 'flat.vmdk', offset: 10 },
      { access: 'RW', sectors: parts[1], kind: 'SPARSE', fileName: 'part.vmdk', offset: 0 },
      { access: 'RW', sectors: parts[2], kind: 'FLAT', fileName: 'flat.vmdk', offset: 10 + parts[0] },
    ])
  }
  return open(store, readOnly)
}

blockNodeContract('vmdk, monolithicSparse', buildSparse)
blockNodeContract('vmdk, small grains', options => buildSparse(options, 8), { crashes: 10 })
blockNodeContract('vmdk, with a parent', buildChild, { content })
blockNodeContract('vmdk, several extents', buildSeveral, { crashes: 10 })

async function streamed(source: BlockNode): Promise<MemoryStore> {
  const store = new MemoryStore()
  const pieces: Uint8Array[] = []
  await writeStreamOptimizedVmdk(source, {
    fileName: 'disk.vmdk', contentId: 5, compress: bytes => deflateSync(bytes), write: async (bytes) => { pieces.push(bytes) },
  })
  store.setBytes('disk.vmdk', Buffer.concat(pieces))
  return store
}

const STREAM_SIZE = (1 << 20) + 7 * 512
const streamContent = (size: number) => {
  const bytes = new Random(9).bytes(size)
  bytes.fill(0, 100_000, 400_000)
  return bytes
}

blockNodeContract('vmdk, streamOptimized', async ({ size, readOnly }) => {
  const source = new MemoryNode({ size })
  await source.write(0, [streamContent(size)])
  return open(await streamed(source), readOnly)
}, { writable: false, content: streamContent, persistent: false })

describe('a VMDK', () => {
  test('takes no more room than it needs', async () => {
    const store = new MemoryStore()
    const node = await buildSparse({ size: 100 << 20, readOnly: false, create: true, store })
    const empty = store.bytes('disk.vmdk').length
    expect(empty).toBe(65536)
    await node.write(50 << 20, [new Uint8Array(10).fill(1)])
    await node.writeZeroes(0, 100 << 20, true)
    await node.close()
    expect(store.bytes('disk.vmdk').length).toBe(empty + 65536)
  })

  test('is another one after the first write of each opening', async () => {
    const store = new MemoryStore()
    const node = await buildSparse({ size: 1 << 20, readOnly: false, create: true, store })
    const contentId = () => parseDescriptor(Buffer.from(store.bytes('disk.vmdk').subarray(512, 10_000)).toString('latin1'), 'disk.vmdk').contentId
    await node.read(0, [new Uint8Array(512)])
    expect(contentId()).toBe(0x1234)
    await node.write(0, [new Uint8Array(512)])
    await node.write(0, [new Uint8Array(512)])
    expect(contentId()).toBe(0x1235)
    await node.close()
  })

  test('does not take a parent that was written to', async () => {
    const store = new MemoryStore()
    await (await buildChild({ size: 1 << 20, readOnly: false, create: true, store })).close()
    await (await open(store)).close()
    const base = await open(store, false, 'base.vmdk')
    await base.write(0, [new Uint8Array(1)])
    await base.close()
    await expect(open(store)).rejects.toEqual(code('DISK_BACKING_CHANGED'))
  })

  test('knows grains of zeros where its header allows them', async () => {
    const store = new MemoryStore()
    const node = await buildSparse({ size: 1 << 20, readOnly: false, create: true, store })
    await node.write(0, [new Uint8Array(65536).fill(1)])
    await node.close()
    const bytes = store.bytes('disk.vmdk')
    bytes[8] |= 4
    const table = new DataView(bytes.buffer)
    const gdOffset = table.getUint32(56, true) * 512
    table.setUint32(table.getUint32(gdOffset, true) * 512, 1, true)
    store.setBytes('disk.vmdk', bytes)
    const again = await open(store)
    expect(await again.extent(0, 1 << 20)).toEqual({ state: 'zero', length: 65536 })
    expectContent(await readAll(again, 0, 65536), new Uint8Array(65536))
    await again.write(10, [new Uint8Array(10).fill(2)])
    expectContent(await readAll(again, 0, 30), new Uint8Array(30).fill(2, 10, 20))
    await again.close()
  })

  test('is written as a stream without its zeros', async () => {
    const source = new MemoryNode({ size: 200 << 20 })
    const store = await streamed(source)
    expect(store.bytes('disk.vmdk').length).toBe(65536 + 5 * 512)
    await source.write(150 << 20, [new Uint8Array(100).fill(1)])
    await source.write(10 << 20, [new Uint8Array(1 << 20)])
    const node = await open(await streamed(source))
    expect(await node.extent(0, node.size)).toMatchObject({ state: 'hole' })
    expectContent(await readAll(node, 150 << 20, 200), new Uint8Array(200).fill(1, 0, 100))
  })

  test('refuses sizes, grains and numbers that it cannot have', async () => {
    const file = new MemoryStore().file('disk.vmdk')
    for (const size of [100, -512, NaN, 2 ** 41, 2 ** 53]) await expect(createVmdk(file, { size, contentId: 1 })).rejects.toEqual(code('DISK_OUT_OF_RANGE'))
    for (const grainSectors of [4, 100, 4096]) await expect(createVmdk(file, { size: 512, contentId: 1, grainSectors })).rejects.toEqual(code('DISK_UNSUPPORTED'))
    for (const contentId of [-1, 0.5, 0xffffffff]) await expect(createVmdk(file, { size: 512, contentId })).rejects.toEqual(code('DISK_UNSUPPORTED'))
  })
})

const DESCRIPTOR = (line: string, more = '') => new TextEncoder().encode(`# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\n${more}${line}\n`)

describe('a descriptor is refused', () => {
  test.each([
    ['../../etc/shadow', 'DISK_UNSUPPORTED'], ['/etc/shadow', 'DISK_UNSUPPORTED'], ['..', 'DISK_UNSUPPORTED'], ['..\\secret', 'DISK_UNSUPPORTED'],
    ['c:secret', 'DISK_UNSUPPORTED'], ['below/file', 'DISK_UNSUPPORTED'], ['none', 'DISK_NOT_FOUND'], ['', 'DISK_UNSUPPORTED'],
  ])('that names the file "%s"', async (name, expected) => {
    const store = new MemoryStore()
    store.setBytes('/etc/shadow', new Uint8Array(1 << 20))
    for (const kind of ['FLAT', 'SPARSE', 'VMFS']) {
      store.setBytes('disk.vmdk', DESCRIPTOR(`RW 8 ${kind} "${name}" 0`))
      await expect(open(store)).rejects.toEqual(code(expected))
    }
  })

  test.each(['../base.vmdk', '/base.vmdk', 'a/../../base.vmdk', '..\\base.vmdk', 'C:\\base.vmdk'])('that names the parent %s', async (hint) => {
    const store = new MemoryStore()
    store.setBytes('flat', new Uint8Array(4096))
    const bytes = DESCRIPTOR('RW 8 FLAT "flat" 0', `parentFileNameHint="${hint}"\n`)
    store.setBytes('disk.vmdk', new TextEncoder().encode(new TextDecoder().decode(bytes).replace('ffffffff', '00000001')))
    await expect(open(store)).rejects.toThrow(/a parent outside of its folder/)
  })

  test.each([
    ['without extents', '', 'DISK_CORRUPT'], ['whose extent is too short', 'RW 9 FLAT "flat" 0', 'DISK_CORRUPT'],
    ['whose extent begins behind its file', 'RW 1 FLAT "flat" 8', 'DISK_CORRUPT'], ['with a line that is none', 'RW many FLAT "flat" 0', 'DISK_CORRUPT'],
    ['with a number that is none', 'CID=hello\nRW 8 FLAT "flat" 0', 'DISK_CORRUPT'], ['with access to nothing', 'NOACCESS 8 FLAT "flat" 0', 'DISK_UNSUPPORTED'],
    ['of a raw device', 'RW 8 VMFSRDM "flat"', 'DISK_UNSUPPORTED'], ['of a size beyond all', 'RW 999999999999999 ZERO\n'.repeat(20), 'DISK_CORRUPT'],
    ['whose sparse extent is none', 'RW 8 SPARSE "flat"', 'DISK_CORRUPT'], ['of a thousand files', 'RW 8 FLAT "flat" 0\n'.repeat(2100), 'DISK_CORRUPT'],
  ])('%s', async (_, line, expected) => {
    const store = new MemoryStore()
    store.setBytes('flat', new Uint8Array(4096))
    store.setBytes('disk.vmdk', DESCRIPTOR(line))
    await expect(open(store)).rejects.toEqual(code(expected))
  })
})

function put(bytes: Uint8Array, at: number, value: number): Uint8Array {
  new DataView(bytes.buffer, bytes.byteOffset).setUint32(at, value, true)
  return bytes
}

const DAMAGE: readonly [string, (bytes: Uint8Array) => Uint8Array, string][] = [
  ['an empty file', () => new Uint8Array(0), 'DISK_UNKNOWN_FORMAT'],
  ['a header alone', bytes => bytes.slice(0, 512), 'DISK_CORRUPT'],
  ['a header without tables', bytes => bytes.slice(0, 11_000), 'DISK_CORRUPT'],
  ['an unknown version', bytes => put(bytes, 4, 9), 'DISK_UNSUPPORTED'],
  ['a file that was transferred as text', bytes => bytes.fill(10, 75, 76), 'DISK_CORRUPT'],
  ['a size beyond all', bytes => put(bytes, 16, 0x7fffffff), 'DISK_CORRUPT'],
  ['a size that needs too many tables', bytes => put(bytes, 16, 0x7ff), 'DISK_UNSUPPORTED'],
  ['grains of no size', bytes => put(bytes, 20, 0), 'DISK_CORRUPT'],
  ['grains of an odd size', bytes => put(bytes, 20, 100), 'DISK_CORRUPT'],
  ['huge grains', bytes => put(bytes, 20, 1 << 30), 'DISK_UNSUPPORTED'],
  ['a huge descriptor', bytes => put(bytes, 36, 1 << 30), 'DISK_CORRUPT'],
  ['a descriptor outside', bytes => put(bytes, 28, 1 << 30), 'DISK_CORRUPT'],
  ['no descriptor', bytes => put(bytes, 28, 0), 'DISK_UNSUPPORTED'],
  ['a directory outside', bytes => put(bytes, 56, 1 << 30), 'DISK_CORRUPT'],
  ['a directory at the end where there is none', bytes => put(put(bytes, 56, 0xffffffff), 60, 0xffffffff), 'DISK_CORRUPT'],
  ['a table outside', bytes => put(bytes, new DataView(bytes.buffer).getUint32(56, true) * 512, 0x7fffffff), 'DISK_CORRUPT'],
  ['ESX server\'s format', bytes => put(bytes, 0, 0x44574f43), 'DISK_UNSUPPORTED'],
]

describe('a damaged VMDK', () => {
  test.each(DAMAGE)('%s', async (_, damage, expected) => {
    const store = new MemoryStore()
    await (await buildSparse({ size: 1 << 20, readOnly: false, create: true, store })).close()
    store.setBytes('disk.vmdk', damage(store.bytes('disk.vmdk')))
    await expect(open(store)).rejects.toEqual(code(expected))
  })

  test('grains that are somewhere else are errors, the others can be read', async () => {
    const store = new MemoryStore()
    const node = await buildSparse({ size: 1 << 20, readOnly: false, create: true, store })
    await node.write(0, [new Uint8Array(3 * 65536).fill(1)])
    await node.close()
    const bytes = store.bytes('disk.vmdk')
    const view = new DataView(bytes.buffer)
    view.setUint32(view.getUint32(view.getUint32(56, true) * 512, true) * 512 + 4, 0x7fffffff, true)
    store.setBytes('disk.vmdk', bytes)
    const again = await open(store)
    await expect(again.read(65536, [new Uint8Array(1)])).rejects.toEqual(code('DISK_CORRUPT'))
    await expect(again.write(65536, [new Uint8Array(1)])).rejects.toEqual(code('DISK_CORRUPT'))
    expectContent(await readAll(again, 2 * 65536, 65536), new Uint8Array(65536).fill(1))
    await again.close()
  })

  test('random damage is an error or another disk, never more', async () => {
    const random = new Random(31)
    const plain = new MemoryStore()
    const node = await buildSparse({ size: 1 << 20, readOnly: false, create: true, store: plain }, 8)
    await node.write(100_000, [random.bytes(300_000)])
    await node.close()
    const source = new MemoryNode({ size: STREAM_SIZE })
    await source.write(0, [streamContent(STREAM_SIZE)])
    const goods = [plain.bytes('disk.vmdk'), (await streamed(source)).bytes('disk.vmdk')]
    let opened = 0
    for (let round = 0; round < 300; round++) {
      const good = random.pick(goods)
      const bytes = good.slice(0, random.below(6) === 0 ? random.below(good.length) : good.length)
      for (let count = random.below(4); count >= 0; count--) {
        const at = random.pick([random.below(80), random.below(1200), random.below(bytes.length + 1), bytes.length - random.below(8000)])
        if (at < bytes.length && at >= 0) bytes[at] = random.value()
      }
      const store = new MemoryStore()
      store.setBytes('disk.vmdk', bytes)
      opened += await tryDisk(store) ? 1 : 0
    }
    expect(opened).toBeGreaterThan(30)
  })
})

/** Whether it could be opened and used, or read at least. */
async function tryDisk(store: MemoryStore): Promise<boolean> {
  try {
    const node = await open(store)
    for (const offset of [0, 100_000, node.size - 512]) {
      await node.read(offset, [new Uint8Array(512)])
      if (!node.readOnly) await node.write(offset, [new Uint8Array(512)])
    }
    await node.close()
    return true
  } catch (error) {
    expect(error).toBeInstanceOf(TenonError)
    return false
  }
}
