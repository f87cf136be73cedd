import { spawnSync } from 'node:child_process'
import { expect, test } from 'vitest'
import { writeCpio } from './cpio.ts'
import type { CpioEntry } from './cpio.ts'

const entries: readonly CpioEntry[] = [
  { path: 'dev', kind: 'directory', permissions: 0o755 },
  { path: 'dev/console', kind: 'character-device', permissions: 0o600, device: { major: 5, minor: 1 } },
  { path: 'init', kind: 'file', permissions: 0o755, data: Buffer.from('#!/bin/sh\n') },
  { path: 'sh', kind: 'symlink', permissions: 0o777, data: Buffer.from('busybox') },
]

/** Reads an archive back, independently: fields are 8 hexadecimal digits from byte 6 on. */
function parse(archive: Uint8Array): { path: string, fields: number[], data: string }[] {
  const text = Buffer.from(archive).toString('latin1')
  const found = []
  for (let at = 0; at < text.length;) {
    expect(text.slice(at, at + 6)).toBe('070701')
    const fields = Array.from({ length: 13 }, (_, index) => parseInt(text.slice(at + 6 + index * 8, at + 14 + index * 8), 16))
    const path = text.slice(at + 110, at + 110 + fields[11] - 1)
    const start = Math.ceil((at + 110 + fields[11]) / 4) * 4
    found.push({ path, fields, data: text.slice(start, start + fields[6]) })
    at = Math.ceil((start + fields[6]) / 4) * 4
  }
  return found
}

test('writes what newc says', () => {
  const records = parse(writeCpio(entries))
  expect(records.map(({ path }) => path)).toEqual(['dev', 'dev/console', 'init', 'sh', 'TRAILER!!!'])
  expect(records.map(({ fields }) => fields[1].toString(8))).toEqual(['40755', '20600', '100755', '120777', '0'])
  expect(records.map(({ fields }) => fields[0])).toEqual([1, 2, 3, 4, 0])
  expect(records[1].fields.slice(9, 11)).toEqual([5, 1])
  expect(records.map(({ data }) => data)).toEqual(['', '', '#!/bin/sh\n', 'busybox', ''])
})

test('gives the same bytes for the same entries', () => {
  expect(writeCpio(entries)).toEqual(writeCpio(entries))
})

test.skipIf(spawnSync('cpio', ['--version']).status !== 0)('is an archive to cpio', () => {
  const { stdout, status } = spawnSync('cpio', ['-it', '--quiet'], { input: writeCpio(entries) })
  expect([status, stdout.toString()]).toEqual([0, 'dev\ndev/console\ninit\nsh\n'])
})
