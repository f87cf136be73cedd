import { expect, test } from 'vitest'
import { randomOf } from '../testing/random.ts'
import { readContent } from '../tree/content.ts'
import { listTree } from '../tree/entries.ts'
import type { FileTree } from '../tree/file-tree.ts'
import { debOf, unpackAll } from './testing/unpacked.ts'
import type { TestPackage } from './testing/unpacked.ts'

const withCode = (code: string): unknown => expect.objectContaining({ code })
const file = (path: string, text = path): { path: string, data: Uint8Array } => ({ path, data: Buffer.from(text) })
const directory = (path: string, mode = 0o755): { path: string, type: string, mode: number } => ({ path, type: '5', mode })

async function textAt(tree: FileTree, path: string): Promise<string> {
  const node = tree.find(path)
  return node?.kind === 'file' ? Buffer.from(await readContent(node.content)).toString() : `${node?.kind}`
}

test('keeps owners, modes, times, links and devices', async () => {
  const { tree, unpacked } = await unpackAll([{
    name: 'a',
    files: [
      directory('./'), directory('./opt/', 0o2775), { ...file('./opt/x'), mode: 0o4755, uid: 1, gid: 42, modified: 1_600_000_000 },
      { path: './opt/hard', type: '1', linkTarget: './opt/x' }, { path: './opt/soft', type: '2', linkTarget: 'x' }, { path: './opt/pipe', type: '6' },
    ],
  }])
  const attributes = { permissions: 0o4755, uid: 1, gid: 42, modified: 1_600_000_000 }
  expect([...listTree(tree)].filter(({ path }) => path.startsWith('opt'))).toMatchObject([
    { path: 'opt', permissions: 0o2775 }, { path: 'opt/hard', kind: 'file', ...attributes }, { path: 'opt/pipe', kind: 'fifo' },
    { path: 'opt/soft', kind: 'symlink', target: 'x' }, { path: 'opt/x', kind: 'hardlink', target: 'opt/hard', ...attributes },
  ])
  expect([...unpacked[0].paths]).toEqual(['/.', '/opt', '/opt/x', '/opt/hard', '/opt/soft', '/opt/pipe'])
})

test('unpacks into the directories of /usr that took over those of the root', async () => {
  const { tree, unpacked } = await unpackAll([{ name: 'a', files: [directory('./bin/'), file('./bin/ls'), directory('./lib64/'), file('./lib64/ld.so')] }])
  expect([await textAt(tree, 'usr/bin/ls'), tree.find('bin')!.kind, await textAt(tree, 'usr/lib64/ld.so')]).toEqual(['./bin/ls', 'symlink', './lib64/ld.so'])
  expect([...unpacked[0].paths]).toContain('/bin/ls')
})

test('the first package that has a directory says what it is', async () => {
  const { tree } = await unpackAll([
    { name: 'a', files: [file('./var/x/y')] }, { name: 'b', files: [directory('./var/', 0o700)] }, { name: 'c', files: [directory('./var/', 0o777)] },
  ])
  expect(tree.find('var')!.permissions).toBe(0o700)
})

test('a link to a directory does not replace one, a directory does not replace a link to one', async () => {
  const { tree } = await unpackAll([
    { name: 'a', files: [directory('./doc/'), file('./doc/x'), { path: './link', type: '2', linkTarget: 'doc' }] },
    { name: 'b', files: [{ path: './doc', type: '2', linkTarget: 'elsewhere' }, directory('./link/'), file('./link/y')] },
  ])
  expect([tree.find('doc')!.kind, tree.find('link')!.kind, await textAt(tree, 'doc/y')]).toEqual(['directory', 'symlink', './link/y'])
})

test('a file of two packages belongs to the one that replaces the other, in either order', async () => {
  const a: TestPackage = { name: 'a', files: [file('./bin/x', 'of a')] }
  const b: TestPackage = { name: 'b', fields: ['Replaces: a (<< 2)'], files: [file('./usr/bin/x', 'of b')] }
  for (const packages of [[a, b], [b, a]]) {
    const { tree, unpacked } = await unpackAll(packages)
    expect(await textAt(tree, 'bin/x')).toBe('of b')
    const paths = Object.fromEntries(unpacked.map(each => [each.package.name, [...each.paths]]))
    expect(paths).toEqual({ a: [], b: ['/usr/bin/x'] })
  }
  await expect(unpackAll([a, { ...b, fields: ['Replaces: a (<< 1)'] }])).rejects.toEqual(withCode('IMAGE_FILES_CONFLICT'))
  await expect(unpackAll([a, { ...b, fields: [] }])).rejects.toEqual(withCode('IMAGE_FILES_CONFLICT'))
})

test.each([
  ['a file for a directory', [directory('./d/'), file('./d/x'), file('./d')], 'IMAGE_FILES_CONFLICT'],
  ['a directory for a file', [file('./d'), directory('./d/')], 'IMAGE_FILES_CONFLICT'],
  ['a path that climbs', [file('./a/../../x')], 'ARCHIVE_FORMAT_INVALID'],
  ['a hard link to nothing', [{ path: './h', type: '1', linkTarget: './none' }], 'ARCHIVE_FORMAT_INVALID'],
  ['a hard link to a directory', [directory('./d/'), { path: './h', type: '1', linkTarget: './d' }], 'ARCHIVE_FORMAT_INVALID'],
  ['a link to nothing', [{ path: './s', type: '2' }], 'ARCHIVE_FORMAT_INVALID'],
  ['a cycle of links', [{ path: './s', type: '2', linkTarget: 's' }, file('./s/x')], 'IMAGE_TREE_INVALID'],
  ['a kind that there is not', [{ path: './s', type: 'Z' }], 'ARCHIVE_FORMAT_INVALID'],
])('rejects %s', async (_, files, code) => {
  await expect(unpackAll([{ name: 'a', files }])).rejects.toEqual(withCode(code))
})

test('what leads out of the tree stays in it', async () => {
  const { tree } = await unpackAll([{
    name: 'a',
    files: [{ path: './out', type: '2', linkTarget: '../../../../etc' }, { path: './root', type: '2', linkTarget: '/' }, file('./out/passwd'), file('./root/x')],
  }])
  expect([await textAt(tree, 'etc/passwd'), await textAt(tree, 'x')]).toEqual(['./out/passwd', './root/x'])
})

test('rejects information that could be a path, and none', async () => {
  await expect(unpackAll([{ name: 'a', information: { 'sub/file': 'x' } }])).rejects.toEqual(withCode('ARCHIVE_FORMAT_INVALID'))
  await expect(unpackAll([{ name: 'a', information: { 'UPPER': 'x' } }])).rejects.toEqual(withCode('ARCHIVE_FORMAT_INVALID'))
})

test('random damage to a package gives an error of ours, or a tree', async () => {
  const random = randomOf(11)
  const good = debOf({ name: 'a', files: [directory('./d/'), file('./d/x', 'x'.repeat(600)), { path: './s', type: '2', linkTarget: 'd' }] })
  const { Unpacker } = await import('./unpack.ts')
  const { catalogueOf } = await import('./testing/catalogue.ts')
  const { FileTree } = await import('../tree/file-tree.ts')
  const { contentOf } = await import('../tree/content.ts')
  const each = (await catalogueOf('a 1')).find('a')!
  for (let round = 0; round < 150; round++) {
    const bad = good.slice(0, random(3) === 0 ? random(good.length) : good.length)
    for (let count = random(4); count >= 0 && bad.length > 0; count--) bad[random(bad.length)] = random(256)
    const spool = { add: async (data: Uint8Array) => contentOf(data) }
    await new Unpacker(new FileTree(), spool as never).unpack(each, bad).catch((error: unknown) => {
      expect(error).toEqual(expect.objectContaining({ code: expect.stringMatching(/^(ARCHIVE|IMAGE)_/) as string }))
    })
  }
})
