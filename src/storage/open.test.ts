import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import { TenonError } from '../base/errors.ts'
import { Random } from '../base/testing/random.ts'
import { storageError } from './errors.ts'
import type { DiskFormat, StorageEnvironment } from './format.ts'
import { FORMATS } from './formats.ts'
import { DedupNode } from './nodes/dedup.ts'
import { MemoryNode } from './nodes/memory.ts'
import { MirrorNode } from './nodes/mirror.ts'
import { OverlayNode } from './nodes/overlay.ts'
import { RawNode } from './nodes/raw.ts'
import { TierNode } from './nodes/tier.ts'
import { openDisk } from './open.ts'
import { readAll } from './testing/disk-model.ts'
import { MemoryStore, type MemoryFile } from './testing/memory-file.ts'
import { VirtualTimer } from './testing/virtual-timer.ts'

/** A format for these tests: `LINK` and the name of the backing file, up to a zero; in front of that, what it adds: nothing. */
const LINK: DiskFormat = {
  name: 'link',
  recognises: ({ head }) => String.fromCharCode(...head.subarray(0, 4)) === 'LINK',
  open: async (file, context) => {
    const header = new Uint8Array(file.size)
    await file.read(0, [header])
    const backing = context.backing ?? await context.openBacking(String.fromCharCode(...header.subarray(4)).split('\0')[0], null)
    await file.close()
    return new OverlayNode({ base: backing, top: new MemoryNode({ size: backing.size }), readOnly: context.readOnly })
  },
}
const formats = [...FORMATS, LINK]

const bytesOf = (text: string): Uint8Array => Uint8Array.from(text.padEnd(512, '\0'), each => each.charCodeAt(0))

function world(files: Readonly<Record<string, string>>): { environment: StorageEnvironment, open: () => number, store: MemoryStore } {
  const store = new MemoryStore()
  for (const [name, text] of Object.entries(files)) store.setBytes(name, bytesOf(text))
  const opened: { file: MemoryFile, closed: boolean }[] = []
  const environment: StorageEnvironment = {
    openFile: async (path, { readOnly }) => {
      if (!store.has(path)) throw storageError('DISK_NOT_FOUND', `${path} is not there`)
      const file = store.file(path, readOnly)
      const entry = { file, closed: false }
      opened.push(entry)
      const close = file.close.bind(file)
      file.close = () => {
        entry.closed = true
        return close()
      }
      return file
    },
    resolvePath: async (_, reference) => reference.startsWith('/') ? reference : `/${reference}`,
    timer: new VirtualTimer(true),
  }
  return { environment, open: () => opened.filter(each => !each.closed).length, store }
}

test('a graph is opened from its description, and closed as a whole', async () => {
  const { environment, open } = world({ '/a': 'A', '/b': 'B', '/c': 'C' })
  const node = await openDisk({
    kind: 'throttle', bytesPerSecond: 1_000_000, weight: 50,
    node: {
      kind: 'overlay',
      base: { kind: 'stripe', stripeSize: 512, nodes: ['a', { kind: 'file', path: '/b', format: 'raw' }, 'c'] },
    },
  }, environment)
  expect(node.size).toBe(1536)
  expect(String.fromCharCode(...await readAll(node)).replaceAll('\0', '')).toBe('ABC')
  await node.write(0, [new Uint8Array(1536).fill(1)])
  expect(open()).toBe(3)
  await node.close()
  expect(open()).toBe(0)
})

const WRONG: readonly [problem: string, description: unknown, message: string][] = [
  ['nothing', undefined, 'disk is not an object'],
  ['a number', 5, 'disk is not an object'],
  ['a list', ['a'], 'disk is not an object'],
  ['no kind', {}, 'disk.kind is missing'],
  ['an unknown kind', { kind: 'raid6' }, 'disk.kind is not one of file, memory'],
  ['an inherited name as a kind', { kind: 'toString' }, 'disk.kind is not one of'],
  ['no path', { kind: 'file' }, 'disk.path is missing'],
  ['a path that is none', { kind: 'file', path: 7 }, 'disk.path is not a text'],
  ['an unknown format', { kind: 'file', path: '/a', format: 'zip' }, 'disk.format is not one of raw'],
  ['a misspelt field', { kind: 'file', path: '/a', readonly: true }, 'disk.readonly is not known here'],
  ['a wrong field below', { kind: 'stripe', nodes: ['/a', { kind: 'memory', size: -1 }] }, 'disk.nodes[1].size is not a whole number'],
  ['an empty list', { kind: 'stripe', nodes: [] }, 'disk.nodes is not a list of 1 to 64'],
  ['a size that is no power', { kind: 'stripe', stripeSize: 1000, nodes: ['/a'] }, 'disk.stripeSize is not a power of two'],
  ['a limit of nothing', { kind: 'throttle', node: '/a', bytesPerSecond: 0 }, 'disk.bytesPerSecond is not a whole number from 1'],
  ['a backing file where there can be none', { kind: 'file', path: '/a', backing: '/b' }, 'disk.backing cannot be'],
]

test.each(WRONG)('%s is refused by the name of the field', async (_, description, message) => {
  const { environment, open } = world({ '/a': 'A', '/b': 'B' })
  const error = await openDisk(description, environment, { formats }).catch((error: unknown) => error)
  expect(error).toMatchObject({ code: 'DISK_DESCRIPTION_INVALID' })
  expect((error as Error).message).toContain(message)
  expect(open()).toBe(0)
})

test('a description that contains itself ends', async () => {
  const { environment } = world({})
  const circle: Record<string, unknown> = { kind: 'throttle' }
  circle.node = circle
  await expect(openDisk(circle, environment)).rejects.toThrow('more than 32 nodes deep')
})

test('disks of one group share its limits, and must agree on them', async () => {
  const { environment } = world({ '/a': 'A', '/b': 'B' })
  const one = await openDisk({ kind: 'throttle', group: 'g', requestsPerSecond: 10, node: '/a' }, environment)
  await expect(openDisk({ kind: 'throttle', group: 'g', requestsPerSecond: 20, node: '/b' }, environment)).rejects.toThrow('disk.group')
  const two = await openDisk({ kind: 'throttle', group: 'g', requestsPerSecond: 10, node: '/b' }, environment)
  await Promise.all([one.close(), two.close()])
})

const sha256 = (bytes: Uint8Array): Uint8Array => createHash('sha256').update(bytes).digest()

test('mirror, tier and dedup are opened from their files', async () => {
  const { environment, open, store } = world({})
  const raw = (name: string): Promise<RawNode> => RawNode.create(store.file(name), 1 << 20)
  await (await MirrorNode.create({ nodes: [await raw('/a'), await raw('/b')], state: store.file('/state') }, 'equal')).close()
  await (await TierNode.create({ fast: await raw('/fast'), slow: await raw('/slow'), map: store.file('/map') }, 65536)).close()
  await (await DedupNode.create({ map: store.file('/blocks'), data: store.file('/data'), sha256 }, 1 << 20)).close()
  const descriptions = [
    { kind: 'mirror', nodes: ['/a', '/b'], state: '/state', discard: 'zeroes' },
    { kind: 'tier', fast: '/fast', slow: '/slow', map: '/map' },
    { kind: 'dedup', map: '/blocks', data: '/data', mapPages: 8 },
  ]
  for (const description of descriptions) {
    const node = await openDisk(description, { ...environment, sha256 })
    expect(node.kind).toBe(description.kind)
    await node.write(5000, [new Uint8Array(100_000).fill(3)])
    await node.close()
    const again = await openDisk(description, { ...environment, sha256 }, { readOnly: true })
    expect((await readAll(again, 104_998, 4)).join()).toBe('3,3,0,0')
    await again.close()
  }
  expect(open()).toBe(0)
})

test('a mirror starts without a disk that is gone, and says so', async () => {
  const { environment, store } = world({})
  const raw = (name: string): Promise<RawNode> => RawNode.create(store.file(name), 1 << 20)
  await (await MirrorNode.create({ nodes: [await raw('/a'), await raw('/b')], state: store.file('/state') }, 'equal')).close()
  const notices: string[] = []
  const notice = (message: string): number => notices.push(message)
  const node = await openDisk({ kind: 'mirror', nodes: ['/gone', '/b'], state: '/state' }, { ...environment, notice })
  await node.write(0, [new Uint8Array([1])])
  await node.close()
  expect(notices[0]).toContain('disk.nodes[0] cannot be opened, and is left out: /gone is not there')
  const wrong = { kind: 'mirror', nodes: [{}, '/b'], state: '/state' }
  await expect(openDisk(wrong, environment)).rejects.toThrow('disk.nodes[0].kind is missing')
})

test('chains are followed, by relative names as well', async () => {
  const { environment, open } = world({ '/base': 'data', '/one': 'LINKbase', '/two': 'LINK/one' })
  const node = await openDisk('/two', environment, { formats })
  expect((await readAll(node))[0]).toBe('d'.charCodeAt(0))
  await node.close()
  expect(open()).toBe(0)
})

test('a chain that bites its tail, is endless or broken is refused, and nothing stays open', async () => {
  const long = Object.fromEntries(Array.from({ length: 300 }, (_, at) => [`/${at}`, `LINK/${at + 1}`]))
  const { environment, open } = world({ '/self': 'LINKself', '/x': 'LINK/y', '/y': 'LINK/x', '/z': 'LINK/gone', ...long })
  await expect(openDisk('/self', environment, { formats })).rejects.toMatchObject({ code: 'DISK_CORRUPT' })
  await expect(openDisk('/x', environment, { formats })).rejects.toThrow('/x is its own backing file')
  await expect(openDisk('/z', environment, { formats })).rejects.toMatchObject({ code: 'DISK_NOT_FOUND' })
  await expect(openDisk('/0', environment, { formats })).rejects.toThrow('more than 200 deep')
  expect(open()).toBe(0)
})

test('a backing file may be given in place of the one that is named', async () => {
  const { environment } = world({ '/base': 'data', '/one': 'LINK/gone' })
  const node = await openDisk({ kind: 'file', path: '/one', format: 'link', backing: 'base' }, environment, { formats })
  expect((await readAll(node))[0]).toBe('d'.charCodeAt(0))
  await node.close()
})

test('a guest cannot turn a disk that is taken for raw into another format', async () => {
  const { environment } = world({ '/a': 'A', '/b': 'B' })
  const node = await openDisk('/a', environment, { formats })
  await node.write(0, [bytesOf('LIN')])
  await expect(node.write(0, [bytesOf('LINK/etc/shadow')])).rejects.toThrow('would make this raw disk look like another format')
  await expect(node.write(3, [bytesOf('K/etc/shadow').subarray(0, 5)])).rejects.toMatchObject({ code: 'DISK_WRITE_FAILED' })
  expect((await readAll(node))[3]).toBe(0)
  await node.close()
  const sure = await openDisk({ kind: 'file', path: '/b', format: 'raw' }, environment, { formats })
  await sure.write(0, [bytesOf('LINK')])
  await sure.close()
})

test('descriptions of rubbish are refused or opened, never anything else', async () => {
  const random = new Random(1)
  const { environment, open } = world({ '/a': 'A', '/b': 'LINK/a' })
  const value = (depth: number): unknown => random.pick<() => unknown>([
    () => random.pick(['/a', '/b', '', 'x', -1, 0, 512, 4096, 1e300, NaN, null, true, undefined]),
    () => Array.from({ length: random.below(3) }, () => depth > 4 ? 1 : value(depth + 1)),
    () => ({ kind: random.pick(['file', 'memory', 'overlay', 'stripe', 'throttle', 'mirror']), ...fields(depth) }),
  ])()
  const NAMES = ['path', 'size', 'base', 'top', 'nodes', 'node', 'stripeSize', 'bytesPerSecond', 'format', 'backing', '__proto__']
  const fields = (depth: number): Record<string, unknown> => Object.fromEntries(Array.from({ length: random.below(4) }, () => {
    return [random.pick(NAMES), depth > 4 ? 1 : value(depth + 1)]
  }))
  for (let round = 0; round < 2000; round++) {
    const result = await openDisk(value(0), environment, { formats }).catch((error: unknown) => error)
    if (result instanceof Error) expect(result).toBeInstanceOf(TenonError)
    else await (result as MemoryNode).close()
  }
  expect(open()).toBe(0)
})
