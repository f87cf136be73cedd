import { execFileSync, spawnSync } from 'node:child_process'
import {
  closeSync, copyFileSync, ftruncateSync, linkSync, lstatSync, mkdirSync, mkdtempSync, openSync, readdirSync, readFileSync, readlinkSync,
  rmSync, symlinkSync, writeFileSync, writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { TenonError } from '../../base/errors.ts'
import { Random } from '../../base/testing/random.ts'
import { emptyDirectory } from '../filesystems/tree.ts'
import type { Directory, TreeNode } from '../filesystems/tree.ts'
import { Ext4Reader } from './reader.ts'
import type { Ext4Source, Inode } from './reader.ts'
import { writeExt4 } from './writer.ts'

const MIB = 1 << 20
const folder = mkdtempSync(join(tmpdir(), 'tenon-ext4-reader-'))
const source = join(folder, 'source')
afterAll(() => rmSync(folder, { recursive: true }))

/** e2fsprogs make the file systems that are read here. */
const hasTools = ['mke2fs', 'debugfs', 'e2fsck'].every(name => spawnSync(name, ['-V']).error === undefined)

function fromBytes(bytes: Uint8Array): Ext4Source {
  return {
    size: bytes.length,
    async read(offset, into) {
      for (const piece of into) {
        piece.set(bytes.subarray(offset, offset + piece.length))
        offset += piece.length
      }
    },
  }
}

/** A file with blocks of content and of holes, none long, so that there are many extents. */
function writeFragmented(path: string, blocks: number): void {
  const handle = openSync(path, 'w')
  for (let block = 0; block < blocks; block += 2) writeSync(handle, new Uint8Array(4096).fill(block % 251 + 1), 0, 4096, block * 4096)
  ftruncateSync(handle, blocks * 4096 + 100)
  closeSync(handle)
}

function makeSource(): void {
  const random = new Random(5)
  mkdirSync(join(source, 'boot/grub'), { recursive: true })
  mkdirSync(join(source, 'many'))
  writeFileSync(join(source, 'boot/vmlinuz-6.1'), random.bytes(700_001))
  writeFileSync(join(source, 'boot/initrd'), random.bytes(MIB))
  writeFileSync(join(source, 'empty'), '')
  writeFileSync(join(source, 'naïve ☃ 💾'), 'snow', { mode: 0o600 })
  writeFileSync(join(source, 'x'.repeat(255)), 'long')
  symlinkSync('boot/vmlinuz-6.1', join(source, 'vmlinuz'))
  symlinkSync(`/boot/${'../boot/'.repeat(20)}initrd`, join(source, 'long link'))
  symlinkSync('loop', join(source, 'loop'))
  symlinkSync('nowhere', join(source, 'dangling'))
  linkSync(join(source, 'empty'), join(source, 'boot/also empty'))
  writeFragmented(join(source, 'fragmented'), 3000)
  for (let n = 0; n < 300; n++) writeFileSync(join(source, `many/a file that is number ${n}`), `${n}`)
}

async function contentOf(reader: Ext4Reader, inode: Inode): Promise<Buffer> {
  const pieces: Uint8Array[] = []
  for await (const piece of reader.content(inode)) pieces.push(piece)
  return Buffer.concat(pieces)
}

/** That a directory is what the host's is. */
async function compareFolder(reader: Ext4Reader, path: string): Promise<void> {
  const listed = (await reader.list(path))!.filter(({ name }) => name !== 'lost+found')
  expect(listed.map(({ name }) => name).sort()).toEqual(readdirSync(join(source, path)).sort())
  for (const { name, inode: number } of listed) {
    const here = join(path, name)
    const inode = await reader.inode(number)
    const { kind } = inode
    const expected = lstatSync(join(source, here))
    const size = kind === 'directory' ? inode.size : expected.size
    const { mode, uid, gid, nlink: links, mtimeMs } = expected
    expect(inode, here).toMatchObject({ permissions: mode & 0o7777, uid, gid, links, size, modified: Math.floor(mtimeMs / 1000) })
    if (kind === 'directory') await compareFolder(reader, here)
    else if (kind === 'symbolic-link') expect(await reader.target(inode)).toBe(readlinkSync(join(source, here)))
    else expect((await contentOf(reader, inode)).equals(readFileSync(join(source, here))), here).toBe(true)
  }
}

function refused(result: Promise<unknown>, code: string, message: RegExp): Promise<void> {
  return expect(result).rejects.toMatchObject({ code, message: expect.stringMatching(message) as string })
}

/** A file system that mke2fs made of the source folder. */
function made(name: string, options: readonly string[], size = '32M'): string {
  const path = join(folder, name)
  execFileSync('mke2fs', ['-q', '-F', '-L', 'made', ...options, '-d', source, path, size], { stdio: ['ignore', 'ignore', 'pipe'] })
  return path
}

const debugfs = (path: string, commands: string): string =>
  execFileSync('debugfs', ['-w', '-f', '-', path], { input: commands, encoding: 'utf8', stdio: ['pipe', 'pipe', 'ignore'] })

const open = (path: string): Promise<Ext4Reader> => Ext4Reader.open(fromBytes(readFileSync(path)))

describe.skipIf(!hasTools)('what mke2fs makes', { timeout: 30_000 }, () => {
  beforeAll(makeSource)

  const kinds: Readonly<Record<string, readonly string[]>> = {
    'ext4': ['-t', 'ext4', '-b', '4096'], 'ext4 with small blocks': ['-t', 'ext4', '-b', '1024'],
    'ext4 with large blocks': ['-t', 'ext4', '-b', '8192'],
    'ext2': ['-t', 'ext2'], 'ext3 with small blocks': ['-t', 'ext3', '-b', '1024'],
    'ext4 without checksums': ['-t', 'ext4', '-O', '^metadata_csum,^64bit'],
    'meta block groups': ['-t', 'ext4', '-b', '1024', '-O', 'meta_bg,^resize_inode,^flex_bg'], 'small inodes': ['-t', 'ext4', '-I', '128'],
    'a seed of its own': ['-t', 'ext4', '-O', 'metadata_csum_seed'], 'revision 0': ['-t', 'ext2', '-r', '0', '-O', 'none'],
  }
  it.each(Object.keys(kinds))('is read as it was: %s', async (name) => {
    const reader = await open(made('read.img', kinds[name]))
    expect(reader.label).toBe('made')
    await compareFolder(reader, '/')
  })

  it('is read with hash trees', async () => {
    const path = made('hashed.img', ['-t', 'ext4', '-b', '1024'])
    spawnSync('e2fsck', ['-fyD', path])
    expect(debugfs(path, 'htree_dump /many')).toContain('Indirect levels')
    await compareFolder(await open(path), '/')
  })

  it('finds files by their paths, through links', async () => {
    const reader = await open(made('paths.img', ['-t', 'ext4']))
    const kernel = readFileSync(join(source, 'boot/vmlinuz-6.1'))
    for (const path of ['/vmlinuz', 'boot/vmlinuz-6.1', '//boot/./grub/../vmlinuz-6.1', '../../boot/grub/../../vmlinuz']) {
      expect(kernel.equals(await reader.readFile(path, MIB)), path).toBe(true)
    }
    expect((await reader.readFile('/long link', 10 * MIB)).length).toBe(MIB)
    for (const path of ['loop', 'dangling', 'boot/nothing', 'vmlinuz/x', 'vmlinuz/..', `${'boot/../'.repeat(200)}empty`]) {
      expect(await reader.find(path), path).toBeUndefined()
    }
    expect((await reader.find('/'))?.kind).toBe('directory')
    expect(await reader.list('vmlinuz')).toBeUndefined()
    await refused(reader.readFile('/boot', MIB), 'DISK_NOT_FOUND', /\/boot is a directory/)
    await refused(reader.readFile('/vmlinux', MIB), 'DISK_NOT_FOUND', /\/vmlinux does not exist/)
    await refused(reader.readFile('/vmlinuz', 700_000), 'DISK_UNSUPPORTED', /700001 bytes, and 700000/)
  })

  it('is read as after the replay of its journal', async () => {
    const path = made('journal.img', ['-t', 'ext4', '-b', '4096'])
    const block = Number(debugfs(path, 'bmap /boot/initrd 3').match(/\n(\d+)\n/)![1])
    const random = new Random(3)
    const blocks = Array.from({ length: 4 }, () => random.bytes(4096))
    // The journal's own magic number, which it must not hold elsewhere.
    blocks[1].set([0xc0, 0x3b, 0x39, 0x98])
    blocks.forEach((bytes, n) => writeFileSync(join(folder, `block${n}`), bytes))
    const commands = [
      'jo -c -v 3', `jw -b ${block} ${folder}/block0`, `jw -b ${block + 1} ${folder}/block1`, `jw -b ${block + 2} ${folder}/block2`,
      `jw -r ${block + 2}`, `jw -b ${block} ${folder}/block3`, `jw -b ${block + 4} -c ${folder}/block3`, 'jc',
    ]
    debugfs(path, `${commands.join('\n')}\n`)
    const mine = await (await open(path)).readFile('/boot/initrd', 10 * MIB)
    const replayed = join(folder, 'replayed.img')
    copyFileSync(path, replayed)
    spawnSync('e2fsck', ['-fy', '-E', 'journal_only', replayed])
    const theirs = await (await open(replayed)).readFile('/boot/initrd', 10 * MIB)
    expect(Buffer.compare(mine, theirs)).toBe(0)
    // The third was revoked, the last not committed.
    const expected = readFileSync(join(source, 'boot/initrd'))
    expected.set(blocks[3], 3 * 4096)
    expected.set(blocks[1], 4 * 4096)
    expect(Buffer.compare(mine, expected)).toBe(0)
  })

  it('is read, or refused, when any of it is changed or cut off', async () => {
    const random = new Random(11)
    const options = [['-t', 'ext4', '-O', '^metadata_csum'], ['-t', 'ext4'], ['-t', 'ext2', '-b', '1024']]
    for (const [index, each] of options.entries()) {
      const whole = readFileSync(made(`fuzz${index}.img`, each))
      const used = usedBlocks(whole)
      let outcomes = 0
      for (const end = performance.now() + 400; performance.now() < end; outcomes++) {
        const undo: (readonly [offset: number, byte: number])[] = []
        for (let n = random.below(8) + 1; n > 0; n--) {
          const offset = random.pick(used) + random.below(1024)
          undo.push([offset, whole[offset]])
          whole[offset] = random.pick([0, 0xff, random.below(256), whole[offset] ^ 1 << random.below(8)])
        }
        await survives(random.below(20) === 0 ? whole.subarray(0, random.below(whole.length)) : whole)
        for (const [offset, byte] of undo.reverse()) whole[offset] = byte
      }
      expect(outcomes).toBeGreaterThan(3)
    }
  })
})

/** Offsets of the pieces of an image that are metadata: not zero, and not the large files' random content. */
function usedBlocks(bytes: Uint8Array): number[] {
  const offsets: number[] = []
  for (let at = 0; at < bytes.length; at += 1024) {
    let zeros = 0
    for (let index = at; index < at + 1024; index++) if (bytes[index] === 0) zeros++
    if (zeros < 1024 && zeros > 100) offsets.push(at)
  }
  return offsets
}

/** Looks into everything that can be found; only TenonErrors may come of it. */
async function survives(bytes: Uint8Array): Promise<void> {
  try {
    const reader = await Ext4Reader.open(fromBytes(bytes))
    for (const path of ['/vmlinuz', '/long link', '/fragmented', '/many/a file that is number 77']) {
      await reader.readFile(path, 6 * MIB).catch((error: unknown) => { if (!(error instanceof TenonError)) throw error })
    }
    for (const { inode } of await reader.list('/') ?? []) await reader.inode(inode)
    await reader.list('/boot')
  } catch (error) {
    if (!(error instanceof TenonError)) throw error
  }
}

const common = { permissions: 0o640, uid: 1000, gid: 70_000, modified: 1_700_000_000 }

/** A tree with all kinds of files, and names and contents of all sizes. */
function randomTree(random: Random, depth: number): Directory {
  const tree: Directory = { ...emptyDirectory(0o751, random.u32()), children: new Map() }
  for (let n = random.below(14); n >= 0; n--) tree.children.set(randomName(random), randomNode(random, depth))
  return tree
}

function randomName(random: Random): string {
  const alphabet = random.pick(['abc.-_ ', 'äöü€', '💾☃x'])
  return Array.from({ length: random.pick([3, 10, 60]) }, () => random.pick([...alphabet])).join('') + random.u32()
}

function randomNode(random: Random, depth: number): TreeNode {
  const content = random.bytes(random.pick([0, 10, 4096, random.below(200_000)]))
  const target = 'x'.repeat(random.pick([1, 59, 60, 61, 255, 4095]))
  if (depth > 0 && random.below(3) === 0) return randomTree(random, depth - 1)
  const file: TreeNode = { ...common, kind: 'file', size: content.length, content: () => [content] }
  return random.pick<TreeNode>([
    file, file, { ...common, kind: 'symbolic-link', target }, { ...common, kind: 'character-device', major: 4, minor: 64 },
    { ...common, kind: 'fifo' }, { ...common, kind: 'socket' },
  ])
}

async function expectTree(reader: Ext4Reader, path: string, tree: Directory): Promise<void> {
  const listed = (await reader.list(path))!.filter(({ name }) => name !== 'lost+found')
  expect(listed.map(({ name }) => name)).toEqual([...tree.children.keys()])
  for (const { name, inode: number, kind } of listed) {
    const node = tree.children.get(name)!
    const inode = await reader.inode(number)
    const { permissions, uid, gid } = node
    expect(inode, name).toMatchObject({ kind, permissions, uid, gid })
    expect(node.kind).toBe(kind)
    if (node.kind === 'directory') await expectTree(reader, `${path}/${name}`, node)
    else if (node.kind === 'symbolic-link') expect(await reader.target(inode)).toBe(node.target)
    else if (node.kind === 'file') {
      const [content] = node.content() as Uint8Array[]
      expect(Buffer.compare(await contentOf(reader, inode), content)).toBe(0)
    }
  }
}

it('reads what is written here', { timeout: 30_000 }, async () => {
  const random = new Random(21)
  for (let round = 0; round < 4; round++) {
    const tree = randomTree(random, 4)
    const bytes = new Uint8Array(32 * MIB)
    const write: Parameters<typeof writeExt4>[0]['write'] = async (offset, from) => {
      for (const piece of from) {
        bytes.set(piece, offset)
        offset += piece.length
      }
    }
    await writeExt4({ size: bytes.length, write }, tree, { uuid: random.bytes(16), label: 'here', time: 1_700_000_000 })
    const reader = await Ext4Reader.open(fromBytes(bytes))
    expect(reader.label).toBe('here')
    await expectTree(reader, '', tree)
  }
})

it('says that a disk has no such file system', async () => {
  for (const size of [0, 1000, 2048, 10_000]) {
    const opened = Ext4Reader.open(fromBytes(new Uint8Array(size)))
    await expect(opened).rejects.toMatchObject({ code: 'DISK_UNKNOWN_FORMAT' })
  }
})
