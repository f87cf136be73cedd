import { mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { readSnapshotFile, writeSnapshotFile } from './snapshot-file.ts'

let folder: string
beforeEach(() => { folder = mkdtempSync(join(tmpdir(), 'tenon-snapshot-')) })
afterEach(() => rmSync(folder, { recursive: true }))

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const withCode = (code: string): Error => expect.objectContaining({ name: 'TenonError', code }) as Error

test('pieces become a file, and come back', () => {
  const path = join(folder, 'one')
  const large = new Uint8Array(3_000_000).map((_, index) => index)
  writeSnapshotFile(path, [bytes('TENONVM\n'), large, bytes('end')])
  expect(Buffer.concat([...readSnapshotFile(path)].map(piece => piece.slice())).length).toBe(3_000_011)
  expect(Buffer.compare(readFileSync(path).subarray(8, 3_000_008), large)).toBe(0)
  expect(readdirSync(folder)).toEqual(['one'])
  if (process.platform !== 'win32') expect(statSync(path).mode & 0o777).toBe(0o600)
})

test('a snapshot is replaced, when the new one is whole; another file is not', () => {
  const path = join(folder, 'one')
  writeSnapshotFile(path, [bytes('TENONVM\nold')])
  const failing = function* (): Generator<Uint8Array> {
    yield bytes('TENONVM\nnew')
    throw new Error('half way')
  }
  expect(() => writeSnapshotFile(path, failing())).toThrow('half way')
  expect([readFileSync(path, 'utf8'), readdirSync(folder)]).toEqual(['TENONVM\nold', ['one']])
  writeSnapshotFile(path, [bytes('TENONVM\nnew')])
  expect(readFileSync(path, 'utf8')).toBe('TENONVM\nnew')
  writeFileSync(join(folder, 'letter'), 'dear friend')
  expect(() => writeSnapshotFile(join(folder, 'letter'), [bytes('TENONVM\n')])).toThrow(withCode('SNAPSHOT_UNWRITABLE'))
  expect(readFileSync(join(folder, 'letter'), 'utf8')).toBe('dear friend')
})

test('what cannot be is said', () => {
  expect(() => writeSnapshotFile(join(folder, 'no', 'one'), [])).toThrow(withCode('SNAPSHOT_UNWRITABLE'))
  expect(() => writeSnapshotFile(folder, [])).toThrow(withCode('SNAPSHOT_UNWRITABLE'))
  expect(() => [...readSnapshotFile(join(folder, 'none'))]).toThrow(withCode('SNAPSHOT_UNREADABLE'))
  expect(() => [...readSnapshotFile(folder)]).toThrow(withCode('SNAPSHOT_UNREADABLE'))
})
