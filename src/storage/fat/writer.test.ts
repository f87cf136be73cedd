import { execFileSync, spawnSync } from 'node:child_process'
import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { Random } from '../../base/testing/random.ts'
import { emptyDirectory } from '../filesystems/tree.ts'
import type { Directory, RegularFile, TreeNode } from '../filesystems/tree.ts'
import { MemoryNode } from '../nodes/memory.ts'
import { writeFat } from './writer.ts'
import type { FatOptions } from './writer.ts'

const MIB = 1 << 20
const TIME = 1_700_000_000
const OPTIONS: FatOptions = { label: 'CIDATA', serial: 0x1234abcd, time: TIME }
const folder = mkdtempSync(join(tmpdir(), 'tenon-fat-'))
afterAll(() => rmSync(folder, { recursive: true }))

/** dosfstools, util-linux and mtools are the second opinions. */
const has = (name: string, option: string): boolean => spawnSync(name, [option]).error === undefined
const [hasFsck, hasBlkid, hasMtools] = [has('fsck.fat', '--help'), has('blkid', '-V'), has('mcopy', '-V')]
let images = 0

const common = { permissions: 0o644, uid: 0, gid: 0, modified: TIME }
function file(content: Uint8Array | string, fields: Partial<RegularFile> = {}): RegularFile {
  const bytes = typeof content === 'string' ? new TextEncoder().encode(content) : content
  return { kind: 'file', ...common, size: bytes.length, content: () => [bytes], ...fields }
}

function directory(children: Record<string, TreeNode>): Directory {
  return { ...emptyDirectory(0o755, TIME), children: new Map(Object.entries(children)) }
}

async function bytesOf(root: Directory, size: number, options = OPTIONS): Promise<Uint8Array> {
  const node = new MemoryNode({ size })
  await writeFat(node, root, options)
  const bytes = new Uint8Array(size)
  await node.read(0, [bytes])
  return bytes
}

async function saved(root: Directory, size: number): Promise<string> {
  const path = join(folder, `${images++}.img`)
  const handle = openSync(path, 'w')
  ftruncateSync(handle, size)
  const write: MemoryNode['write'] = async (offset, from) => {
    for (const bytes of from) offset += writeSync(handle, bytes, 0, bytes.length, offset)
  }
  await writeFat({ size, write }, root, OPTIONS).finally(() => closeSync(handle))
  return path
}

function check(path: string): string {
  const { status, stdout, stderr } = spawnSync('fsck.fat', ['-n', '-v', path], { encoding: 'utf8' })
  expect(status, stdout + stderr).toBe(0)
  expect(stdout).not.toMatch(/error|wrong|bad|invalid|differ/i)
  return stdout
}

/** A tree of files with names that need long entries, and some that do not; content by path. */
function randomTree(random: Random, path: string, depth: number, contents: Map<string, Uint8Array>): Directory {
  const children: Record<string, TreeNode> = {}
  for (let n = random.below(30); n >= 0; n--) {
    const long = `${'x'.repeat(random.below(240) + 1)}${n}`
    const name = random.pick([`FILE${n}.TXT`, `a name of some length ${n}.tar.gz`, `näme ☃ ${n}`, `disk 💾 ${n}`, long])
    if (Object.keys(children).some(other => other.toUpperCase() === name.toUpperCase())) continue
    if (depth > 0 && random.below(3) === 0) children[name] = randomTree(random, `${path}/${name}`, depth - 1, contents)
    else {
      const bytes = random.bytes(random.pick([0, 1, 511, 512, 513, random.below(30_000)]))
      contents.set(`${path}/${name}`, bytes)
      children[name] = file(bytes)
    }
  }
  return directory(children)
}

describe.skipIf(!hasFsck)('a FAT volume, seen by fsck.fat', () => {
  it.each([
    [64 << 10, 12], [1.44 * 1000 * 1024, 12], [2 * MIB, 12], [2.02 * MIB, 12], [2.1 * MIB, 16], [4 * MIB, 16],
    [33 * MIB, 16], [600 * MIB, 16],
  ])('is clean when empty: %i bytes', async (size, bits) => {
    const path = await saved(directory({}), Math.floor(size / 512) * 512)
    // The root counts as a file.
    const said = check(path)
    expect(said).toContain(' 1 files')
    expect(said).toContain(`${bits} bit entries`)
  })

  it('is clean with random trees', async () => {
    const random = new Random(3)
    for (let round = 0; round < 4; round++) {
      const contents = new Map<string, Uint8Array>()
      const path = await saved(randomTree(random, '', 2, contents), random.pick([12, 40]) * MIB)
      expect(check(path)).toMatch(/\d+ files, \d+\/\d+ clusters/)
      if (hasMtools) expectContents(path, contents)
    }
  }, 30_000)

  it('has directories of many clusters', async () => {
    const many = directory(Object.fromEntries(Array.from({ length: 3000 }, (_, n) => [`a file that is number ${n}`, file(`${n}`)])))
    expect(check(await saved(directory({ many }), 40 * MIB))).toMatch(/3002 files/)
    expect(check(await saved(many, 40 * MIB))).toMatch(/3001 files/)
  })
})

/** mcopy takes some of the files out; it does not know characters beyond 16 bits. */
function expectContents(image: string, contents: ReadonlyMap<string, Uint8Array>): void {
  for (const [path, bytes] of [...contents].filter(([path]) => !path.includes('💾')).slice(0, 12)) {
    const environment = { ...process.env, MTOOLS_SKIP_CHECK: '1', LC_ALL: 'C.UTF-8' }
    const found = execFileSync('mcopy', ['-i', image, `::${path}`, '-'], { env: environment, maxBuffer: 1 << 26 })
    expect(found.equals(bytes), path).toBe(true)
  }
}

it.skipIf(!hasBlkid)('is vfat with its label to blkid', async () => {
  const path = await saved(directory({ 'user-data': file('#cloud-config\n'), 'meta-data': file('') }), 4 * MIB)
  const found = execFileSync('blkid', ['-p', '-o', 'export', path], { encoding: 'utf8' })
  for (const line of ['LABEL=CIDATA', 'TYPE=vfat', 'UUID=1234-ABCD', 'VERSION=FAT16']) expect(found.split('\n')).toContain(line)
})

describe('a FAT volume', () => {
  it('is the same each time', async () => {
    const make = (): Promise<Uint8Array> => bytesOf(randomTree(new Random(4), '', 1, new Map()), 4 * MIB)
    expect(Buffer.compare(await make(), await make())).toBe(0)
  })

  it('says what it cannot hold', async () => {
    const refused = (root: Directory, code: string, message: RegExp, size = 4 * MIB, options = OPTIONS): Promise<void> =>
      expect(bytesOf(root, size, options)).rejects.toMatchObject({ code, message: expect.stringMatching(message) as string })
    await refused(directory({ link: { kind: 'symbolic-link', ...common, target: 'x' } }), 'FILE_UNFIT', /\/link: it is a symbolic-link/)
    await refused(directory({ big: file('', { size: 2 ** 32 }) }), 'FILE_UNFIT', /\/big: it has 4294967296 bytes/)
    await refused(directory({ a: directory({ 'b:c': file('') }) }), 'FILE_UNFIT', /"b:c" in \/a is no name/)
    await refused(directory({ 'end.': file('') }), 'FILE_UNFIT', /"end\." in \/ is no name/)
    await refused(directory({ readme: file(''), README: file('') }), 'FILE_UNFIT', /"readme" and "README" in \/ are the same/)
    await refused(directory({ short: file('abc', { size: 5 }) }), 'FILE_UNFIT', /\/short should have 5 bytes, and has 3/)
    await refused(directory({ long: file('abc', { size: 2 }) }), 'FILE_UNFIT', /\/long should have 2 bytes, and has more/)
    await refused(directory({ big: file(new Uint8Array(5 * MIB)) }), 'FILESYSTEM_TOO_SMALL', /do not fit .* more are needed/)
    await refused(directory({}), 'FILESYSTEM_TOO_SMALL', /as small as 16384 bytes/, 16384)
    await refused(directory({}), 'DISK_UNSUPPORTED', /smaller than 2 GiB/, 4096 * MIB)
    await refused(directory({}), 'FILE_UNFIT', /"cidata" is no label/, 4 * MIB, { ...OPTIONS, label: 'cidata' })
    const same = file('x')
    await refused(directory({ a: same, b: same }), 'FILE_UNFIT', /\/b: it has another name already/)
    const loop = directory({})
    loop.children.set('loop', loop)
    await refused(loop, 'FILE_UNFIT', /another name already/)
  })
})
