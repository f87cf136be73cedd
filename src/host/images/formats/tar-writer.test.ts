import { spawnSync } from 'node:child_process'
import { expect, test } from 'vitest'
import { contentOf } from '../tree/content.ts'
import { listTree } from '../tree/entries.ts'
import { FileTree, makeDirectory, ROOT_OWNED } from '../tree/file-tree.ts'
import { readTar } from './tar.ts'
import type { TarEntry } from './tar.ts'
import { writeTar } from './tar-writer.ts'

const hasTar = spawnSync('tar', ['--version'], { encoding: 'utf8' }).stdout?.includes('GNU tar') ?? false
const long = `${'directory-'.repeat(12)}/${'file-'.repeat(30)}é`

function exampleTree(): FileTree {
  const tree = new FileTree()
  const attributes = { permissions: 0o4755, uid: 12, gid: 65534, modified: 1_700_000_000 }
  const node = { ...attributes, kind: 'file', content: contentOf('x'.repeat(1000)) } as const
  tree.put('d', makeDirectory({ ...attributes, permissions: 0o1777 }))
  tree.put('d/file', node)
  tree.put('d/second', node)
  tree.put(long, { ...attributes, kind: 'file', content: contentOf('long') })
  tree.put('s', { ...ROOT_OWNED, permissions: 0o777, kind: 'symlink', target: long })
  tree.put('n', { ...ROOT_OWNED, kind: 'character-device', device: { major: 1, minor: 259 } })
  tree.put('p', { ...ROOT_OWNED, kind: 'fifo' })
  return tree
}

async function written(): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of writeTar(listTree(exampleTree()))) chunks.push(chunk)
  return Buffer.concat(chunks)
}

test('our own reader reads what was written', async () => {
  async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
    yield bytes
  }
  const entries: TarEntry[] = []
  for await (const entry of readTar(once(await written()), 'x', () => true)) entries.push(entry)
  const found = (path: string): TarEntry => entries.find(entry => entry.path === path)!
  expect(found('d')).toMatchObject({ type: 'directory', permissions: 0o1777, uid: 12, gid: 65534, modified: 1_700_000_000 })
  expect(found('d/file')).toMatchObject({ type: 'file', permissions: 0o4755, data: { length: 1000 } })
  expect(found('d/second')).toMatchObject({ type: 'hardlink', linkTarget: './d/file' })
  expect(Buffer.from(found(long).data).toString()).toBe('long')
  expect(found('s')).toMatchObject({ type: 'symlink', linkTarget: long })
  expect(found('n')).toMatchObject({ type: 'character-device', device: { major: 1, minor: 259 } })
  expect(found('p').type).toBe('fifo')
})

test.skipIf(!hasTar)('GNU tar lists the same', async () => {
  const { stdout, stderr, status } = spawnSync('tar', ['-tv', '--numeric-owner', '--utc'], { input: await written(), encoding: 'utf8', env: { ...process.env, LC_ALL: 'C.UTF-8' } })
  expect([status, stderr]).toEqual([0, ''])
  const lines = stdout.trim().split('\n').map(line => line.replace(/\s+/g, ' '))
  expect(lines).toContain('drwxrwxrwt 12/65534 0 2023-11-14 22:13 ./d/')
  expect(lines).toContain('-rwsr-xr-x 12/65534 1000 2023-11-14 22:13 ./d/file')
  expect(lines).toContain('hrwsr-xr-x 12/65534 0 2023-11-14 22:13 ./d/second link to ./d/file')
  expect(lines).toContain(`lrwxrwxrwx 0/0 0 1970-01-01 00:00 ./s -> ${long}`)
  expect(lines).toContain('crwxr-xr-x 0/0 1,259 1970-01-01 00:00 ./n')
  expect(lines).toContain('prwxr-xr-x 0/0 0 1970-01-01 00:00 ./p')
})
