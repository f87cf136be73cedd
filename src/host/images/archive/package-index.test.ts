import { expect, test } from 'vitest'
import { dependencyNames, PackageIndex } from './package-index.ts'

const sha256 = '0f'.repeat(32)

function stanza(name: string, version: string, filename = `pool/${name}.deb`): string {
  return `Package: ${name}\nVersion: ${version}\nDescription: a\n thing\nFilename: ${filename}\nSize: 12\nSHA256: ${sha256}\n`
}

async function read(text: string, piece = 17): Promise<PackageIndex> {
  async function* pieces(): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < text.length; at += piece) yield Buffer.from(text.slice(at, at + piece))
  }
  return PackageIndex.read(pieces(), name => name.startsWith('b'))
}

test('finds packages, the last of several versions, and only those that are wanted', async () => {
  const index = await read([stanza('aa', '1'), stanza('bb', '1'), stanza('bb', '2'), stanza('bc', '3')].join('\n'))
  expect(index.find('bb')).toEqual({ name: 'bb', version: '2', filename: 'pool/bb.deb', size: 12, sha256, depends: '' })
  expect(index.find('bc').version).toBe('3')
  expect(() => index.find('aa')).toThrow(expect.objectContaining({ code: 'ARCHIVE_PACKAGE_MISSING' }))
})

test.each([
  ['a file outside the mirror', stanza('bb', '1', '../../etc/passwd')],
  ['an absolute file', stanza('bb', '1', '/etc/passwd')],
  ['no version', stanza('bb', '')],
  ['no digest', stanza('bb', '1').replace(sha256, 'ff')],
])('rejects a package with %s', async (_, text) => {
  const index = await read(text)
  expect(() => index.find('bb')).toThrow(expect.objectContaining({ code: 'ARCHIVE_FORMAT_INVALID' }))
})

test('names dependencies', () => {
  expect(dependencyNames('linux-image-6.1.0-50-cloud-amd64 (= 6.1.176-1), kmod | other, libc6:amd64 (>= 2), ')).toEqual([
    'linux-image-6.1.0-50-cloud-amd64', 'kmod', 'libc6',
  ])
})
