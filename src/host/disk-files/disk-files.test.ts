/** Disk files as users make and change them, against qemu-img where it is installed. */
import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { relative } from 'node:path'
import { promisify } from 'node:util'
import { beforeEach, expect, test } from 'vitest'
import { Random } from '../../base/testing/random.ts'
import { compareNodes } from '../../storage/compare.ts'
import { openDisk } from '../../storage/open.ts'
import { isInstalled, ToolFolder } from '../../storage/testing/tools.ts'
import { openDiskFile } from '../disks/disk-file.ts'
import { hostEnvironment } from '../disks/environment.ts'
import { openNbd } from '../disks/nbd.ts'
import { applySnapshot, createSnapshot, deleteSnapshot, listSnapshots, resizeDisk } from './change.ts'
import { checkDisk } from './check.ts'
import { compactDisk } from './compact.ts'
import { convertDisk } from './convert.ts'
import { createDisk } from './create.ts'
import { type FormatName, formatByName, formatForPath, qemuName } from './formats.ts'
import { describeDisk } from './info.ts'
import { serveDisk } from './serve.ts'

const SIZE = 2 << 20
const withCode = (code: string): unknown => expect.objectContaining({ code })
const hasQemu = isInstalled('qemu-img')
let folder: ToolFolder
const at = (name: string): string => folder.at(name)

beforeEach(() => { folder = new ToolFolder() })

/** A qcow2 with some data, and a copy of what it reads as. */
async function makeSource(name = 'source.qcow2'): Promise<Uint8Array> {
  await createDisk(at(name), { format: 'qcow2', size: SIZE })
  const content = new Uint8Array(SIZE)
  content.set(new Random(7).bytes(300_000), 65_536)
  content.fill(1, SIZE - 4096)
  await change(name, async node => node.write(0, [content]))
  return content
}

async function change(name: string, work: (node: Awaited<ReturnType<typeof openDisk>>) => Promise<void>): Promise<void> {
  const node = await openDisk(at(name), hostEnvironment())
  await work(node)
  await node.close()
}

async function contentOf(name: string): Promise<Uint8Array> {
  const node = await openDisk(at(name), hostEnvironment({ ignoreLocks: true }), { readOnly: true })
  const content = new Uint8Array(node.size)
  await node.read(0, [content])
  await node.close()
  return content
}

test.each([
  ['raw', 'target.raw', {}], ['raw', 'target.raw', { thick: true }], ['qcow2', 'target.qcow2', {}], ['qcow2', 'target.qcow2', { compress: true }],
  ['qcow2', 'target.qcow2', { thick: true }], ['vhd', 'target.vhd', {}], ['vhd', 'target.vhd', { thick: true }], ['vmdk', 'target.vmdk', {}],
  ['vmdk', 'target.vmdk', { compress: true }],
] as const)('a copy as %s, %s %j, reads as its source, also to QEMU', async (format, target, options) => {
  const content = await makeSource()
  const reported: number[] = []
  await convertDisk(at('source.qcow2'), at(target), {
    format, ...options, progress: event => { if (event.kind === 'transfer') reported.push(event.received / event.total) },
  })
  expect(Buffer.compare(await contentOf(target), content)).toBe(0)
  expect(reported.at(-1)).toBe(1)
  expect(await checkDisk(at(target), 'none')).toMatchObject({ format, errorCount: 0, leaks: 0 })
  expect(statSync(at(target)).blocks * 512 >= SIZE).toBe('thick' in options)
  if (hasQemu) expect(folder.run('qemu-img', 'compare', '-f', 'qcow2', '-F', qemuName(format), 'source.qcow2', target)).toContain('identical')
  if (hasQemu && format === 'qcow2') expect(folder.run('qemu-img', 'check', target)).toContain('No errors')
})

test.each(['qcow2', 'vhd', 'vmdk'] as const)('a %s stands on another until it is written to', async (format) => {
  const content = await makeSource()
  await convertDisk(at('source.qcow2'), at(`base.${format}`), { format })
  await createDisk(at(`child.${format}`), { format, backing: at(`base.${format}`) })
  expect(Buffer.compare(await contentOf(`child.${format}`), content)).toBe(0)
  // QEMU knows no differencing VHD.
  if (hasQemu && format !== 'vhd') expect(folder.run('qemu-img', 'compare', '-f', format, '-F', format, `base.${format}`, `child.${format}`)).toContain('identical')
})

test('relative backing files lie where they are from the new disk, not from the current folder', async () => {
  await makeSource()
  mkdirSync(at('children'))
  const backing = relative(process.cwd(), at('source.qcow2'))
  await createDisk(at('children/child.qcow2'), { format: 'qcow2', backing })
  const report = await describeDisk(at('children/child.qcow2'))
  expect([report.backing?.reference, report.backing?.disk?.size]).toEqual(['../source.qcow2', SIZE])
  if (hasQemu) expect(folder.run('qemu-img', 'info', '--backing-chain', 'children/child.qcow2')).toContain('../source.qcow2')
  await convertDisk(at('source.qcow2'), at('base.vmdk'), { format: 'vmdk' })
  await expect(createDisk(at('children/child.vmdk'), { format: 'vmdk', backing: at('base.vmdk') })).rejects.toEqual(withCode('DISK_UNSUPPORTED'))
})

test('a report shows the chain, and what is missing in it', async () => {
  await makeSource('base.qcow2')
  await convertDisk(at('base.qcow2'), at('base.vhd'), { format: 'vhd' })
  await createDisk(at('middle.qcow2'), { format: 'qcow2', backing: at('base.vhd') })
  await createDisk(at('top.qcow2'), { format: 'qcow2', backing: at('middle.qcow2'), size: 2 * SIZE })
  const report = await describeDisk(at('top.qcow2'))
  expect(report).toMatchObject({ format: 'qcow2', size: 2 * SIZE, backing: { format: 'qcow2', disk: { size: SIZE, backing: { format: 'vpc', disk: { format: 'vhd' } } } } })
  await convertDisk(at('top.qcow2'), at('flat.raw'), { format: 'raw' })
  expect((await contentOf('flat.raw')).length).toBe(2 * SIZE)
  writeFileSync(at('base.vhd'), '')
  expect((await describeDisk(at('top.qcow2'))).backing?.disk?.backing?.problem).toContain('base.vhd')
  await expect(convertDisk(at('top.qcow2'), at('other.raw'), { format: 'raw' })).rejects.toThrow('base.vhd')
  expect(existsSync(at('other.raw'))).toBe(false)
})

test('a disk that is its own backing file is shown, and not opened', async () => {
  await createDisk(at('a.qcow2'), { format: 'qcow2', size: SIZE })
  await createDisk(at('b.qcow2'), { format: 'qcow2', backing: at('a.qcow2') })
  await createDisk(at('c.qcow2'), { format: 'qcow2', backing: at('b.qcow2') })
  writeFileSync(at('a.qcow2'), readFileSync(at('c.qcow2')))
  let report = await describeDisk(at('c.qcow2'))
  for (let depth = 0; report.backing?.disk !== undefined; depth++) {
    expect(depth).toBeLessThan(4)
    report = report.backing.disk
  }
  expect(report.backing?.problem).toContain('its own backing file')
})

test('nothing is replaced unless that is wished, and then only what nobody uses', async () => {
  const content = await makeSource()
  writeFileSync(at('there'), 'old', { mode: 0o640 })
  const to = (options: object): Promise<number> => convertDisk(at('source.qcow2'), at('there'), { format: 'qcow2', ...options })
  await expect(to({})).rejects.toEqual(withCode('DISK_EXISTS'))
  expect(readFileSync(at('there'), 'utf8')).toBe('old')
  const user = await openDiskFile(at('there'), { readOnly: true })
  await expect(to({ force: true })).rejects.toEqual(withCode('DISK_IN_USE'))
  await user.close()
  symlinkSync(at('there'), at('link'))
  await convertDisk(at('source.qcow2'), at('link'), { format: 'qcow2', force: true })
  expect(Buffer.compare(await contentOf('there'), content)).toBe(0)
  expect(statSync(at('there')).mode & 0o777).toBe(0o640)
  await expect(convertDisk(at('source.qcow2'), folder.path, { format: 'raw', force: true })).rejects.toEqual(withCode('DISK_UNSUPPORTED'))
  await expect(convertDisk(at('source.qcow2'), at('no/folder'), { format: 'raw' })).rejects.toEqual(withCode('DISK_NOT_FOUND'))
  expect(readdirSync(folder.path).sort()).toEqual(['link', 'source.qcow2', 'there'])
})

test('a disk that is in use is looked at, and otherwise left alone', async () => {
  await makeSource()
  const guest = await openDisk(at('source.qcow2'), hostEnvironment())
  expect(await describeDisk(at('source.qcow2'))).toMatchObject({ format: 'qcow2', size: SIZE })
  const attempts: (() => Promise<unknown>)[] = [
    () => convertDisk(at('source.qcow2'), at('copy'), { format: 'raw' }), () => checkDisk(at('source.qcow2'), 'none'), () => compactDisk(at('source.qcow2')),
    () => resizeDisk(at('source.qcow2'), { by: SIZE }), () => createSnapshot(at('source.qcow2'), 'a'), () => createDisk(at('c'), { format: 'qcow2', backing: at('source.qcow2') }),
  ]
  for (const attempt of attempts) await expect(attempt()).rejects.toEqual(withCode('DISK_IN_USE'))
  await guest.close()
  expect(readdirSync(folder.path)).toEqual(['source.qcow2'])
})

test.each([['raw', false], ['qcow2', false], ['qcow2', true], ['vhd', false], ['vmdk', true]] as const)('work on a %s that is ended (compressing: %s) leaves nothing', async (format, compress) => {
  await makeSource()
  const end = new AbortController()
  const reason = new Error('enough')
  const options = { format, compress, signal: end.signal, progress: () => end.abort(reason) }
  await expect(convertDisk(at('source.qcow2'), at('target'), options)).rejects.toBe(reason)
  expect(readdirSync(folder.path)).toEqual(['source.qcow2'])
})

test.each(['raw', 'qcow2', 'vhd'] as const)('the making of a thick %s that is ended leaves nothing', async (format) => {
  const end = new AbortController()
  const made = createDisk(at('thick'), { format, size: 64 << 20, thick: true, signal: end.signal, progress: () => end.abort(new Error('enough')) })
  await expect(made).rejects.toThrow('enough')
  expect(readdirSync(folder.path)).toEqual([])
})

test('snapshots come and go', async () => {
  const content = await makeSource()
  expect(await createSnapshot(at('source.qcow2'), 'first')).toMatchObject({ id: '1', name: 'first', size: SIZE })
  await change('source.qcow2', node => node.write(0, [new Uint8Array(100_000).fill(9)]))
  await expect(createSnapshot(at('source.qcow2'), 'first')).rejects.toEqual(withCode('DISK_EXISTS'))
  await createSnapshot(at('source.qcow2'), 'second')
  expect((await listSnapshots(at('source.qcow2'))).map(({ name }) => name)).toEqual(['first', 'second'])
  await applySnapshot(at('source.qcow2'), 'first')
  expect(Buffer.compare(await contentOf('source.qcow2'), content)).toBe(0)
  await deleteSnapshot(at('source.qcow2'), '1')
  await expect(applySnapshot(at('source.qcow2'), 'first')).rejects.toEqual(withCode('DISK_NOT_FOUND'))
  expect((await describeDisk(at('source.qcow2'))).snapshots?.map(({ name }) => name)).toEqual(['second'])
  if (hasQemu) expect(folder.run('qemu-img', 'check', 'source.qcow2')).toContain('No errors')
  await convertDisk(at('source.qcow2'), at('flat.raw'), { format: 'raw' })
  await expect(createSnapshot(at('flat.raw'), 'x')).rejects.toEqual(withCode('DISK_UNSUPPORTED'))
})

test('a size grows, and shrinks where that is wished', async () => {
  const content = await makeSource()
  expect(await resizeDisk(at('source.qcow2'), { by: SIZE })).toEqual({ before: SIZE, after: 2 * SIZE })
  await expect(resizeDisk(at('source.qcow2'), { to: SIZE })).rejects.toThrow('--shrink')
  expect(await resizeDisk(at('source.qcow2'), { by: -SIZE }, { shrink: true })).toEqual({ before: 2 * SIZE, after: SIZE })
  await expect(resizeDisk(at('source.qcow2'), { by: -2 * SIZE }, { shrink: true })).rejects.toEqual(withCode('DISK_OUT_OF_RANGE'))
  expect(Buffer.compare(await contentOf('source.qcow2'), content)).toBe(0)
  await convertDisk(at('source.qcow2'), at('a.vmdk'), { format: 'vmdk' })
  await expect(resizeDisk(at('a.vmdk'), { by: SIZE })).rejects.toEqual(withCode('DISK_UNSUPPORTED'))
})

test('compaction gives room back, and keeps content, snapshots, backing file and permissions', async () => {
  const content = await makeSource('base.qcow2')
  await createDisk(at('disk.qcow2'), { format: 'qcow2', backing: at('base.qcow2') })
  await change('disk.qcow2', async (node) => {
    await node.write(0, [new Random(1).bytes(1 << 20)])
    await node.writeZeroes(0, 1 << 20, true)
    await node.write(0, [content.subarray(0, 1 << 20)])
  })
  await createSnapshot(at('disk.qcow2'), 'kept')
  const before = await contentOf('disk.qcow2')
  const { after } = await compactDisk(at('disk.qcow2'))
  expect(after).toBe(statSync(at('disk.qcow2')).blocks * 512)
  expect(Buffer.compare(await contentOf('disk.qcow2'), before)).toBe(0)
  expect(await describeDisk(at('disk.qcow2'))).toMatchObject({ snapshots: [{ name: 'kept' }], backing: { reference: at('base.qcow2') } })
  if (hasQemu) expect(folder.run('qemu-img', 'check', 'disk.qcow2')).toContain('No errors')
  const end = new AbortController()
  await expect(compactDisk(at('disk.qcow2'), { signal: end.signal, progress: () => end.abort(new Error('enough')) })).rejects.toThrow('enough')
  expect(Buffer.compare(await contentOf('disk.qcow2'), before)).toBe(0)
  expect(readdirSync(folder.path).sort()).toEqual(['base.qcow2', 'disk.qcow2'])
})

test.each(['raw', 'vhd', 'vmdk'] as const)('a %s becomes thin by compaction', async (format: FormatName) => {
  const content = await makeSource()
  const name = `disk.${format}`
  await convertDisk(at('source.qcow2'), at(name), { format })
  await change(name, async (node) => {
    await node.write(0, [new Random(1).bytes(SIZE)])
    await node.write(0, [content])
  })
  const { before, after } = await compactDisk(at(name), {}, format)
  expect(after).toBeLessThan(before / 2)
  expect(Buffer.compare(await contentOf(name), content)).toBe(0)
})

test('damage is found, and what can be repaired is', async () => {
  await makeSource()
  const bytes = readFileSync(at('source.qcow2'))
  // A cluster behind the end of all others that is counted once and used by nobody: the refcount block is the third cluster.
  const block = 2 * 65_536
  const clusters = bytes.length / 65_536
  bytes.writeUInt16BE(1, block + clusters * 2)
  writeFileSync(at('source.qcow2'), Buffer.concat([bytes, Buffer.alloc(65_536)]))
  expect(await checkDisk(at('source.qcow2'), 'none')).toMatchObject({ errorCount: 0, leaks: 1, repaired: 0 })
  expect(await checkDisk(at('source.qcow2'), 'leaks')).toMatchObject({ errorCount: 0, leaks: 0, repaired: 1 })
  if (hasQemu) expect(folder.run('qemu-img', 'check', 'source.qcow2')).toContain('No errors')
  await convertDisk(at('source.qcow2'), at('cut.vmdk'), { format: 'vmdk' })
  truncateSync(at('cut.vmdk'), 70_000)
  await expect(checkDisk(at('cut.vmdk'), 'none')).rejects.toEqual(withCode('DISK_CORRUPT'))
  await expect(checkDisk(at('none'), 'none')).rejects.toEqual(withCode('DISK_NOT_FOUND'))
  await convertDisk(at('source.qcow2'), at('a.raw'), { format: 'raw' })
  await expect(checkDisk(at('a.raw'), 'all')).rejects.toEqual(withCode('DISK_UNSUPPORTED'))
})

test('what makes no sense is refused before anything is made', async () => {
  const refused: [Parameters<typeof createDisk>[1], string][] = [
    [{ format: 'raw' }, 'DISK_OUT_OF_RANGE'], [{ format: 'vmdk', size: SIZE, thick: true }, 'DISK_UNSUPPORTED'], [{ format: 'qcow2', size: 1000 }, 'DISK_OUT_OF_RANGE'],
    [{ format: 'raw', size: SIZE, clusterSize: 65_536 }, 'DISK_UNSUPPORTED'], [{ format: 'qcow2', backing: at('none') }, 'DISK_NOT_FOUND'],
    [{ format: 'vhd', size: 2 ** 45 }, 'DISK_OUT_OF_RANGE'],
  ]
  for (const [options, code] of refused) await expect(createDisk(at('disk'), options)).rejects.toEqual(withCode(code))
  expect(readdirSync(folder.path)).toEqual([])
  expect(() => formatByName('vdi')).toThrow('there is raw, qcow2, vhd, vmdk')
  expect([formatByName('VPC'), formatForPath('a.VMDK'), formatForPath('a.img'), formatForPath('disk')]).toEqual(['vhd', 'vmdk', 'raw', 'qcow2'])
})

test('a disk is served, read, written and copied over the network', async () => {
  const content = await makeSource()
  const end = new AbortController()
  let ready: (uri: string) => void
  const uri = new Promise<string>((resolve) => { ready = resolve })
  const served = serveDisk(at('source.qcow2'), { address: { kind: 'unix', path: at('socket') }, signal: end.signal, onReady: address => ready(address) })
  const address = await uri
  await convertDisk(address, at('copy.qcow2'), { format: 'qcow2' })
  expect(Buffer.compare(await contentOf('copy.qcow2'), content)).toBe(0)
  const client = await openNbd(address)
  await client.write(0, [new Uint8Array([1, 2, 3])])
  await client.close()
  expect(await describeDisk(address)).toMatchObject({ format: 'nbd', size: SIZE })
  if (hasQemu) expect((await promisify(execFile)('qemu-img', ['info', address])).stdout).toContain('2 MiB')
  await createDisk(at('empty.qcow2'), { format: 'qcow2', size: SIZE })
  await convertDisk(at('empty.qcow2'), address, { format: 'raw' })
  end.abort()
  await served
  const [one, other] = await Promise.all(['source.qcow2', 'empty.qcow2'].map(name => openDisk(at(name), hostEnvironment(), { readOnly: true })))
  expect(await compareNodes(one, other)).toBeNull()
  await Promise.all([one.close(), other.close()])
})
