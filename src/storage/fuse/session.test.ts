import { describe, expect, it } from 'vitest'
import { Random } from '../../base/testing/random.ts'
import { Errno, FuseError, errnoOf } from './errors.ts'
import type { FuseFileSystem } from './file-system.ts'
import { Opcode } from './protocol.ts'
import { FuseSession } from './session.ts'
import { encode, FuseClient } from './testing/fuse-client.ts'

/** A file system whose every call is written down, and refused. */
function refusingFileSystem(log: string[], readOnly = false): FuseFileSystem {
  const refuse = (name: string) => (...values: unknown[]) => {
    log.push([name, ...values.map((value) => typeof value === 'object' ? JSON.stringify(value) : String(value))].join(' '))
    throw new FuseError('EACCES')
  }
  const quiet = (name: string) => (...values: unknown[]) => { log.push([name, ...values].join(' ')) }
  return new Proxy({} as FuseFileSystem, {
    get: (_, name: string) => name === 'readOnly' ? readOnly : name === 'forget' || name === 'reset' ? quiet(name) : refuse(name),
  })
}

function setUp(readOnly = false) {
  const log: string[] = []
  const session = new FuseSession(refusingFileSystem(log, readOnly))
  return { log, session, client: new FuseClient(session) }
}

describe('negotiation', () => {
  it('agrees on version 7.31, on what both can do, and on a megabyte', () => {
    const { body, errno } = setUp().client.request(Opcode.INIT, 0, [7, 38, 131072, 0xffffffff])
    expect([errno, body.byteLength, ...[0, 4, 8].map((at) => body.getUint32(at, true))]).toEqual([0, 64, 7, 31, 131072])
    const flags = body.getUint32(12, true)
    expect([flags & 1 << 16, flags & 1 << 13, flags & 1 << 22]).toEqual([0, 1 << 13, 1 << 22])
    expect([body.getUint32(20, true), body.getUint16(28, true)]).toEqual([1 << 20, 256])
  })

  it('offers nothing that the kernel does not know', () => {
    expect(setUp().client.request(Opcode.INIT, 0, [7, 27, 0, 1]).body.getUint32(12, true)).toBe(1)
  })

  it('asks a newer kernel to speak our version, and mounts only then', () => {
    const { client } = setUp()
    expect(client.request(Opcode.INIT, 0, [8, 0, 0, 0]).body.getUint32(0, true)).toBe(7)
    expect(client.errno(Opcode.GETATTR, 1, [0, 0, 0n])).toBe(Errno.EIO)
  })

  it('refuses kernels of long ago', () => {
    const { client } = setUp()
    for (const [major, minor] of [[6, 99], [7, 26], [0, 0]]) expect(client.errno(Opcode.INIT, 0, [major, minor, 0, 0])).toBe(Errno.EPROTO)
    expect(client.errno(Opcode.INIT, 0, [])).toBe(Errno.EPROTO)
  })

  it('serves nothing before it and nothing after DESTROY', () => {
    const { client, log } = setUp()
    expect(client.errno(Opcode.LOOKUP, 1, ['a'])).toBe(Errno.EIO)
    client.mount()
    expect(client.errno(Opcode.LOOKUP, 1, ['a'])).toBe(Errno.EACCES)
    expect(client.errno(Opcode.DESTROY, 0)).toBe(0)
    expect(client.errno(Opcode.LOOKUP, 1, ['a'])).toBe(Errno.EIO)
    expect(log).toEqual(['reset', 'lookup 1 a', 'reset'])
  })
})

describe('requests', () => {
  it('reach the file system with what they say', () => {
    const { client, log } = setUp()
    client.mount()
    client.request(Opcode.RENAME2, 5, [9n, 1, 0, 'old', 'new'])
    client.request(Opcode.SYMLINK, 5, ['name', '../target'])
    client.request(Opcode.SETATTR, 5, [1 | 16 | 256, 0, 0n, 0n, 0n, 12n, 0n, 0n, 500_000_000, 0, 0, 0o100644, 0, 0, 0, 0])
    client.request(Opcode.OPEN, 5, [0o2001, 0])
    client.send(Opcode.FORGET, 5, [3n])
    client.send(Opcode.BATCH_FORGET, 0, [2, 0, 6n, 1n, 7n, 2n])
    expect(log.slice(1)).toEqual([
      'rename 5 old 9 new false', 'makeLink 5 name ../target', 'setAttributes 5 {"mode":420,"accessed":12.5,"modified":"now"} undefined',
      'open 5 {"reads":false,"writes":true,"appends":true,"truncates":false,"synchronous":"no"}', 'forget 5 3', 'forget 6 1', 'forget 7 2',
    ])
  })

  it('that there are not are answered so, and those that are cut short, too', () => {
    const { client, log } = setUp()
    client.mount()
    for (const opcode of [0, 7, 19, Opcode.GETXATTR, Opcode.FLUSH, Opcode.LSEEK, Opcode.FALLOCATE, 99, 4096, 0xffffffff]) {
      expect(client.errno(opcode, 1, [0n, 0n, 0n, 0n])).toBe(Errno.ENOSYS)
    }
    for (const opcode of [Opcode.SETATTR, Opcode.READ, Opcode.WRITE, Opcode.RENAME, Opcode.CREATE]) {
      expect(client.errno(opcode, 1, [0])).toBe(Errno.EINVAL)
    }
    expect(client.errno(Opcode.WRITE, 1, [0n, 0n, 4096, 0, 0n, 0, 0, 'too little'])).toBe(Errno.EINVAL)
    expect(client.errno(Opcode.LOOKUP, 1, [new Uint8Array(20).fill(65)])).toBe(Errno.EINVAL)
    expect(client.errno(Opcode.WRITE, 1, [0n, 2n ** 63n, 1, 0, 0n, 0, 0, 'x'])).toBe(Errno.EFBIG)
    expect(log).toEqual(['reset'])
  })

  it('that change something are refused where nothing may be changed', () => {
    const { client, log } = setUp(true)
    client.mount()
    expect(client.errno(Opcode.MKDIR, 1, [0o755, 0, 'a'])).toBe(Errno.EROFS)
    expect(client.errno(Opcode.OPEN, 1, [2, 0])).toBe(Errno.EROFS)
    expect(log).toEqual(['reset'])
  })

  it('without room for an answer are carried out and not answered', () => {
    const { client, log } = setUp()
    client.mount()
    expect(client.send(Opcode.UNLINK, 1, ['a'], 0)).toBeUndefined()
    expect(client.send(Opcode.UNLINK, 1, ['b'], 15)).toBeUndefined()
    expect(log).toEqual(['reset', 'removeFile 1 a', 'removeFile 1 b'])
  })

  it('whose length is a lie are refused', () => {
    const { session } = setUp()
    const reply = new Uint8Array(64)
    for (const length of [0, 39, 41, 0xffffffff]) {
      const message = encode(Opcode.DESTROY, 5n, 0, [])
      new DataView(message.buffer).setUint32(0, length, true)
      expect(session.serve([message], [reply])).toBe(16)
      expect(new DataView(reply.buffer).getInt32(4, true)).toBe(-Errno.EINVAL)
    }
  })
})

it('errors of the host have the numbers of Linux, and others are EIO', () => {
  expect([{ code: 'ENOSPC' }, { code: 'EWHATEVER' }, { code: 'constructor' }, new Error('x'), new FuseError('ESTALE')].map(errnoOf))
    .toEqual([28, 5, 5, 5, 116])
})

it('survives messages of random bytes', () => {
  const random = new Random(31)
  const { session, client, log } = setUp()
  client.mount()
  for (let round = 0; round < 20_000; round++) {
    if (round % 20 === 0) client.mount()
    const message = encode(random.below(52), BigInt(round), random.below(4), [random.bytes(random.below(120))])
    for (let slips = random.below(3); slips > 0; slips--) message[random.below(message.length)] = random.value()
    const room = random.pick([0, 10, 16, 100, 9000])
    const length = session.serve([message.subarray(0, 40), message.subarray(40)], [new Uint8Array(room)])
    if (length > room || length > 0 && length < 16) throw new Error(`a reply of ${length} bytes in ${room}`)
  }
  expect(log.filter((line) => line !== 'reset').length).toBeGreaterThan(1000)
})
