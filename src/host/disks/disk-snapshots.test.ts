import { expect, test } from 'vitest'
import { storageError } from '../../storage/errors.ts'
import { RawNode } from '../../storage/nodes/raw.ts'
import { ThrottleGroup } from '../../storage/nodes/throttle-group.ts'
import { ThrottleNode } from '../../storage/nodes/throttle.ts'
import { createQcow2 } from '../../storage/qcow2/create.ts'
import { Qcow2Node } from '../../storage/qcow2/node.ts'
import { isInstalled, ToolFolder } from '../../storage/testing/tools.ts'
import { openDiskFile } from './disk-file.ts'
import { diskName, snapshotDisks } from './disk-snapshots.ts'
import type { NamedDisk } from './disk-snapshots.ts'
import { hostTimer } from './host-timer.ts'

const SIZE = 1 << 20
const hasQemu = isInstalled('qemu-img')
const code = (name: string): Error => expect.objectContaining({ code: name }) as Error
const bytes = (value: number): Uint8Array[] => [new Uint8Array(SIZE).fill(value)]

async function qcow2(folder: ToolFolder, name: string): Promise<Qcow2Node> {
  const file = await openDiskFile(folder.at(name), { create: true })
  await createQcow2(file, { size: SIZE })
  const node = await Qcow2Node.open(file)
  await node.write(0, bytes(1))
  return node
}

interface Disks {
  readonly nodes: readonly Qcow2Node[]
  readonly named: readonly NamedDisk[]
  close(): Promise<void>
}

/** Two that can have snapshots, one of them throttled, and one that cannot. */
async function disks(folder: ToolFolder): Promise<Disks> {
  const nodes = [await qcow2(folder, 'a.qcow2'), await qcow2(folder, 'b.qcow2')]
  const raw = await RawNode.create(await openDiskFile(folder.at('c.raw'), { create: true }), SIZE)
  const throttled = new ThrottleNode(nodes[1], new ThrottleGroup({ requestsPerSecond: 1000 }, hostTimer).member(100))
  const named = [{ name: 'a', node: nodes[0] }, { name: 'b', node: throttled }, { name: 'c', node: raw }]
  return { nodes, named, close: async () => { for (const { node } of named) await node.close() } }
}

test('all disks that can have snapshots have them together, and QEMU finds them', async () => {
  const folder = new ToolFolder()
  const { nodes, named, close } = await disks(folder)
  const made = await snapshotDisks(named, { action: 'create', name: 'first', seconds: 1_800_000_000 })
  const first = { disk: 'a', id: '1', name: 'first', taken: '2027-01-15T08:00:00.000Z', size: SIZE }
  expect(made).toMatchObject({ snapshots: [first, { disk: 'b', name: 'first' }], leftOut: ['c'] })
  for (const node of nodes) await node.write(0, bytes(2))
  await snapshotDisks(named, { action: 'create', name: 'second', seconds: 1_800_000_001 })
  const { snapshots } = await snapshotDisks(named, { action: 'list' })
  expect(snapshots.map(({ disk, name }) => disk + name)).toEqual(['afirst', 'asecond', 'bfirst', 'bsecond'])
  await expect(snapshotDisks(named, { action: 'create', name: 'first', seconds: 0 })).rejects.toEqual(code('DISK_EXISTS'))
  await snapshotDisks(named, { action: 'apply', name: 'first' })
  for (const node of nodes) {
    const [read] = bytes(0)
    await node.read(0, [read])
    expect(read.every(byte => byte === 1)).toBe(true)
  }
  await snapshotDisks(named, { action: 'delete', name: 'first' })
  await expect(snapshotDisks(named, { action: 'delete', name: 'first' })).rejects.toEqual(code('DISK_NOT_FOUND'))
  await close()
  if (!hasQemu) return
  for (const name of ['a.qcow2', 'b.qcow2']) {
    expect(folder.run('qemu-img', 'snapshot', '-l', name)).toMatch(/\bsecond\b/)
    folder.run('qemu-img', 'check', name)
    folder.run('qemu-img', 'convert', '-O', 'raw', '-l', 'snapshot.name=second', name, 'out.raw')
    expect(folder.read('out.raw').every(byte => byte === 2)).toBe(true)
  }
})

test('where one fails, no disk keeps a snapshot', async () => {
  const folder = new ToolFolder()
  const { nodes, named, close } = await disks(folder)
  nodes[1].createSnapshot = () => Promise.reject(storageError('DISK_FULL', 'no room'))
  await expect(snapshotDisks(named, { action: 'create', name: 'x', seconds: 0 })).rejects.toEqual(code('DISK_FULL'))
  expect((await snapshotDisks(named, { action: 'list' })).snapshots).toEqual([])
  await close()
})

test('what only some disks have is theirs alone; where there is one disk, an ID will do', async () => {
  const folder = new ToolFolder()
  const { nodes, named, close } = await disks(folder)
  await nodes[1].createSnapshot({ name: 'own', seconds: 0 })
  await expect(snapshotDisks(named, { action: 'delete', name: '1' })).rejects.toEqual(code('DISK_NOT_FOUND'))
  expect((await snapshotDisks([named[1]], { action: 'apply', name: '1' })).snapshots).toMatchObject([{ disk: 'b', name: 'own' }])
  expect((await snapshotDisks(named, { action: 'delete', name: 'own' })).snapshots).toMatchObject([{ disk: 'b', name: 'own' }])
  await expect(snapshotDisks([named[2]], { action: 'create', name: 'x', seconds: 0 })).rejects.toEqual(code('DISK_UNSUPPORTED'))
  expect(await snapshotDisks([], { action: 'list' })).toEqual({ snapshots: [], leftOut: [] })
  await close()
})

test('disks are called by their files', () => {
  const names = [diskName('/a', 0), diskName({ kind: 'file', path: '/b' }, 1), diskName({ kind: 'mirror', nodes: [] }, 2)]
  expect(names).toEqual(['/a', '/b', 'disk 2 (mirror)'])
})
