import { expect, test } from 'vitest'
import { makeTar } from '../testing/fake-archive.ts'
import { readTar } from './tar.ts'
import type { TarEntry } from './tar.ts'

const invalid = expect.objectContaining({ code: 'ARCHIVE_FORMAT_INVALID' })

async function* inPieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

async function read(bytes: Uint8Array, piece = 1000, wanted: (path: string) => boolean = () => true): Promise<TarEntry[]> {
  const entries: TarEntry[] = []
  for await (const entry of readTar(inPieces(bytes, piece), 'x', wanted)) entries.push(entry)
  return entries
}

const long = `${'directory/'.repeat(30)}file`
const tar = makeTar([
  { path: './', type: '5' },
  { path: './a/b', data: Buffer.from('B'.repeat(1500)) },
  { path: 'link', type: '2', linkTarget: 'a/b' },
  { path: '././@LongLink', type: 'L', data: Buffer.from(`./${long}\0`) },
  { path: 'shortened', data: Buffer.from('gnu') },
  { path: 'PaxHeaders/x', type: 'x', data: Buffer.from(`${'20 path=named/by/pax'.length + 1} path=named/by/pax\n`) },
  { path: 'shortened', data: Buffer.from('pax') },
])

test.each([1, 7, 512, 100_000])('gives the entries of a stream in pieces of %i bytes', async piece => {
  const entries = await read(tar, piece)
  expect(entries.map(({ path, type, linkTarget, data }) => [path, type, linkTarget, data.length])).toEqual([
    ['', 'directory', '', 0], ['a/b', 'file', '', 1500], ['link', 'symlink', 'a/b', 0], [long, 'file', '', 3], ['named/by/pax', 'file', '', 3],
  ])
})

test('gives only what is wanted', async () => {
  const entries = await read(tar, 300, path => path === long)
  expect(entries.map(({ data }) => Buffer.from(data).toString())).toEqual(['gnu'])
})

test('rejects paths that climb', async () => {
  await expect(read(makeTar([{ path: 'a/../../etc/passwd' }]))).rejects.toEqual(invalid)
})

test('rejects a truncated file and a damaged header', async () => {
  await expect(read(tar.subarray(0, 2000))).rejects.toEqual(invalid)
  const damaged = tar.slice()
  damaged[513] ^= 1
  await expect(read(damaged)).rejects.toEqual(invalid)
})

test('lets go of its stream when it is left early', async () => {
  let isClosed = false
  async function* watched(): AsyncGenerator<Uint8Array> {
    try {
      yield* inPieces(tar, 100)
    } finally {
      isClosed = true
    }
  }
  for await (const entry of readTar(watched(), 'x', () => true)) {
    expect(entry.path).toBe('')
    break
  }
  expect(isClosed).toBe(true)
})
