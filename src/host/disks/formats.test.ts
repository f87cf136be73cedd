/** A disk that is not recognised would be given to the guest as it is, and what the guest writes would destroy it. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { openDisks } from './open-disk.ts'

const folder = mkdtempSync(join(tmpdir(), 'tenon-formats-'))
afterAll(() => rmSync(folder, { recursive: true }))

const hasQemuImg = spawnSync('qemu-img', ['--version']).error === undefined
const qemuImg = (...options: string[]): number | null => spawnSync('qemu-img', options).status

test.skipIf(!hasQemuImg).each([['qcow2', 'qcow2'], ['vpc', 'vhd']])('a disk that qemu-img made as %s is opened as what it is', async (format, kind) => {
  const path = join(folder, `disk.${format}`)
  expect(qemuImg('create', '-f', format, path, '64M')).toBe(0)
  const [{ node, info }] = await openDisks([{ graph: { kind: 'file', path } }])
  expect(node.kind).toBe(kind)
  expect(info.size).toBeGreaterThanOrEqual(64 << 20)
  const bytes = new Uint8Array(4096).fill(0x5a)
  await node.write(1 << 20, [bytes])
  await node.close()
  expect(qemuImg('check', '-f', format, path)).not.toBe(2)
  expect(spawnSync('qemu-io', ['-r', '-f', format, '-c', 'read -P 0x5a 1M 4k', path], { encoding: 'utf8' }).stdout).toContain('read 4096/4096')
})
