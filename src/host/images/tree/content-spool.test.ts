import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { randomOf } from '../testing/random.ts'
import { readContent } from './content.ts'
import { ContentSpool } from './content-spool.ts'

let folder: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tenon-spool-'))
})

afterEach(() => {
  rmSync(folder, { recursive: true })
})

test('gives back what it was given, small and large, in any order, and is gone at the end', async () => {
  const random = randomOf(2)
  const spool = await ContentSpool.open(join(folder, 'x'), 1024 ** 3)
  const sizes = [0, 1, 128, 129, 5_000_000, 4 * 1024 ** 2, 1_000_001, 77, 3_999_999, 200]
  const data = sizes.map(size => new Uint8Array(size).fill(1 + random(255)))
  const contents = []
  for (const each of data) {
    const given = each.slice()
    contents.push(await spool.add(given))
    given.fill(0)
  }
  for (const index of [9, 0, 4, 1, 8, 2, 5, 3, 7, 6]) expect(Buffer.compare(await readContent(contents[index]), data[index]), `${index}`).toBe(0)
  const later = await spool.add(new Uint8Array(300).fill(9))
  expect((await readContent(later)).every(byte => byte === 9)).toBe(true)
  await spool.close()
  expect(existsSync(join(folder, 'x'))).toBe(false)
})

test('has a limit, and needs a folder', async () => {
  const spool = await ContentSpool.open(join(folder, 'x'), 1000)
  await spool.add(new Uint8Array(600))
  await expect(spool.add(new Uint8Array(600))).rejects.toEqual(expect.objectContaining({ code: 'IMAGE_TOO_LARGE' }))
  await spool.close()
  await expect(ContentSpool.open(join(folder, 'no', 'x'), 1)).rejects.toEqual(expect.objectContaining({ code: 'CACHE_UNUSABLE' }))
})
