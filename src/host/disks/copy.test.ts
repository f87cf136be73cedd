/** Copies between files of the host, against qemu-img. */
import { statSync } from 'node:fs'
import { expect, test } from 'vitest'
import { copyNode } from '../../storage/copy.ts'
import { compareNodes } from '../../storage/compare.ts'
import { DedupNode } from '../../storage/nodes/dedup.ts'
import { RawNode } from '../../storage/nodes/raw.ts'
import { openDisk } from '../../storage/open.ts'
import { isInstalled, ToolFolder } from '../../storage/testing/tools.ts'
import { openDiskFile } from './disk-file.ts'
import { hostEnvironment } from './environment.ts'

const SIZE = 64 << 20

test.skipIf(!isInstalled('qemu-img') || !isInstalled('qemu-io'))('a copy is what qemu-img says it is, and as sparse', async () => {
  const folder = new ToolFolder()
  folder.run('qemu-img', 'create', '-q', '-f', 'raw', 'source', `${SIZE}`)
  const writes = ['write -P 1 0 4k', 'write -P 2 1M 3000k', 'write -P 3 33333333 5', 'write -P 0 40M 1M', `write -P 4 ${SIZE - 512} 512`]
  folder.run('qemu-io', '-f', 'raw', ...writes.flatMap(write => ['-c', write]), 'source')
  const source = await openDisk({ kind: 'file', path: folder.at('source'), format: 'raw' }, hostEnvironment(), { readOnly: true })
  const target = await RawNode.create(await openDiskFile(folder.at('target'), { create: true }), SIZE)
  const { written, zeros } = await copyNode(source, target, { targetIsZero: true })
  expect(written + zeros).toBe(SIZE)
  expect(await compareNodes(source, target)).toBeNull()
  await Promise.all([source.close(), target.close()])
  expect(folder.run('qemu-img', 'compare', '-f', 'raw', '-F', 'raw', 'source', 'target')).toContain('identical')
  expect(statSync(folder.at('target')).blocks * 512).toBeLessThan(4 << 20)
})

test.skipIf(!isInstalled('qemu-img') || !isInstalled('qemu-io'))('a dedup disk gives back what qemu-io put into its source', async () => {
  const folder = new ToolFolder()
  folder.run('qemu-img', 'create', '-q', '-f', 'raw', 'source', `${SIZE}`)
  const writes = Array.from({ length: 30 }, (_, at) => `write -P ${at % 4} ${at * 2}M 1M`)
  folder.run('qemu-io', '-f', 'raw', ...writes.flatMap(write => ['-c', write]), 'source')
  const { sha256 } = hostEnvironment()
  const files = { map: await openDiskFile(folder.at('map'), { create: true }), data: await openDiskFile(folder.at('data'), { create: true }) }
  const dedup = await DedupNode.create({ ...files, sha256: sha256! }, SIZE)
  const source = new RawNode(await openDiskFile(folder.at('source'), { readOnly: true }))
  await copyNode(source, dedup, { targetIsZero: true })
  expect(dedup.statistics.used).toBeLessThan(20)
  await dedup.close()
  const again = await openDisk({ kind: 'dedup', map: folder.at('map'), data: folder.at('data') }, hostEnvironment())
  const target = await RawNode.create(await openDiskFile(folder.at('target'), { create: true }), SIZE)
  await copyNode(again, target, { targetIsZero: true })
  await Promise.all([source.close(), again.close(), target.close()])
  expect(folder.run('qemu-img', 'compare', '-f', 'raw', '-F', 'raw', 'source', 'target')).toContain('identical')
})
