import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { deflateRawSync, deflateSync } from 'node:zlib'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openDisk } from '../../storage/open.ts'
import { readAll } from '../../storage/testing/disk-model.ts'
import { hostEnvironment } from './environment.ts'

let folder: string

beforeEach(() => { folder = mkdtempSync(join(tmpdir(), 'tenon-environment-')) })
afterEach(() => rmSync(folder, { recursive: true }))

test('a graph over files of the host', async () => {
  mkdirSync(join(folder, 'below'))
  writeFileSync(join(folder, 'below', 'a.img'), new Uint8Array(1024).fill(1))
  symlinkSync('below/a.img', join(folder, 'link'))
  writeFileSync(join(folder, 'b.img'), new Uint8Array(1024).fill(2))
  const environment = hostEnvironment({ folder })
  const stripe = { kind: 'stripe', stripeSize: 512, nodes: ['link', 'b.img'] }
  const node = await openDisk({ kind: 'throttle', bytesPerSecond: 10_000_000, node: stripe }, environment)
  expect([...await readAll(node)].filter((_, at) => at % 512 === 0)).toEqual([1, 2, 1, 2])
  await node.write(0, [new Uint8Array(600).fill(7)])
  await expect(openDisk('below/a.img', environment)).rejects.toMatchObject({ code: 'DISK_IN_USE' })
  await openDisk('below/a.img', hostEnvironment({ folder, ignoreLocks: true }), { readOnly: true }).then(looked => looked.close())
  await node.close()
  expect(readFileSync(join(folder, 'b.img'))[87]).toBe(7)
  await expect(openDisk('none.img', environment)).rejects.toMatchObject({ code: 'DISK_NOT_FOUND' })
  await expect(openDisk('a\0b', environment)).rejects.toMatchObject({ code: 'DISK_NOT_FOUND' })
})

test('decompressors give exactly what was asked for, or fail', () => {
  const { decompress, sha256 } = hostEnvironment()
  const bytes = new Uint8Array(5000).fill(3)
  expect([...decompress!.deflate(deflateRawSync(bytes), 5000)]).toEqual([...bytes])
  expect([...decompress!.zlib(deflateSync(bytes), 5000)]).toEqual([...bytes])
  expect(() => decompress!.zlib(deflateSync(bytes), 4999)).toThrow('compressed data')
  expect(() => decompress!.zlib(deflateSync(bytes), 5001)).toThrow('compressed data')
  expect(() => decompress!.zstd(new Uint8Array(20), 5001)).toThrow('compressed data')
  expect(Buffer.from(sha256!(new Uint8Array(0))).toString('hex')).toMatch(/^e3b0c44298fc1c14/)
})
