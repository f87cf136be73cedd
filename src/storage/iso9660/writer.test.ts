import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { Random } from '../../base/testing/random.ts'
import { emptyDirectory } from '../filesystems/tree.ts'
import type { Directory, RegularFile, TreeNode } from '../filesystems/tree.ts'
import { encodeShortDate } from './fields.ts'
import { makeSeed } from './seed.ts'
import { layOutIso } from './writer.ts'

const TIME = 1_700_000_000
const folder = mkdtempSync(join(tmpdir(), 'tenon-iso-'))
afterAll(() => rmSync(folder, { recursive: true }))

/** genisoimage's own reader, and util-linux's recogniser. */
const hasIsoinfo = spawnSync('isoinfo', ['-version']).error === undefined
const hasBlkid = spawnSync('blkid', ['-V']).error === undefined
let images = 0

const common = { permissions: 0o644, uid: 0, gid: 0, modified: TIME }
function file(content: Uint8Array | string, fields: Partial<RegularFile> = {}): RegularFile {
  const bytes = typeof content === 'string' ? new TextEncoder().encode(content) : content
  return { kind: 'file', ...common, size: bytes.length, content: () => [bytes], ...fields }
}

function directory(children: Record<string, TreeNode>, fields: Partial<Directory> = {}): Directory {
  return { ...emptyDirectory(0o755, TIME), children: new Map(Object.entries(children)), ...fields }
}

async function bytesOf(root: Directory, label = 'cidata'): Promise<Uint8Array> {
  const volume = layOutIso(root, { label, time: TIME })
  const bytes = new Uint8Array(volume.size)
  await volume.writeTo({
    async write(offset, from) {
      for (const piece of from) {
        bytes.set(piece, offset)
        offset += piece.length
      }
    },
  })
  return bytes
}

function saved(bytes: Uint8Array): string {
  const path = join(folder, `${images++}.iso`)
  writeFileSync(path, bytes)
  return path
}

function isoinfo(path: string, ...options: string[]): string {
  return execFileSync('isoinfo', [...options, '-i', path], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], maxBuffer: 1 << 26 })
}

const contentOf = (path: string, name: string, kind: '-R' | '-J'): Buffer =>
  execFileSync('isoinfo', [kind, '-x', name, '-i', path], { stdio: ['ignore', 'pipe', 'pipe'], maxBuffer: 1 << 26 })

const SEED = { metaData: 'instance-id: i-1\n', userData: '#cloud-config\nhostname: größe\n', networkConfig: 'version: 2\n' }

describe.skipIf(!hasIsoinfo)('an ISO 9660 volume, seen by isoinfo', () => {
  it('has the files of a seed under their names', async () => {
    const path = saved(await makeSeed(SEED, TIME))
    for (const kind of ['-R', '-J'] as const) {
      expect(isoinfo(path, kind, '-f').trim().split('\n').sort()).toEqual(['/meta-data', '/network-config', '/user-data'])
      expect(contentOf(path, '/user-data', kind).toString()).toBe(SEED.userData)
      expect(contentOf(path, '/network-config', kind).toString()).toBe(SEED.networkConfig)
    }
    expect(isoinfo(path, '-f').trim().split('\n').sort()).toEqual(['/META_DAT.;1', '/NETWORK_.;1', '/USER_DAT.;1'])
    const described = isoinfo(path, '-d')
    expect(described).toContain('Volume id: cidata\n')
    expect(described).toContain('Joliet with UCS level 3 found')
    expect(described).toContain('Rock Ridge signatures version 1 found')
    expect(isoinfo(path, '-R', '-l')).toMatch(/-r-------- +1 +0 +0 +\d+ Nov 14 2023 .*user-data/)
  })

  it('has owners, permissions, links and deep directories', async () => {
    const twice = file('twice', { uid: 1000, gid: 70_000, permissions: 0o4755 })
    let deep = directory({ leaf: file('leaf') })
    for (let level = 0; level < 6; level++) deep = directory({ [`level ${level}`]: deep, one: twice })
    const path = saved(await bytesOf(directory({ deep, 'naïve ☃.txt': file('snow'), 'empty': file('') })))
    const listed = isoinfo(path, '-R', '-l')
    // isoinfo has owners in octal, and no set-user-ID.
    expect(listed).toMatch(/-rwxr-xr-x +1 1750 210560 +5 .* one/)
    expect(listed).toContain('Directory listing of /deep/level 5/level 4/level 3/level 2/level 1/level 0/')
    expect(contentOf(path, '/deep/level 5/level 4/level 3/level 2/level 1/level 0/leaf', '-R').toString()).toBe('leaf')
    expect(contentOf(path, '/deep/level 5/one', '-J').toString()).toBe('twice')
    expect(contentOf(path, '/naïve ☃.txt', '-R').toString()).toBe('snow')
    expect(contentOf(path, '/empty', '-R').length).toBe(0)
  })

  it('has directories of many sectors, with names that only differ late', async () => {
    const random = new Random(1)
    const names = Array.from({ length: 1200 }, (_, n) => `a long name that ends in the number ${n}.tar.gz`)
    const contents = new Map(names.map(name => [name, random.bytes(random.below(5000))]))
    const many = directory(Object.fromEntries([...contents].map(([name, bytes]) => [name, file(bytes)])))
    const path = saved(await bytesOf(directory({ many })))
    const expected = ['/many', ...names.map(name => `/many/${name}`)].sort()
    for (const kind of ['-R', '-J']) expect(isoinfo(path, kind, '-f').trim().split('\n').sort()).toEqual(expected)
    const identifiers = isoinfo(path, '-f').trim().split('\n')
    expect(new Set(identifiers).size).toBe(1201)
    expect(identifiers.every(name => /^\/MANY(\/[A-Z0-9_]{1,8}\.[A-Z0-9_]{0,3};1)?$/.test(name))).toBe(true)
    for (const [name, bytes] of [...contents].filter((_, n) => n % 100 === 0)) {
      expect(contentOf(path, `/many/${name}`, '-R').equals(bytes), name).toBe(true)
    }
  })
})

it.skipIf(!hasBlkid)('is iso9660 with its label to blkid', async () => {
  const path = saved(await makeSeed(SEED, TIME))
  const found = execFileSync('blkid', ['-p', '-o', 'export', path], { encoding: 'utf8' })
  expect(found).toMatch(/^LABEL=cidata$/m)
  expect(found).toMatch(/^TYPE=iso9660$/m)
  expect(found).toMatch(/^UUID=2023-11-14-22-13-20-00$/m)
})

describe('an ISO 9660 volume', () => {
  it('is the same each time, and shares the content of a file with two names', async () => {
    const tree = (): Directory => {
      const shared = file(new Uint8Array(100_000).fill(7))
      return directory({ a: shared, b: directory({ c: shared }) })
    }
    const bytes = await bytesOf(tree())
    expect(Buffer.compare(await bytesOf(tree()), bytes)).toBe(0)
    expect(bytes.length).toBeLessThan(170_000)
    expect(bytes.length % 2048).toBe(0)
  })

  it('writes every byte of what it is given, in pieces as they come', async () => {
    const pieces = [new Uint8Array(0), Uint8Array.of(1, 2), new Uint8Array(5000).fill(3)]
    const content = async function * (): AsyncIterable<Uint8Array> { yield * pieces }
    const bytes = await bytesOf(directory({ file: file('', { size: 5002, content }) }))
    expect([...bytes.subarray(-6144, -6144 + 3)]).toEqual([1, 2, 3])
    expect(bytes.indexOf(3, bytes.length - 6144)).toBe(bytes.length - 6144 + 2)
    expect(bytes.lastIndexOf(3)).toBe(bytes.length - 6144 + 5001)
  })

  it('has the nearest date of those that it can have', () => {
    expect([...encodeShortDate(TIME)]).toEqual([123, 11, 14, 22, 13, 20, 0])
    expect([...encodeShortDate(-1e13)]).toEqual([0, 1, 1, 0, 0, 0, 0])
    expect([...encodeShortDate(1e13)]).toEqual([255, 12, 31, 23, 59, 59, 0])
  })

  it('says what it cannot hold', async () => {
    const refused = (root: Directory, message: RegExp, label?: string): Promise<void> =>
      expect(bytesOf(root, label)).rejects.toMatchObject({ code: 'FILE_UNFIT', message: expect.stringMatching(message) as string })
    await refused(directory({ link: { kind: 'symbolic-link', ...common, target: 'x' } }), /\/link: it is a symbolic-link/)
    await refused(directory({ big: file('', { size: 2 ** 32 }) }), /\/big: it has 4294967296 bytes/)
    await refused(directory({ ['x'.repeat(65)]: file('') }), /is no name for an ISO 9660 volume/)
    await refused(directory({ '..': file('') }), /is no name for an ISO 9660 volume/)
    await refused(directory({ short: file('abc', { size: 5 }) }), /\/short should have 5 bytes, and has 3/)
    await refused(directory({ long: file('abc', { size: 2 }) }), /\/long should have 2 bytes, and has more/)
    await refused(directory({}), /is no label/, 'ümlaut')
    const same = directory({})
    await refused(directory({ a: same, b: same }), /\/b: it is a directory that has another name already/)
    const loop = directory({})
    loop.children.set('loop', loop)
    await refused(loop, /another name already/)
    let deep = directory({})
    for (let level = 0; level < 8; level++) deep = directory({ deep })
    await refused(deep, /more than 8 deep/)
  })
})
