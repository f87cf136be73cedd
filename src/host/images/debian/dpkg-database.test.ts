import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { writeTar } from '../formats/tar-writer.ts'
import { readContent } from '../tree/content.ts'
import { listTree } from '../tree/entries.ts'
import type { FileTree } from '../tree/file-tree.ts'
import { writeDpkgDatabase } from './dpkg-database.ts'
import { unpackAll } from './testing/unpacked.ts'
import type { TestPackage } from './testing/unpacked.ts'

const canRunDpkg = spawnSync('dpkg', ['--version']).status === 0 && spawnSync('tar', ['--version']).status === 0 && process.getuid?.() === 0

const packages: TestPackage[] = [
  {
    name: 'editor', fields: ['Depends: libfoo'],
    files: [
      { path: './', type: '5' }, { path: './etc/', type: '5', mode: 0o755 }, { path: './etc/editorrc', data: Buffer.from('settings') },
      { path: './usr/', type: '5', mode: 0o755 }, { path: './usr/bin/', type: '5', mode: 0o755 }, { path: './usr/bin/editor', data: Buffer.from('program'), mode: 0o755 },
    ],
    information: { conffiles: '/etc/editorrc\n', postinst: '#!/bin/sh\nexit 0\n', triggers: '# none\ninterest-noawait /usr/share/editor\ninterest editor-update\n' },
  },
  {
    name: 'libfoo', fields: ['Multi-Arch: same'],
    files: [{ path: './usr/', type: '5', mode: 0o755 }, { path: './usr/lib/', type: '5', mode: 0o755 }, { path: './usr/lib/libfoo.so', data: Buffer.from('library') }],
    information: { triggers: 'interest /usr/lib/foo\n' },
  },
]

async function database(): Promise<FileTree> {
  const { tree, unpacked } = await unpackAll(packages)
  writeDpkgDatabase(tree, unpacked, 0)
  return tree
}

async function textAt(tree: FileTree, path: string): Promise<string> {
  const node = tree.find(`var/lib/dpkg/${path}`)
  return node?.kind === 'file' ? Buffer.from(await readContent(node.content)).toString() : `${node?.kind}`
}

test('writes what dpkg would have written', async () => {
  const tree = await database()
  const md5 = createHash('md5').update('settings').digest('hex')
  expect(await textAt(tree, 'status')).toMatch(new RegExp(`^Package: editor\\nStatus: install ok unpacked\\n[^]*\\n of a test\\nConffiles:\\n /etc/editorrc ${md5}\\n\\nPackage: libfoo\\n`))
  expect(await textAt(tree, 'info/editor.list')).toBe('/.\n/etc\n/etc/editorrc\n/usr\n/usr/bin\n/usr/bin/editor\n')
  expect(await textAt(tree, 'info/editor.md5sums')).toBe(`${createHash('md5').update('program').digest('hex')}  usr/bin/editor\n`)
  expect(await textAt(tree, 'info/libfoo:amd64.list')).toContain('/usr/lib/libfoo.so\n')
  expect(await textAt(tree, 'triggers/File')).toBe('/usr/share/editor editor/noawait\n/usr/lib/foo libfoo:amd64\n')
  expect(await textAt(tree, 'triggers/editor-update')).toBe('editor\n')
  expect(tree.find('var/lib/dpkg/info/editor.postinst')!.permissions).toBe(0o755)
})

test('a package that calls itself otherwise than the index is an error', async () => {
  const { tree, unpacked } = await unpackAll([packages[0]])
  const lying = { ...unpacked[0], control: unpacked[0].control.replace('editor', 'other') }
  expect(() => writeDpkgDatabase(tree, [lying], 0)).toThrow(expect.objectContaining({ code: 'ARCHIVE_FORMAT_INVALID' }))
})

let folder: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tenon-dpkg-'))
})

afterEach(() => {
  rmSync(folder, { recursive: true })
})

function dpkg(...words: string[]): string {
  const { stdout, stderr, status } = spawnSync(words[0], [`--root=${folder}`, ...words.slice(1)], { encoding: 'utf8', env: { ...process.env, LC_ALL: 'C' } })
  return `${status} ${stdout}${stderr}`
}

/** dpkg changes its root to the folder, so that only a package without scripts can be configured there. */
test.skipIf(!canRunDpkg)('dpkg takes it for its own: lists, verifies and configures the packages', async () => {
  const chunks: Uint8Array[] = []
  for await (const chunk of writeTar(listTree(await database()))) chunks.push(chunk)
  expect(spawnSync('tar', ['-x', '-p', '--numeric-owner', '-C', folder], { input: Buffer.concat(chunks) }).status).toBe(0)
  expect(dpkg('dpkg-query', '-W', '-f', '${binary:Package} ${db:Status-Abbrev} ${Conffiles}\\n')).toMatch(/^0 editor iU  +\/etc\/editorrc [0-9a-f]{32}\nlibfoo:amd64 iU/)
  expect(dpkg('dpkg-query', '-S', '/usr/lib/libfoo.so')).toBe('0 libfoo:amd64: /usr/lib/libfoo.so\n')
  expect(dpkg('dpkg', '--verify')).toBe('0 ')
  expect(dpkg('dpkg', '--audit')).toMatch(/unpacked but not yet configured/)
  expect(dpkg('dpkg', '--configure', 'libfoo')).toMatch(/^0 Setting up libfoo/)
  expect(dpkg('dpkg-query', '-W', '-f', '${db:Status-Abbrev}', 'libfoo')).toMatch(/^0 ii/)
})
