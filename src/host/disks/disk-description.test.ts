/** Disks that a file describes: read, used by machines' disks, and by the work on disk files. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Random } from '../../base/testing/random.ts'
import { TenonError } from '../../base/errors.ts'
import { checkDisk } from '../disk-files/check.ts'
import { compactDisk } from '../disk-files/compact.ts'
import { convertDisk } from '../disk-files/convert.ts'
import { createDescribed } from '../disk-files/create-described.ts'
import { createDisk } from '../disk-files/create.ts'
import { describeDisk } from '../disk-files/info.ts'
import { resizeDisk } from '../disk-files/change.ts'
import { readDescriptions } from './disk-description.ts'
import type { DiskGraph } from './disk-order.ts'
import { openDisks } from './open-disk.ts'

let folder: string
beforeEach(() => { folder = mkdtempSync(join(tmpdir(), 'tenon-described-')) })
afterEach(() => rmSync(folder, { recursive: true }))

const at = (name: string): string => join(folder, name)
const SIZE = 1 << 20

/** A description, and its path. */
function describe(name: string, text: string): string {
  writeFileSync(at(name), text)
  return at(name)
}

function blank(...names: string[]): void {
  for (const name of names) {
    writeFileSync(at(name), '')
    truncateSync(at(name), SIZE)
  }
}

const MIRROR = 'kind: mirror\nstate: m.state\nnodes:\n  - a.raw\n  - { kind: file, path: b.raw, format: raw }\n'
const TIER = 'kind: tier\nmap: t.map\nfast: fast.raw\nslow: slow.raw\n'
const DEDUP = 'kind: dedup\nmap: d.map\ndata: d.data\n'
const STRIPE = 'kind: stripe\nstripeSize: 4096\nnodes: [s0.raw, s1.raw]\n'

test('paths are those of its folder, and parts may be described too', async () => {
  mkdirSync(at('sub'))
  describe('sub/inner.disk.yaml', STRIPE)
  const path = describe('outer.disk.yml', 'kind: throttle\nrequestsPerSecond: 5\nnode: { kind: file, path: sub/inner.disk.yaml, readOnly: true }')
  const expected = {
    kind: 'throttle', requestsPerSecond: 5,
    node: { kind: 'stripe', stripeSize: 4096, nodes: [at('sub/s0.raw'), at('sub/s1.raw')], readOnly: true },
  }
  expect(await readDescriptions(path)).toEqual(expected)
  expect(await readDescriptions({ kind: 'overlay', base: path })).toEqual({ kind: 'overlay', base: expected })
  for (const graph of ['a.raw', { kind: 'file', path: 'x.disk.yaml', format: 'raw' }]) expect(await readDescriptions(graph)).toBe(graph)
})

test.each<[string, string]>([
  ['kind: mirror\nnodes: [a]', ':1: state: is missing'],
  ['kind: mirror\nstate: s\nnodes:\n  - a\n  - kind: file\n    pth: b', ':5: nodes[1].path: is missing'],
  ['kind: mirror\nstate: s\nnodes:\n  - a\n  - kind: file\n    path: b\n    size: 5', ':7: nodes[1].size: is not known here'],
  ['kind: stripe\n\nstripeSize: 1000\nnodes: [a]', ':3: stripeSize: is not a power of two'],
  ['kind: raid6', ':1: kind: is not one of file, memory, overlay, stripe, mirror'],
  ['nodes: [a]', ':1: kind: names no kind of node'],
  ['- a', ':1: the file: is no disk with its kind'],
  ['kind: [', ':1: '],
  ['', ':1: the file: is no disk'],
])('%j is refused, with the line', async (text, message) => {
  const path = describe('x.disk.yaml', text)
  await expect(readDescriptions(path)).rejects.toMatchObject({ code: 'DISK_DESCRIPTION_INVALID', message: expect.stringContaining(`${path}${message}`) as string })
})

test('descriptions that are missing, huge, circular or used twice are refused', async () => {
  await expect(readDescriptions(at('none.disk.yaml'))).rejects.toMatchObject({ code: 'DISK_NOT_FOUND' })
  const self = describe('self.disk.yaml', 'kind: throttle\nbytesPerSecond: 1\nnode: self.disk.yaml')
  await expect(readDescriptions(self)).rejects.toThrow(`${self} is named twice in one disk, or by itself`)
  const stripe = describe('stripe.disk.yaml', STRIPE)
  await expect(readDescriptions({ kind: 'mirror', state: 's', nodes: [stripe, stripe] })).rejects.toThrow('is named twice')
  await expect(readDescriptions(describe('huge.disk.yaml', '#'.repeat(2 << 20)))).rejects.toThrow('it is larger than 1048576 bytes')
  mkdirSync(at('folder.disk.yaml'))
  await expect(readDescriptions(at('folder.disk.yaml'))).rejects.toBeInstanceOf(TenonError)
})

test('random damage gives a disk or an error, nothing else', async () => {
  const random = new Random(11)
  for (let round = 0; round < 100; round++) {
    const text = Buffer.from(random.pick([MIRROR, TIER, DEDUP, STRIPE]))
    for (let damage = 0; damage < 3; damage++) text[random.below(text.length)] = random.below(128)
    await readDescriptions(describe('x.disk.yaml', text.toString('latin1'))).catch((error: unknown) => expect(error).toBeInstanceOf(TenonError))
  }
})

async function writeAndRead(graph: DiskGraph): Promise<void> {
  const content = new Random(3).bytes(100_000)
  const [{ node }] = await openDisks([{ graph }])
  await node.write(5000, [content])
  await node.close()
  const [again] = await openDisks([{ graph }])
  const found = new Uint8Array(content.length)
  await again.node.read(5000, [found])
  await again.node.close()
  expect(found).toEqual(content)
}

test.each([
  ['mirror', MIRROR, ['a.raw', 'b.raw'], undefined, SIZE], ['tier', TIER, ['fast.raw', 'slow.raw'], undefined, SIZE],
  ['dedup', DEDUP, [], 3 * SIZE, 3 * SIZE], ['stripe', STRIPE, ['s0.raw', 's1.raw'], undefined, 2 * SIZE],
] as const)('a %s is made, used, looked at, checked and converted', async (kind, text, parts, size, expected) => {
  blank(...parts)
  const path = describe('data.disk.yaml', text)
  if (kind === 'stripe') await expect(createDescribed(path)).rejects.toMatchObject({ code: 'DISK_UNSUPPORTED' })
  else expect(await createDescribed(path, { size })).toBe(expected)
  await writeAndRead(path)
  expect(await describeDisk(path)).toMatchObject({ path, format: kind, size: expected, files: expect.arrayContaining(parts.map(at)) as string[] })
  expect(await checkDisk(path, 'none')).toMatchObject({ format: kind, errorCount: 0, size: expected })
  await convertDisk(path, at('copy.raw'), { format: 'raw' })
  const copy = readFileSync(at('copy.raw'))
  expect([copy.length, copy.subarray(5000, 105_000).equals(new Random(3).bytes(100_000))]).toEqual([expected, true])
  copy.fill(5, 0, 4096)
  writeFileSync(at('copy.raw'), copy)
  await expect(convertDisk(at('copy.raw'), path, { format: 'raw' })).rejects.toMatchObject({ code: 'DISK_EXISTS' })
  await convertDisk(at('copy.raw'), path, { format: 'raw', force: true })
  await convertDisk(path, at('second.raw'), { format: 'raw' })
  expect(readFileSync(at('second.raw')).equals(copy)).toBe(true)
})

test('a mirror has all in each part', async () => {
  blank('a.raw', 'b.raw')
  const path = describe('data.disk.yaml', MIRROR)
  await createDescribed(path)
  await writeAndRead(path)
  expect(readFileSync(at('a.raw')).equals(readFileSync(at('b.raw')))).toBe(true)
})

test('no file is opened for writing twice, in one disk or in two', async () => {
  blank('a.raw', 'b.raw')
  const twice = describe('twice.disk.yaml', 'kind: stripe\nnodes: [a.raw, ./a.raw]')
  const once = describe('once.disk.yaml', 'kind: stripe\nnodes: [a.raw, b.raw]')
  const inUse = expect.objectContaining({ code: 'DISK_IN_USE' }) as Error
  await expect(openDisks([{ graph: twice }])).rejects.toEqual(inUse)
  await expect(openDisks([{ graph: once }, { graph: at('b.raw') }])).rejects.toEqual(inUse)
  const [{ node }] = await openDisks([{ graph: once }])
  await expect(checkDisk(once, 'none')).rejects.toEqual(inUse)
  await node.close()
})

test('what has been made is not made again, and what cannot be made leaves nothing', async () => {
  const dedup = describe('d.disk.yaml', DEDUP)
  await expect(createDescribed(dedup)).rejects.toThrow('whose size nothing tells')
  await createDescribed(dedup, { size: SIZE })
  await expect(createDescribed(dedup, { size: SIZE })).rejects.toMatchObject({ code: 'DISK_EXISTS' })
  const mirror = describe('m.disk.yaml', MIRROR)
  blank('a.raw')
  await expect(createDescribed(mirror)).rejects.toMatchObject({ code: 'DISK_NOT_FOUND' })
  blank('b.raw')
  await createDescribed(mirror)
})

test('work on a single file refuses a description, and an image cannot name one', async () => {
  blank('s0.raw', 's1.raw')
  const path = describe('s.disk.yaml', STRIPE)
  for (const work of [
    () => resizeDisk(path, { to: SIZE }), () => compactDisk(path), () => checkDisk(path, 'all'), () => describeDisk(path, 'raw'),
    () => createDisk(at('over.qcow2'), { format: 'qcow2', backing: path }),
  ]) await expect(work()).rejects.toMatchObject({ code: 'DISK_UNSUPPORTED' })
  expect(readFileSync(path, 'utf8')).toBe(STRIPE)
  blank('backing.raw')
  await createDisk(at('over.qcow2'), { format: 'qcow2', backing: at('backing.raw') })
  const image = readFileSync(at('over.qcow2'))
  image.write('s.disk.yaml', image.indexOf('backing.raw'))
  writeFileSync(at('over.qcow2'), image)
  const [{ node }] = await openDisks([{ graph: { kind: 'file', path: at('over.qcow2'), readOnly: true } }])
  const head = new Uint8Array(4)
  await node.read(0, [head])
  await node.close()
  expect(Buffer.from(head).toString()).toBe('kind')
})
