import { execFileSync, spawnSync } from 'node:child_process'
import { closeSync, ftruncateSync, mkdtempSync, openSync, readFileSync, rmSync, statSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { emptyDirectory } from '../filesystems/tree.ts'
import type { Directory, RegularFile, TreeNode } from '../filesystems/tree.ts'
import { crc32c, CRC_START } from './crc32c.ts'
import { writeExt4 } from './writer.ts'
import type { Ext4Target } from './writer.ts'

const MIB = 1 << 20
const UUID = Uint8Array.from({ length: 16 }, (_, n) => n * 13 + 7)
const TIME = 1_700_000_000
const folder = mkdtempSync(join(tmpdir(), 'tenon-ext4-'))
afterAll(() => rmSync(folder, { recursive: true }))

/** e2fsprogs are the second opinion. */
const hasTools = spawnSync('e2fsck', ['-V']).error === undefined && spawnSync('debugfs', ['-V']).error === undefined
let files = 0

async function written(root: Directory, size: number): Promise<string> {
  const path = join(folder, `${files++}.img`)
  const handle = openSync(path, 'w+')
  ftruncateSync(handle, size)
  const target: Ext4Target = {
    size,
    write(offset, from) {
      for (const bytes of from) offset += writeSync(handle, bytes, 0, bytes.length, offset)
      return Promise.resolve()
    },
  }
  await writeExt4(target, root, { uuid: UUID, label: 'tenon', time: TIME }).finally(() => closeSync(handle))
  return path
}

const common = { permissions: 0o644, uid: 0, gid: 0, modified: TIME }
function file(content: Uint8Array | string, fields: Partial<RegularFile> = {}): RegularFile {
  const bytes = typeof content === 'string' ? new TextEncoder().encode(content) : content
  return { kind: 'file', ...common, size: bytes.length, content: () => [bytes], ...fields }
}

function directory(children: Record<string, TreeNode>, fields: Partial<Directory> = {}): Directory {
  return { ...emptyDirectory(0o755, TIME), children: new Map(Object.entries(children)), ...fields }
}

function check(path: string): void {
  const { status, stdout, stderr } = spawnSync('e2fsck', ['-fn', path], { encoding: 'utf8' })
  expect(status, stdout + stderr).toBe(0)
}

const debugfs = (path: string, command: string): string =>
  execFileSync('debugfs', ['-R', command, path], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })

function contentOf(image: string, name: string): Buffer {
  const out = join(folder, 'dumped')
  debugfs(image, `dump "${name}" ${out}`)
  return readFileSync(out)
}

let seed = 1
const random = (below: number): number => ((seed = Math.imul(seed, 1664525) + 1013904223 >>> 0) >>> 8) % below
const noise = (length: number): Uint8Array => Uint8Array.from({ length }, () => random(256))

it('computes CRC-32C', () => {
  expect((~crc32c(CRC_START, new TextEncoder().encode('123456789'))) >>> 0).toBe(0xe3069283)
})

describe.skipIf(!hasTools)('ext4, seen by e2fsprogs', () => {
  const sizes = [8 * MIB, 9 * MIB + 5000, 128 * MIB, 129 * MIB, 700 * MIB, 10 * 1024 * MIB, 2200 * 1024 * MIB]
  it.each(sizes)('is clean when empty: %i', async (size) => {
    const image = await written(directory({}), size)
    check(image)
    expect(debugfs(image, 'ls /')).toContain('lost+found')
  }, 60_000)

  it('has the files, and all kinds of them', async () => {
    const twice = file('twice')
    const image = await written(directory({
      'hello': file('hello world\n', { permissions: 0o4755, uid: 1000, gid: 70_000 }),
      'one': twice, 'sub': directory({ two: twice, 'naïve ☃': file('') }, { permissions: 0o1777 }),
      'short': { kind: 'symbolic-link', ...common, permissions: 0o777, target: 'hello' },
      'long': { kind: 'symbolic-link', ...common, permissions: 0o777, target: `${'x'.repeat(200)}/${'y'.repeat(100)}` },
      'null': { kind: 'character-device', ...common, major: 1, minor: 3 },
      'disk': { kind: 'block-device', ...common, major: 259, minor: 70_000 },
      'pipe': { kind: 'fifo', ...common }, 'socket': { kind: 'socket', ...common },
    }), 32 * MIB)
    check(image)
    expect(contentOf(image, '/hello').toString()).toBe('hello world\n')
    expect(contentOf(image, '/sub/two').toString()).toBe('twice')
    expect(debugfs(image, 'stat /hello')).toMatch(/Mode: {2}04755.*User: {2}1000 +Group: 70000/s)
    expect(debugfs(image, 'stat /one')).toMatch(/Links: 2/)
    expect(debugfs(image, 'stat /sub')).toMatch(/Mode: {2}01777.*Links: 2/s)
    expect(debugfs(image, 'stat /short')).toMatch(/Fast link dest: "hello"/)
    expect(contentOf(image, '/null').length).toBe(0)
    expect(debugfs(image, 'stat /null')).toMatch(/Type: character special.*number: 01:03/s)
    expect(debugfs(image, 'stat /disk')).toMatch(/number: 259:70000/)
    expect(debugfs(image, 'ls -l /')).toMatch(/lost\+found/)
  })

  it('has extended attributes', async () => {
    const attributes = new Map([
      ['security.capability', Uint8Array.of(1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)],
      ['user.comment', new TextEncoder().encode('three')], ['user.a', new Uint8Array(0)],
    ])
    const image = await written(directory({ ping: file('ping', { attributes }) }), 16 * MIB)
    check(image)
    expect(debugfs(image, 'ea_get /ping user.comment')).toContain('three')
    expect(debugfs(image, 'ea_list /ping')).toMatch(/user\.a \(0\).*user\.comment.*security\.capability \(20\)/s)
  })

  it('holds random trees', async () => {
    const contents = new Map<string, Uint8Array>()
    const tree = (path: string, depth: number): Directory => {
      const children: Record<string, TreeNode> = {}
      for (let n = random(12); n >= 0; n--) {
        const name = `${'n'.repeat(1 + random(random(4) === 0 ? 250 : 20))}${n}`.slice(-255)
        const bytes = noise(random(3) === 0 ? random(300_000) : random(5000))
        if (depth > 0 && random(2) === 0) children[name] = tree(`${path}/${name}`, depth - 1)
        else {
          children[name] = file(bytes)
          contents.set(`${path}/${name}`, bytes)
        }
      }
      return directory(children)
    }
    for (let round = 0; round < 2; round++) {
      contents.clear()
      const image = await written(tree('', 3), 256 * MIB)
      check(image)
      for (const [path, bytes] of [...contents].slice(0, 20)) expect(contentOf(image, path).equals(bytes), path).toBe(true)
    }
  }, 120_000)

  it('holds large directories, and files that span many groups', async () => {
    const many = Object.fromEntries(Array.from({ length: 10_000 }, (_, n) => [`file number ${n}`, file(n % 100 === 0 ? `${n}` : '')]))
    const block = noise(MIB)
    const size = 640 * MIB
    const content = function * (): Iterable<Uint8Array> {
      for (let n = 0; n < 640; n++) yield n % 50 === 0 ? block : new Uint8Array(MIB)
    }
    const big: RegularFile = { kind: 'file', ...common, size, content }
    const image = await written(directory({ many: directory(many), big }), 1024 * MIB)
    check(image)
    expect(contentOf(image, '/many/file number 9900').toString()).toBe('9900')
    expect(statSync(image).blocks * 512).toBeLessThan(200 * MIB)
    expect(debugfs(image, 'stat /big')).toMatch(/\(ETB0\):/)
  }, 120_000)

  it('can be made larger and smaller', async () => {
    const image = await written(directory({ hello: file('hello') }), 200 * MIB)
    execFileSync('truncate', ['-s', '900M', image])
    execFileSync('resize2fs', [image], { stdio: 'ignore' })
    check(image)
    execFileSync('resize2fs', [image, '100M'], { stdio: 'ignore' })
    check(image)
    expect(contentOf(image, '/hello').toString()).toBe('hello')
  }, 60_000)
})

describe('ext4', () => {
  it('is the same each time', async () => {
    const make = (): Promise<string> => written(directory({ a: file('a'), b: directory({ c: file(noise(10)) }) }), 16 * MIB)
    seed = 5
    const first = readFileSync(await make())
    seed = 5
    expect(readFileSync(await make()).equals(first)).toBe(true)
  })

  it('says what does not fit', async () => {
    const refused = async (root: Directory, size: number, code: string, message: RegExp): Promise<void> => {
      await expect(written(root, size)).rejects.toMatchObject({ code, message: expect.stringMatching(message) as string })
    }
    await refused(directory({}), MIB, 'FILESYSTEM_TOO_SMALL', /8388608 bytes at least/)
    await refused(directory({ big: file(new Uint8Array(20 * MIB)) }), 16 * MIB, 'FILESYSTEM_TOO_SMALL', /make it larger/)
    await refused(directory({ ['x'.repeat(256)]: file('') }), 16 * MIB, 'FILE_UNFIT', /no name that ext4 can have/)
    await refused(directory({ 'a/b': file('') }), 16 * MIB, 'FILE_UNFIT', /"a\/b" in \//)
    await refused(directory({ short: file('abc', { size: 5 }) }), 16 * MIB, 'FILE_UNFIT', /\/short should have 5 bytes, and has 3/)
    await refused(directory({ long: file('abc', { size: 2 }) }), 16 * MIB, 'FILE_UNFIT', /more: it changed/)
    const same = directory({})
    await refused(directory({ a: same, b: same }), 16 * MIB, 'FILE_UNFIT', /a directory has one name/)
  })
})
