import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { TenonError } from '../../base/errors.ts'
import { Random } from '../../base/testing/random.ts'
import { Ext4Reader } from '../ext4/reader.ts'
import { writeExt4 } from '../ext4/writer.ts'
import { emptyDirectory } from '../filesystems/tree.ts'
import { MemoryNode } from '../nodes/memory.ts'
import { blockNodeContract } from '../testing/contract.ts'
import { RawNode } from '../nodes/raw.ts'
import { decodeGuid, encodeGuid } from './guid.ts'
import { PartitionNode } from './partition-node.ts'
import { PartitionType } from './partition.ts'
import { readPartitions } from './reader.ts'
import { writeGpt } from './writer.ts'
import type { GptOptions } from './writer.ts'

const MIB = 1 << 20
const folder = mkdtempSync(join(tmpdir(), 'tenon-partitions-'))
afterAll(() => rmSync(folder, { recursive: true }))

/** util-linux's tools are the second opinion. */
const hasSfdisk = ['sfdisk', 'fdisk'].every(name => spawnSync(name, ['--version']).error === undefined)
let images = 0

const guid = (byte: number): string => decodeGuid(new Uint8Array(16).fill(byte))
const PLAN: GptOptions = {
  guid: guid(0x11),
  partitions: [
    { type: PartitionType.BIOS_BOOT, guid: guid(0x22), name: 'boot code', size: MIB },
    { type: PartitionType.EFI_SYSTEM, guid: guid(0x33), name: 'système €', size: 3 * MIB + 100 },
    { type: PartitionType.LINUX_ROOT_X86_64, guid: guid(0x44), name: 'r'.repeat(36), attributes: 1n << 59n },
  ],
}

async function content(node: MemoryNode): Promise<Uint8Array> {
  const bytes = new Uint8Array(node.size)
  await node.read(0, [bytes])
  return bytes
}

async function holding(bytes: Uint8Array): Promise<MemoryNode> {
  const node = new MemoryNode({ size: bytes.length })
  await node.write(0, [bytes])
  return node
}

async function saved(node: MemoryNode): Promise<string> {
  const path = join(folder, `${images++}.img`)
  writeFileSync(path, await content(node))
  return path
}

interface SfdiskTable {
  readonly partitiontable: {
    readonly label: string, readonly id: string, readonly firstlba: number, readonly lastlba: number
    readonly partitions: readonly {
      readonly node: string, readonly start: number, readonly size: number
      readonly type: string, readonly uuid: string, readonly name: string
    }[]
  }
}

describe.skipIf(!hasSfdisk)('sfdisk', () => {
  it('agrees with what is written here', async () => {
    const disk = new MemoryNode({ size: 64 * MIB })
    const partitions = await writeGpt(disk, PLAN)
    const path = await saved(disk)
    expect(execFileSync('sfdisk', ['--verify', path], { encoding: 'utf8' })).toContain('No errors detected')
    const { partitiontable: table } = JSON.parse(execFileSync('sfdisk', ['--json', path], { encoding: 'utf8' })) as SfdiskTable
    expect(table).toMatchObject({ label: 'gpt', id: PLAN.guid.toUpperCase(), firstlba: 34 })
    expect(table.partitions.map(({ start, size, name }) => ({ offset: start * 512, size: size * 512, name })))
      .toEqual(partitions.map(({ offset, size, name }) => ({ offset, size, name })))
    expect(table.partitions.map(({ type, uuid }) => `${type} ${uuid}`.toLowerCase()))
      .toEqual(partitions.map(({ type, guid }) => `${type} ${guid}`))
  })

  it('agrees for blocks of 4096 bytes, which fdisk is told', async () => {
    const disk = new MemoryNode({ size: 64 * MIB })
    const partitions = await writeGpt(disk, { ...PLAN, blockSize: 4096 })
    const path = await saved(disk)
    expect(execFileSync('fdisk', ['-b', '4096', path], { encoding: 'utf8', input: 'v\nq\n' })).toContain('No errors detected')
    const listed = execFileSync('fdisk', ['-b', '4096', '-l', '-o', 'Start,Sectors', path], { encoding: 'utf8' }).trim().split('\n')
    expect(listed.slice(-3).map(line => line.trim().split(/\s+/).map(Number)))
      .toEqual(partitions.map(({ offset, size }) => [offset / 4096, size / 4096]))
  })

  it.each([
    ['gpt', 'label: gpt\nsize=2M, type=L, name="one"\nsize=3M, type=U\n'],
    ['mbr', 'label: dos\nsize=2M, type=83\nsize=4M, type=82, bootable\nsize=20M, type=5\nsize=3M, type=83\nsize=3M\nsize=4M, type=7\n'],
    ['none', undefined],
  ])('makes tables that are read here: %s', async (kind, script) => {
    const path = join(folder, `${images++}.img`)
    writeFileSync(path, '')
    truncateSync(path, 64 * MIB)
    if (script !== undefined) execFileSync('sfdisk', ['-q', path], { input: script, stdio: ['pipe', 'ignore', 'inherit'] })
    const found = await readPartitions(await holding(readFileSync(path)))
    expect(found.kind).toBe(kind)
    if (script === undefined) return
    const { partitiontable: table } = JSON.parse(execFileSync('sfdisk', ['--json', path], { encoding: 'utf8' })) as SfdiskTable
    const expected = table.partitions.filter(({ type }) => type !== '5')
    // sfdisk names a partition by the file and its number.
    const mine = found.partitions.map(({ number, offset, size, type }) =>
      ({ node: `${path}${number}`, start: offset / 512, size: size / 512, type }))
    expect(mine).toEqual(expected.map(({ node, start, size, type }) => ({ node, start, size, type: type.toLowerCase().padStart(2, '0') })))
    expect(found.guid).toBe(table.id.toLowerCase().replace('0x', ''))
  })
})

blockNodeContract('a partition', async ({ store, size, create, readOnly }) => {
  const file = store.file('disk', readOnly)
  const disk = create ? await RawNode.create(file, size + 3 * 512) : new RawNode(file)
  return new PartitionNode(disk, { offset: 512, size })
})

describe('a GUID partition table', () => {
  it.each([512, 4096])('is read as it was written, for blocks of %i bytes', async (blockSize) => {
    const disk = new MemoryNode({ size: 64 * MIB + 512 })
    const partitions = await writeGpt(disk, { ...PLAN, blockSize })
    expect(await readPartitions(disk)).toEqual({ kind: 'gpt', guid: PLAN.guid, partitions })
    expect(await readPartitions(disk, blockSize)).toEqual({ kind: 'gpt', guid: PLAN.guid, partitions })
    expect(partitions.map(({ offset, size }) => [offset, size])).toEqual([
      [MIB, MIB], [2 * MIB, 3 * MIB + blockSize], [6 * MIB, 58 * MIB - (blockSize === 512 ? 32 * 512 : 5 * 4096)],
    ])
  })

  it('is the same each time, and takes no more than it needs', async () => {
    const [first, second] = await Promise.all([0, 1].map(async () => {
      const disk = new MemoryNode({ size: 1024 * MIB })
      await writeGpt(disk, PLAN)
      expect(disk.occupied).toBeLessThan(300_000)
      return disk
    }))
    expect(Buffer.compare(await content(first), await content(second))).toBe(0)
  })

  it('is read from its second copy if the first is damaged, and refused if both are', async () => {
    const disk = new MemoryNode({ size: 16 * MIB })
    const partitions = await writeGpt(disk, PLAN)
    await disk.write(512 + 40, [Uint8Array.of(0xff)])
    expect((await readPartitions(disk)).partitions).toEqual(partitions)
    await disk.write(disk.size - 512, [new Uint8Array(4)])
    await expect(readPartitions(disk)).rejects.toMatchObject({ code: 'DISK_CORRUPT' })
  })

  it('is read after its disk was made larger, and says that it was cut off', async () => {
    const disk = new MemoryNode({ size: 16 * MIB })
    await writeGpt(disk, PLAN)
    const bytes = await content(disk)
    expect((await readPartitions(await holding(Buffer.concat([bytes, new Uint8Array(MIB)])))).partitions.length).toBe(3)
    const cut = readPartitions(await holding(bytes.subarray(0, 8 * MIB)))
    await expect(cut).rejects.toMatchObject({ code: 'DISK_CORRUPT', message: expect.stringContaining('cut off') as string })
  })

  it('says what is not possible', async () => {
    const refused = (changes: Partial<GptOptions>, code: string, message: RegExp): Promise<void> => expect(
      writeGpt(new MemoryNode({ size: 16 * MIB }), { ...PLAN, ...changes }),
    ).rejects.toMatchObject({ code, message: expect.stringMatching(message) as string })
    const part = { type: PartitionType.LINUX_SWAP, guid: guid(1) }
    await refused({ guid: 'x' }, 'DISK_DESCRIPTION_INVALID', /"x" is no GUID/)
    await refused({ partitions: [{ ...part, type: '83' }] }, 'DISK_DESCRIPTION_INVALID', /"83" is no GUID/)
    await refused({ partitions: [part, part] }, 'DISK_DESCRIPTION_INVALID', /partition 1 needs a size/)
    await refused({ partitions: [{ ...part, size: -1 }] }, 'DISK_DESCRIPTION_INVALID', /partition 1 cannot have -1 bytes/)
    await refused({ partitions: [{ ...part, name: 'x'.repeat(37) }] }, 'DISK_DESCRIPTION_INVALID', /more than 36/)
    await refused({ partitions: Array.from({ length: 129 }, () => part) }, 'DISK_DESCRIPTION_INVALID', /at most 128/)
    await refused({ partitions: [{ ...part, size: 15 * MIB }] }, 'FILESYSTEM_TOO_SMALL', /needs 15728640 bytes, and .* 15711744 left/)
    await refused({ partitions: [{ ...part, size: 15 * MIB - 16896 }, part] }, 'FILESYSTEM_TOO_SMALL', /partition 2 needs 512 bytes/)
  })
})

it('stores GUIDs as UEFI does', () => {
  expect(Buffer.from(encodeGuid(PartitionType.EFI_SYSTEM)).toString('hex')).toBe('28732ac11ff8d211ba4b00a0c93ec93b')
  expect(decodeGuid(encodeGuid(PartitionType.EFI_SYSTEM))).toBe(PartitionType.EFI_SYSTEM)
})

it('takes a disk that is a file system, or too small for anything, as one without partitions', async () => {
  const disk = new MemoryNode({ size: 16 * MIB })
  await writeExt4(disk, emptyDirectory(), { uuid: new Uint8Array(16), time: 0 })
  expect((await readPartitions(disk)).kind).toBe('none')
  for (const size of [0, 1, 511, 512, 4096]) expect((await readPartitions(new MemoryNode({ size }))).kind).toBe('none')
})

it('leads to a file in a file system in a partition', async () => {
  const disk = new MemoryNode({ size: 64 * MIB })
  const { offset, size } = (await writeGpt(disk, PLAN))[2]
  const tree = emptyDirectory()
  const bytes = new Random(2).bytes(100_000)
  const common = { permissions: 0o644, uid: 0, gid: 0, modified: 0 }
  tree.children.set('vmlinuz', { kind: 'file', ...common, size: bytes.length, content: () => [bytes] })
  await writeExt4(new PartitionNode(disk, { offset, size }), tree, { uuid: new Uint8Array(16), time: 0 })
  const [, , root] = (await readPartitions(disk)).partitions
  const reader = await Ext4Reader.open(new PartitionNode(disk, root))
  expect(Buffer.compare(await reader.readFile('/vmlinuz', MIB), bytes)).toBe(0)
  expect((await readPartitions(disk)).partitions.length).toBe(3)
})

it('is read, or refused, when any of it is changed', async () => {
  const random = new Random(7)
  const disk = new MemoryNode({ size: 8 * MIB })
  await writeGpt(disk, PLAN)
  const [chain, gpt] = [mbrChain(), await content(disk)]
  let outcomes = 0
  for (const end = performance.now() + 600; performance.now() < end; outcomes++) {
    const bytes = random.below(2) === 0 ? chain.slice() : gpt.slice(0, random.pick([8 * MIB, 3 * MIB, 600, 20_000]))
    for (let n = random.below(6) + 1; n > 0; n--) {
      bytes[random.pick([random.below(2048), 446 + random.below(66), random.below(bytes.length)])] = random.u32()
    }
    const read: MemoryNode['read'] = async (offset, [into]) => { into.set(bytes.subarray(offset, offset + into.length)) }
    try {
      const { partitions } = await readPartitions({ size: bytes.length, read })
      for (const { offset, size } of partitions) expect(offset >= 0 && size > 0 && offset + size <= bytes.length).toBe(true)
    } catch (error) {
      if (!(error instanceof TenonError)) throw error
    }
  }
  expect(outcomes).toBeGreaterThan(10)
})

it('ends a chain of extended partitions that leads back', async () => {
  const bytes = mbrChain()
  // The second record's link: to the first.
  new DataView(bytes.buffer).setUint32(12 * 512 + 446 + 16 + 8, 0, true)
  bytes[12 * 512 + 446 + 16 + 4] = 5
  new DataView(bytes.buffer).setUint32(12 * 512 + 446 + 16 + 12, 1, true)
  await expect(readPartitions(await holding(bytes))).rejects.toMatchObject({ message: expect.stringContaining('no end') as string })
})

/** A disk of 64 KiB: partition 1, and an extended one at sector 10 with two logical ones. */
function mbrChain(): Uint8Array {
  const bytes = new Uint8Array(65536)
  const view = new DataView(bytes.buffer)
  const entry = (sector: number, index: number, type: number, first: number, sectors: number): void => {
    const at = sector * 512 + 446 + index * 16
    bytes[at + 4] = type
    view.setUint32(at + 8, first, true)
    view.setUint32(at + 12, sectors, true)
    bytes.set([0x55, 0xaa], sector * 512 + 510)
  }
  entry(0, 0, 0x83, 1, 5)
  entry(0, 1, 5, 10, 50)
  entry(10, 0, 0x83, 1, 1)
  entry(10, 1, 5, 2, 10)
  entry(12, 0, 0x83, 1, 4)
  return bytes
}
