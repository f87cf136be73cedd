/** A folder of the host as a guest's kernel uses it, by FUSE messages, and what it does to the host. On both ways to folders. */
import {
  chmodSync, existsSync, linkSync, lstatSync, mkdirSync, mkdtempSync, readFileSync, readlinkSync, readdirSync, renameSync, rmSync, statSync,
  symlinkSync, unlinkSync, writeFileSync,
} from 'node:fs'
import { execFileSync } from 'node:child_process'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Errno } from '../../storage/fuse/errors.ts'
import { Opcode, OpenFlag, ROOT_NODE, SetAttribute } from '../../storage/fuse/protocol.ts'
import { FuseSession } from '../../storage/fuse/session.ts'
import { attributesOf, entriesOf, entryOf, FuseClient } from '../../storage/fuse/testing/fuse-client.ts'
import type { Field } from '../../storage/fuse/testing/fuse-client.ts'
import { openSharedFolder, type PathsKind } from './open-shared-folder.ts'
import type { ShareOrder } from './share-order.ts'
import type { SharedFolder } from './shared-folder.ts'

const { WRITE_ONLY, READ_WRITE, READ_ONLY } = OpenFlag
let outside: string
let folder: string
let shared: SharedFolder | undefined
beforeEach(() => {
  outside = mkdtempSync(join(tmpdir(), 'tenon-share-'))
  folder = join(outside, 'shared')
  mkdirSync(folder)
  writeFileSync(join(outside, 'secret'), 'not yours')
})
afterEach(() => {
  shared?.close()
  shared = undefined
  rmSync(outside, { recursive: true })
})

const at = (...names: string[]): string => join(folder, ...names)
const contents = (...names: string[]): string => readFileSync(at(...names), 'utf8')

/** SETATTR's fields. */
function change(valid: number, values: { fh?: bigint, size?: number, mtime?: number, mode?: number, uid?: number } = {}): Field[] {
  const { fh = 0n, size = 0, mtime = 0, mode = 0, uid = 0 } = values
  const [whole, part] = [Math.floor(mtime), Math.round(mtime % 1 * 1e9)]
  return [valid, 0, fh, BigInt(size), 0n, BigInt(whole), BigInt(whole), 0n, 0, part, 0, mode, 0, uid, 0, 0]
}

const KINDS: PathsKind[] = process.platform === 'linux' ? ['descriptors', 'checked'] : ['checked']

describe.each(KINDS)('a share by %s', kind => {
  function mount(order: Partial<ShareOrder> = {}): FuseClient {
    shared = openSharedFolder({ path: folder, tag: 'test', ...order }, kind)
    return new FuseClient(new FuseSession(shared)).mount()
  }

  test('files are read, written, appended to and cut', () => {
    writeFileSync(at('hello'), 'hello, guest')
    const client = mount()
    const { node, size, mode, user } = client.lookup(ROOT_NODE, 'hello')
    expect([size, mode & 0o170000, user]).toEqual([12, 0o100000, 0])
    const handle = client.open(node, READ_WRITE)
    expect(client.read(handle, 7, 100)).toBe('guest')
    expect(client.write(handle, 0, 'HELLO')).toBe(5)
    expect(contents('hello')).toBe('HELLO, guest')
    const appending = client.open(node, WRITE_ONLY | OpenFlag.APPEND)
    writeFileSync(at('hello'), 'x', { flag: 'a' })
    client.write(appending, 12, '!')
    expect(contents('hello')).toBe('HELLO, guestx!')
    expect(attributesOf(client.succeed(Opcode.SETATTR, node, change(SetAttribute.SIZE, { size: 3 })).body).size).toBe(3)
    client.succeed(Opcode.SETATTR, node, change(SetAttribute.SIZE | SetAttribute.FH, { size: 5, fh: handle }))
    expect(contents('hello')).toBe('HEL\0\0')
    client.open(node, WRITE_ONLY | OpenFlag.TRUNC)
    expect(contents('hello')).toBe('')
    for (const each of [handle, appending]) client.succeed(Opcode.RELEASE, node, [each, 0, 0, 0n])
    expect(client.errno(Opcode.READ, node, [handle, 0n, 5, 0, 0n, 0, 0])).toBe(Errno.EBADF)
  })

  test('files, folders, links are made, renamed and removed', () => {
    const client = mount()
    const { entry, handle } = client.create(ROOT_NODE, 'a', READ_WRITE, 0o600)
    client.write(handle, 0, 'text')
    client.succeed(Opcode.FSYNC, entry.node, [handle, 0, 0])
    const made = entryOf(client.succeed(Opcode.MKDIR, ROOT_NODE, [0o777, 0, 'dir']))
    expect([statSync(at('a')).mode & 0o777, statSync(at('dir')).mode & 0o777]).toEqual([0o600, 0o777])
    client.succeed(Opcode.RENAME, ROOT_NODE, [BigInt(made.node), 'a', 'b'])
    expect(attributesOf(client.succeed(Opcode.GETATTR, entry.node, [0, 0, 0n]).body).size).toBe(4)
    const linked = entryOf(client.succeed(Opcode.LINK, ROOT_NODE, [BigInt(entry.node), 'c']))
    expect([linked.node, linked.links]).toEqual([entry.node, 2])
    client.succeed(Opcode.SYMLINK, made.node, ['link', '../c'])
    expect([contents('dir', 'b'), contents('c'), readlinkSync(at('dir', 'link'))]).toEqual(['text', 'text', '../c'])
    expect(client.succeed(Opcode.READLINK, client.walk('dir/link')).bytes).toEqual(new TextEncoder().encode('../c'))
    client.succeed(Opcode.MKNOD, made.node, [0o100644, 0, 0, 0, 'node'])
    expect(client.errno(Opcode.MKNOD, made.node, [0o010644, 0, 0, 0, 'fifo'])).toBe(Errno.EPERM)
    expect(client.errno(Opcode.RMDIR, ROOT_NODE, ['dir'])).toBe(Errno.ENOTEMPTY)
    expect(client.errno(Opcode.UNLINK, ROOT_NODE, ['dir'])).toBeGreaterThan(0)
    expect(client.errno(Opcode.RENAME2, ROOT_NODE, [BigInt(made.node), 1, 0, 'c', 'b'])).toBe(Errno.EEXIST)
    client.succeed(Opcode.RENAME2, ROOT_NODE, [BigInt(made.node), 1, 0, 'c', 'd'])
    client.succeed(Opcode.RENAME2, ROOT_NODE, [BigInt(ROOT_NODE), 1, 0, 'dir', 'folder'])
    for (const name of ['b', 'd', 'link', 'node']) client.succeed(Opcode.UNLINK, made.node, [name])
    client.succeed(Opcode.RMDIR, ROOT_NODE, ['folder'])
    expect(readdirSync(folder)).toEqual([])
  })

  test('what was removed and is open can be used to its end', () => {
    const client = mount()
    const { entry, handle } = client.create(ROOT_NODE, 'gone', READ_WRITE)
    client.write(handle, 0, 'still here')
    client.succeed(Opcode.UNLINK, ROOT_NODE, ['gone'])
    expect(attributesOf(client.succeed(Opcode.GETATTR, entry.node, [0, 0, 0n]).body)).toMatchObject({ size: 10, links: 0 })
    client.succeed(Opcode.SETATTR, entry.node, change(SetAttribute.SIZE, { size: 5 }))
    expect(client.read(handle, 0, 99)).toBe('still')
    client.succeed(Opcode.RELEASE, entry.node, [handle, 0, 0, 0n])
    expect(client.errno(Opcode.GETATTR, entry.node, [0, 0, 0n])).toBe(Errno.ESTALE)
  })

  test('one of two names of a file may go', () => {
    writeFileSync(at('one'), 'x')
    linkSync(at('one'), at('two'))
    const client = mount()
    const { node } = client.lookup(ROOT_NODE, 'one')
    expect(client.lookup(ROOT_NODE, 'two').node).toBe(node)
    client.succeed(Opcode.UNLINK, ROOT_NODE, ['two'])
    expect(attributesOf(client.succeed(Opcode.GETATTR, node, [0, 0, 0n]).body).links).toBe(1)
  })

  test('folders of any size are listed, with and without attributes', () => {
    const names = Array.from({ length: 300 }, (_, index) => `file-${index}-${'x'.repeat(index % 90)}`)
    names.forEach(name => writeFileSync(at(name), name))
    mkdirSync(at('sub'))
    const client = mount()
    const expected = ['.', '..', 'sub', ...names].toSorted()
    expect(client.list(ROOT_NODE, Opcode.READDIR, 4096).toSorted()).toEqual(expected)
    expect(client.list(ROOT_NODE, Opcode.READDIRPLUS, 700).toSorted()).toEqual(expected)
    const handle = client.succeed(Opcode.OPENDIR, ROOT_NODE, [0, 0]).body.getBigUint64(0, true)
    const readAt = (offset: bigint) => entriesOf(client.succeed(Opcode.READDIRPLUS, ROOT_NODE, [handle, offset, 4096, 0, 0n, 0, 0]), true)
    const first = readAt(0n)
    expect(first.find(({ name }) => name === 'sub' || name.startsWith('file'))!.node).toBeGreaterThan(1)
    expect(readAt(first[4].next)[0]).toEqual(first[5])
    expect(readAt(200n).length).toBeGreaterThan(3)
    expect(readAt(first[4].next)[0]).toEqual(first[5])
    expect(readAt(5000n)).toEqual([])
    expect(readAt(0n)).toEqual(first)
  })

  test('entries that are removed while they are listed do not hide others', () => {
    for (let index = 0; index < 200; index++) writeFileSync(at(`f${index}`), '')
    const client = mount()
    const handle = client.succeed(Opcode.OPENDIR, ROOT_NODE, [0, 0]).body.getBigUint64(0, true)
    for (let from = 0n; ;) {
      const entries = entriesOf(client.succeed(Opcode.READDIR, ROOT_NODE, [handle, from, 400, 0, 0n, 0, 0]), false)
      if (entries.length === 0) break
      for (const { name } of entries) if (!name.startsWith('.')) client.succeed(Opcode.UNLINK, ROOT_NODE, [name])
      from = entries.at(-1)!.next
    }
    expect(readdirSync(folder)).toEqual([])
  })

  test('permissions and times can be set, owners and set-user-ID not', () => {
    writeFileSync(at('f'), '')
    const client = mount({ user: 1000, group: 1000 })
    const { node, user } = client.lookup(ROOT_NODE, 'f')
    expect(user).toBe(1000)
    client.succeed(Opcode.SETATTR, node, change(SetAttribute.MODE | SetAttribute.MTIME, { mode: 0o100751, mtime: 1_700_000_000.25 }))
    expect([statSync(at('f')).mode & 0o7777, statSync(at('f')).mtimeMs]).toEqual([0o751, 1_700_000_000_250])
    client.succeed(Opcode.SETATTR, node, change(SetAttribute.MTIME | SetAttribute.MTIME_NOW))
    expect(Math.abs(statSync(at('f')).mtimeMs - Date.now())).toBeLessThan(10_000)
    expect(client.errno(Opcode.SETATTR, node, change(SetAttribute.UID, { uid: 0 }))).toBe(Errno.EPERM)
    client.succeed(Opcode.SETATTR, node, change(SetAttribute.UID, { uid: 1000 }))
    expect(client.errno(Opcode.SETATTR, node, change(SetAttribute.MODE, { mode: 0o4755 }))).toBe(Errno.EPERM)
    expect(client.errno(Opcode.CREATE, ROOT_NODE, [WRITE_ONLY, 0o102755, 0, 0, 'suid'])).toBe(Errno.EPERM)
    expect([statSync(at('f')).mode & 0o7777, existsSync(at('suid'))]).toEqual([0o751, false])
  })

  test('a share that is read-only can be read, and nothing else', () => {
    writeFileSync(at('f'), 'text')
    const client = mount({ readOnly: true })
    const { node } = client.lookup(ROOT_NODE, 'f')
    expect(client.read(client.open(node, READ_ONLY), 0, 9)).toBe('text')
    const refused = [
      client.errno(Opcode.OPEN, node, [READ_WRITE, 0]), client.errno(Opcode.OPEN, node, [READ_ONLY | OpenFlag.TRUNC, 0]),
      client.errno(Opcode.CREATE, ROOT_NODE, [WRITE_ONLY, 0o644, 0, 0, 'new']), client.errno(Opcode.MKDIR, ROOT_NODE, [0o755, 0, 'new']),
      client.errno(Opcode.UNLINK, ROOT_NODE, ['f']), client.errno(Opcode.RENAME, ROOT_NODE, [1n, 'f', 'g']),
      client.errno(Opcode.SETATTR, node, change(SetAttribute.MODE, { mode: 0o777 })),
      client.errno(Opcode.LINK, ROOT_NODE, [BigInt(node), 'g']),
      client.errno(Opcode.SYMLINK, ROOT_NODE, ['l', 't']), client.errno(Opcode.ACCESS, node, [2, 0]),
    ]
    expect(new Set(refused)).toEqual(new Set([Errno.EROFS]))
    expect([readdirSync(folder), contents('f')]).toEqual([['f'], 'text'])
  })

  describe('stays in its folder:', () => {
    test('names that lead elsewhere are no names', () => {
      const client = mount()
      for (const name of ['..', '.', '', '../secret', '/etc/passwd', 'a/b', 'a/../../secret']) {
        expect(client.errno(Opcode.LOOKUP, ROOT_NODE, [name])).toBe(Errno.EINVAL)
        expect(client.errno(Opcode.UNLINK, ROOT_NODE, [name])).toBe(Errno.EINVAL)
        expect(client.errno(Opcode.CREATE, ROOT_NODE, [READ_WRITE, 0o644, 0, 0, name])).toBe(Errno.EINVAL)
        expect(client.errno(Opcode.RENAME, ROOT_NODE, [1n, 'secret', name])).toBe(Errno.EINVAL)
      }
      expect(client.errno(Opcode.LOOKUP, ROOT_NODE, ['x'.repeat(256)])).toBe(Errno.ENAMETOOLONG)
      expect(client.errno(Opcode.LOOKUP, ROOT_NODE, ['x'.repeat(255)])).toBe(Errno.ENOENT)
    })

    test('symbolic links are text, wherever they point', () => {
      const client = mount()
      for (const target of ['../secret', join(outside, 'secret'), '/etc', '.', 'loop']) {
        const { node, mode } = entryOf(client.succeed(Opcode.SYMLINK, ROOT_NODE, ['loop', target]))
        expect(mode & 0o170000).toBe(0o120000)
        expect(client.errno(Opcode.OPEN, node, [READ_WRITE, 0])).toBe(Errno.EACCES)
        expect(client.errno(Opcode.OPENDIR, node, [0, 0])).toBe(Errno.ENOTDIR)
        expect(client.errno(Opcode.LOOKUP, node, ['passwd'])).toBe(Errno.ENOTDIR)
        expect(client.errno(Opcode.CREATE, node, [READ_WRITE, 0o644, 0, 0, 'f'])).toBe(Errno.ENOTDIR)
        expect(client.errno(Opcode.CREATE, ROOT_NODE, [READ_WRITE, 0o644, 0, 0, 'loop'])).toBe(Errno.ELOOP)
        expect(client.errno(Opcode.SETATTR, node, change(SetAttribute.SIZE, { size: 0 }))).toBe(Errno.EINVAL)
        expect(client.errno(Opcode.SETATTR, node, change(SetAttribute.MODE, { mode: 0o777 }))).toBe(Errno.EOPNOTSUPP)
        client.succeed(Opcode.SETATTR, node, change(SetAttribute.MTIME, { mtime: 1000 }))
        client.succeed(Opcode.UNLINK, ROOT_NODE, ['loop'])
      }
      expect(readFileSync(join(outside, 'secret'), 'utf8')).toBe('not yours')
      expect(statSync(join(outside, 'secret')).mtimeMs).toBeGreaterThan(1e12)
    })

    test('a folder that has become a link to elsewhere is not followed', () => {
      mkdirSync(at('dir'))
      writeFileSync(at('dir', 'secret'), 'ours')
      const client = mount()
      const folderNode = client.walk('dir')
      const { node } = client.lookup(folderNode, 'secret')
      renameSync(at('dir'), at('moved'))
      symlinkSync('..', at('dir'))
      const tried = [
        client.request(Opcode.OPEN, node, [READ_WRITE, 0]), client.request(Opcode.LOOKUP, folderNode, ['secret']),
        client.request(Opcode.GETATTR, node, [0, 0, 0n]),
      ]
      for (const { errno, body } of tried.slice(1)) {
        if (errno === 0) expect(attributesOf(body, body.byteLength === 128 ? 40 : 16).size).toBe(4)
        else expect(errno).toBe(Errno.ESTALE)
      }
      client.request(Opcode.UNLINK, folderNode, ['secret'])
      client.request(Opcode.CREATE, folderNode, [READ_WRITE, 0o644, 0, 0, 'planted'])
      expect(readdirSync(outside).toSorted()).toEqual(['secret', 'shared'])
      expect(readFileSync(join(outside, 'secret'), 'utf8')).toBe('not yours')
    })

    test('a file that has become a link, or another file, is not the file', () => {
      writeFileSync(at('f'), 'ours')
      const client = mount()
      const { node } = client.lookup(ROOT_NODE, 'f')
      unlinkSync(at('f'))
      symlinkSync('../secret', at('f'))
      expect(client.errno(Opcode.OPEN, node, [READ_WRITE, 0])).toBe(Errno.ESTALE)
      expect(client.errno(Opcode.SETATTR, node, change(SetAttribute.SIZE, { size: 0 }))).toBe(Errno.ESTALE)
      expect(readFileSync(join(outside, 'secret'), 'utf8')).toBe('not yours')
    })

    test('nodes and handles that the guest never got lead nowhere', () => {
      const client = mount()
      for (const node of [0, 2, 77, 2 ** 60]) expect(client.errno(Opcode.GETATTR, node, [0, 0, 0n])).toBe(Errno.ESTALE)
      for (const handle of [0n, 5n, 2n ** 63n]) expect(client.errno(Opcode.READ, 1, [handle, 0n, 9, 0, 0n, 0, 0])).toBe(Errno.EBADF)
      client.send(Opcode.FORGET, ROOT_NODE, [2n ** 60n])
      client.send(Opcode.FORGET, 99, [1n])
      expect(client.errno(Opcode.GETATTR, ROOT_NODE, [0, 0, 0n])).toBe(0)
    })

    test.skipIf(process.platform === 'win32')('pipes, sockets and devices are not opened', async () => {
      execFileSync('mkfifo', [at('pipe')])
      const server = createServer().listen(at('socket'))
      await new Promise(resolve => { server.once('listening', resolve) })
      const client = mount()
      expect(['pipe', 'socket'].map(name => client.lookup(ROOT_NODE, name).mode & 0o170000)).toEqual([0o010000, 0o140000])
      for (const name of ['pipe', 'socket']) expect(client.errno(Opcode.OPEN, client.walk(name), [READ_WRITE, 0])).toBe(Errno.EACCES)
      expect(client.errno(Opcode.CREATE, ROOT_NODE, [READ_ONLY, 0o644, 0, 0, 'pipe'])).toBe(Errno.EACCES)
      client.succeed(Opcode.UNLINK, ROOT_NODE, ['pipe'])
      await new Promise(resolve => { server.close(resolve) })
    })
  })

  test('what a guest forgets it must look up again', () => {
    mkdirSync(at('a', 'b'), { recursive: true })
    const client = mount()
    const [a, b] = [client.walk('a'), client.walk('a/b')]
    client.send(Opcode.BATCH_FORGET, 0, [1, 0, BigInt(a), 2n])
    expect(client.errno(Opcode.GETATTR, a, [0, 0, 0n])).toBe(Errno.ESTALE)
    expect(client.errno(Opcode.GETATTR, b, [0, 0, 0n])).toBe(0)
    expect(client.walk('a')).not.toBe(a)
  })

  // To check hundreds of folders on the way for each of hundreds takes its time.
  test.skipIf(kind === 'checked')('more folders than are kept open, deep and many, all stay within reach', () => {
    const client = mount()
    let deepest = ROOT_NODE
    for (let depth = 0; depth < 600; depth++) deepest = entryOf(client.succeed(Opcode.MKDIR, deepest, [0o755, 0, 'd'])).node
    const many = Array.from({ length: 300 }, (_, index) => entryOf(client.succeed(Opcode.MKDIR, ROOT_NODE, [0o755, 0, `m${index}`])).node)
    for (const node of many) client.create(node, 'f', WRITE_ONLY)
    for (const node of many) client.succeed(Opcode.RENAME, node, [BigInt(deepest), 'f', `f${node}`])
    expect(client.list(deepest).length).toBe(302)
    expect(client.list(many[0])).toEqual(['.', '..'])
    expect(readdirSync('/proc/self/fd').length).toBeLessThan(700)
    execFileSync('rm', ['-rf', at('d')])
    expect(client.errno(Opcode.GETATTR, client.walk('m7'), [0, 0, 0n])).toBe(0)
  })

  test('a guest may not have more open than a host can bear', () => {
    writeFileSync(at('f'), '')
    const client = mount()
    const { node } = client.lookup(ROOT_NODE, 'f')
    let errno = 0
    for (let count = 0; count < 3000 && errno === 0; count++) errno = client.errno(Opcode.OPENDIR, ROOT_NODE, [0, 0])
    expect([errno, client.errno(Opcode.OPEN, node, [READ_ONLY, 0])]).toEqual([Errno.ENFILE, Errno.ENFILE])
    client.mount()
    expect(client.errno(Opcode.OPENDIR, ROOT_NODE, [0, 0])).toBe(0)
  })

  test('says how full the file system is, and what permissions allow', () => {
    writeFileSync(at('f'), '')
    const client = mount()
    const { body } = client.succeed(Opcode.STATFS, ROOT_NODE)
    expect(body.getBigUint64(0, true)).toBeGreaterThan(0n)
    expect(body.getUint32(44, true)).toBe(255)
    chmodSync(at('f'), 0o444)
    expect(client.errno(Opcode.ACCESS, client.walk('f'), [4, 0])).toBe(0)
    expect(client.errno(Opcode.ACCESS, client.walk('f'), [1, 0])).toBe(Errno.EACCES)
    expect(lstatSync(at('f')).mode & 0o777).toBe(0o444)
  })
})

test('a folder that cannot be shared is refused with a reason', () => {
  writeFileSync(at('f'), '')
  const open = (path: string) => () => openSharedFolder({ path, tag: 't' })
  const refusal = (message: string) => expect.objectContaining({ code: 'SHARE_UNFIT', message })
  expect(open(at('none'))).toThrow(refusal(`${at('none')} cannot be shared: there is no such folder`))
  expect(open(at('f'))).toThrow(refusal(`${at('f')} cannot be shared: it is no folder`))
})
