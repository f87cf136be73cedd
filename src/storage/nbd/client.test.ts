import { describe, expect, test } from 'vitest'
import { Random } from '../../base/testing/random.ts'
import type { BlockNode } from '../block-node.ts'
import { storageError } from '../errors.ts'
import { MemoryNode } from '../nodes/memory.ts'
import { blockNodeContract } from '../testing/contract.ts'
import { expectContent, readAll } from '../testing/disk-model.ts'
import type { ByteStream } from './byte-stream.ts'
import { openNbdClient } from './client.ts'
import { listExports } from './client-handshake.ts'
import { MessageReader } from './message-reader.ts'
import {
  Command, IHAVEOPT, NBDMAGIC, REQUEST_LENGTH, SIMPLE_REPLY_MAGIC, STRUCTURED_REPLY_MAGIC,
} from './protocol.ts'
import { acceptExport } from './server-handshake.ts'
import { Loopback } from './testing/loopback.ts'
import { streamPair, TestTimers } from './testing/streams.ts'
import { MessageFields, MessageWriter } from './wire.ts'

const code = (code: string) => expect.objectContaining({ code })

blockNodeContract('nbd', async ({ size, readOnly }) => {
  return new Loopback({ name: 'disk', node: new MemoryNode({ size }), readOnly }).open('disk')
}, { persistent: false })

describe('an NBD client', () => {
  test('passes on what is known of the disk', async () => {
    const node = await new Loopback({ name: '', node: new MemoryNode({ size: 1 << 20 }) }).open('')
    await node.write(65536, [new Uint8Array(65536).fill(1)])
    expect(await node.extent(0, 1 << 20)).toEqual({ state: 'hole', length: 65536 })
    expect(await node.extent(65536, 1 << 20 >> 1)).toEqual({ state: 'data', length: 65536 })
    await node.close()
  })

  test('reads and writes more than fits one command', async () => {
    const node = await new Loopback({ name: 'disk', node: new MemoryNode({ size: 40 << 20 }) }).open('disk')
    const bytes = new Random(5).bytes(35 << 20)
    await node.write(12_345, [bytes.subarray(0, 1 << 20), bytes.subarray(1 << 20)])
    expectContent(await readAll(node, 12_345, bytes.length), bytes)
    await node.close()
  })

  test('lists exports', async () => {
    const stream = new Loopback(
      { name: 'a', node: new MemoryNode({ size: 512 }), description: 'the first' }, { name: 'Größe', node: new MemoryNode({ size: 512 }) },
    ).connect()
    expect(await listExports(stream, new MessageReader(stream))).toEqual([
      { name: 'a', description: 'the first' }, { name: 'Größe', description: '' },
    ])
  })

  test('says that there is no such export', async () => {
    await expect(new Loopback().open('none')).rejects.toEqual(code('DISK_NOT_FOUND'))
    await expect(new Loopback().open('x'.repeat(5000))).rejects.toEqual(code('DISK_NOT_FOUND'))
  })

  test.each([
    ['DISK_FULL', 'DISK_FULL'], ['DISK_READ_ONLY', 'DISK_READ_ONLY'], ['DISK_UNSUPPORTED', 'DISK_UNSUPPORTED'], ['DISK_WRITE_FAILED', 'DISK_WRITE_FAILED'],
  ] as const)('turns %s of the server into %s', async (there, here) => {
    const memory = new MemoryNode({ size: 4096 })
    memory.write = async () => { throw storageError(there, 'as the test wants it') }
    const node = await new Loopback({ name: 'disk', node: memory }).open('disk')
    await expect(node.write(0, [new Uint8Array(512)])).rejects.toEqual(code(here))
    expectContent(await readAll(node), new Uint8Array(4096))
    await node.close()
  })

  test('flushes what it has written before it leaves', async () => {
    const memory = new MemoryNode({ size: 4096 })
    const events: string[] = []
    const write = memory.write.bind(memory)
    memory.write = async (offset, from) => { events.push('write'); await write(offset, from) }
    memory.flush = async () => { events.push('flush') }
    const node = await new Loopback({ name: 'disk', node: memory }).open('disk')
    await node.write(0, [new Uint8Array(512)])
    await node.close()
    expect(events).toEqual(['write', 'flush'])
  })
})

/** A connection whose far end is run by a script. */
async function scripted(script: (server: ScriptedServer) => Promise<void>, retries = 0): Promise<{ node: BlockNode, timers: TestTimers, connections: number[] }> {
  const timers = new TestTimers()
  const connections: number[] = []
  const node = await openNbdClient({
    name: 'nbd://script/', exportName: 'disk', timers, retries, timeout: 5000,
    connect: async () => {
      connections.push(connections.length)
      const [near, far] = streamPair()
      void ScriptedServer.start(far, connections.length, script)
      return near
    },
  })
  return { node, timers, connections }
}

const SIZE = 1 << 20
const DATA = new Random(3).bytes(4096)

/** Speaks the handshake as a server should, then what the script says. */
class ScriptedServer {
  readonly stream: ByteStream
  /** From 1 on. */
  readonly connection: number
  private readonly reader: MessageReader

  constructor(stream: ByteStream, reader: MessageReader, connection: number) {
    this.stream = stream
    this.reader = reader
    this.connection = connection
  }

  static async start(stream: ByteStream, connection: number, script: (server: ScriptedServer) => Promise<void>): Promise<void> {
    const reader = new MessageReader(stream)
    try {
      await acceptExport(stream, reader, new Map([['disk', { name: 'disk', node: new MemoryNode({ size: SIZE }) }]]))
      await script(new ScriptedServer(stream, reader, connection))
    } catch { /* The client has hung up. */ }
  }

  async request(): Promise<{ type: number, cookie: number, offset: number, length: number }> {
    const fields = new MessageFields((await this.reader.take(REQUEST_LENGTH)).subarray(6))
    const request = { type: fields.u16(), cookie: fields.u64(), offset: fields.u64(), length: fields.u32() }
    if (request.type === Command.WRITE) await this.reader.skip(request.length)
    return request
  }

  async chunk(cookie: number, flags: number, type: number, payload: Uint8Array, length = payload.length): Promise<void> {
    const header = new MessageWriter(20).u32(STRUCTURED_REPLY_MAGIC).u16(flags).u16(type).u64(cookie).u32(length)
    await this.stream.write([header.bytes, payload])
  }

  data(cookie: number, flags: number, offset: number, bytes: Uint8Array): Promise<void> {
    return this.chunk(cookie, flags, 1, new MessageWriter(8 + bytes.length).u64(offset).raw(bytes).bytes)
  }

  hole(cookie: number, flags: number, offset: number, length: number): Promise<void> {
    return this.chunk(cookie, flags, 2, new MessageWriter(12).u64(offset).u32(length).bytes)
  }

  simple(cookie: number, error: number, bytes: Uint8Array = new Uint8Array(0)): Promise<void> {
    return this.stream.write([new MessageWriter(16).u32(SIMPLE_REPLY_MAGIC).u32(error).u64(cookie).bytes, bytes])
  }
}

describe('an NBD client takes', () => {
  test('chunks in any order', async () => {
    const { node } = await scripted(async (server) => {
      const { cookie } = await server.request()
      await server.data(cookie, 0, 2048, DATA.subarray(2048))
      await server.hole(cookie, 0, 1024, 1024)
      await server.data(cookie, 0, 0, DATA.subarray(0, 1024))
      await server.chunk(cookie, 1, 0, new Uint8Array(0))
    })
    const expected = DATA.slice()
    expected.fill(0, 1024, 2048)
    expectContent(await readAll(node, 0, 4096), expected)
  })

  test('an error in the middle of data, with its message', async () => {
    const { node } = await scripted(async (server) => {
      const { cookie } = await server.request()
      await server.data(cookie, 0, 0, DATA.subarray(0, 1024))
      await server.chunk(cookie, 0, 0x8002, new MessageWriter(20).u32(5).u16(6).raw(new TextEncoder().encode('b\u0007\nd!!')).u64(1024).bytes)
      await server.chunk(cookie, 1, 0, new Uint8Array(0))
    })
    await expect(node.read(0, [new Uint8Array(4096)])).rejects.toThrow(/error 5 \("b d!!"\)/)
  })

  test('replies in any order', async () => {
    const { node } = await scripted(async (server) => {
      const requests = [await server.request(), await server.request(), await server.request()]
      for (const { cookie, offset } of requests.reverse()) await server.data(cookie, 1, offset, new Uint8Array(512).fill(offset / 512))
    })
    const buffers = [0, 1, 2].map(() => new Uint8Array(512))
    await Promise.all(buffers.map((buffer, index) => node.read(index * 512, [buffer])))
    expect(buffers.map(buffer => buffer[100])).toEqual([0, 1, 2])
  })
})

const LIES: Readonly<Record<string, (server: ScriptedServer, cookie: number) => Promise<void>>> = {
  'a wrong magic number': server => server.stream.write([new Uint8Array(32).fill(9)]),
  'a reply to nobody': (server, cookie) => server.chunk(cookie + 1, 1, 0, new Uint8Array(0)),
  'success without data': (server, cookie) => server.chunk(cookie, 1, 0, new Uint8Array(0)),
  'success with half of the data': (server, cookie) => server.data(cookie, 1, 0, DATA.subarray(0, 2048)),
  'data of somewhere else': (server, cookie) => server.data(cookie, 1, 4096, DATA),
  'data just before 2 to the 64th': (server, cookie) => {
    return server.chunk(cookie, 1, 1, new MessageWriter(520).u32(0xffffffff).u32(0xfffffe00).raw(DATA.subarray(0, 512)).bytes)
  },
  'more data than asked for': (server, cookie) => server.data(cookie, 1, 0, new Uint8Array(4097)),
  'a huge chunk of data': (server, cookie) => server.chunk(cookie, 1, 1, new Uint8Array(20), 0xffffffff),
  'a huge chunk of another kind': (server, cookie) => server.chunk(cookie, 1, 2, new Uint8Array(20), 0xffffffff),
  'an empty chunk of data': (server, cookie) => server.data(cookie, 1, 0, new Uint8Array(0)),
  'an empty hole': (server, cookie) => server.hole(cookie, 0, 0, 0),
  'a chunk of an unknown kind': (server, cookie) => server.chunk(cookie, 1, 77, new Uint8Array(4)),
  'an error that is cut off': (server, cookie) => server.chunk(cookie, 1, 0x8001, new Uint8Array(3)),
  'an error whose message is longer than it': (server, cookie) => server.chunk(cookie, 1, 0x8001, new Uint8Array([0, 0, 0, 5, 0, 9])),
  'a simple reply to a structured read': (server, cookie) => server.simple(cookie, 0, DATA),
  'a block status': (server, cookie) => server.chunk(cookie, 1, 5, new MessageWriter(12).u32(1).u32(512).u32(0).bytes),
  'a NONE that goes on': (server, cookie) => server.chunk(cookie, 0, 0, new Uint8Array(0)),
  async 'the same data twice'(server, cookie) {
    await server.data(cookie, 0, 1024, DATA.subarray(0, 1024))
    await server.hole(cookie, 1, 2000, 2096)
  },
  async 'data in crumbs'(server, cookie) {
    for (let at = 0; at < 4096; at += 2) await server.data(cookie, 0, at, new Uint8Array(1))
  },
}

describe('an NBD client refuses', () => {
  test.each(Object.keys(LIES))('%s', async (name) => {
    const { node, connections } = await scripted(async (server) => {
      await LIES[name](server, (await server.request()).cookie)
    }, 3)
    await expect(node.read(0, [new Uint8Array(4096)])).rejects.toEqual(code('DISK_PEER_FAILED'))
    expect(connections.length).toBe(1)
    await node.close()
  })

  test('a wrong block status', async () => {
    for (const payload of [new Uint8Array(4), new MessageWriter(12).u32(1).u32(0).u32(0).bytes, new MessageWriter(12).u32(2).u32(9).u32(0).bytes]) {
      const { node } = await scripted(async (server) => { await server.chunk((await server.request()).cookie, 1, 5, payload) })
      await expect(node.extent(0, 4096)).rejects.toEqual(code('DISK_PEER_FAILED'))
    }
  })

  test.each([
    ['a server of another kind', new TextEncoder().encode('HTTP/1.1 400 Bad Request\r\n\r\n'), 'DISK_PEER_FAILED'],
    ['the oldstyle', new MessageWriter(152).magic(NBDMAGIC).magic([0x00004202, 0x81861253]).u64(1 << 20).bytes, 'DISK_UNSUPPORTED'],
    ['a server that hangs up', new Uint8Array(0), 'DISK_PEER_FAILED'],
    ['a greeting that is cut off', new MessageWriter(16).magic(NBDMAGIC).magic(IHAVEOPT).bytes, 'DISK_PEER_FAILED'],
    ['a reply to another option', new MessageWriter(38).magic(NBDMAGIC).magic(IHAVEOPT).u16(3).bytes, 'DISK_PEER_FAILED'],
  ])('%s', async (_, bytes, expected) => {
    const timers = new TestTimers()
    const opened = openNbdClient({
      name: 'nbd://script/', exportName: 'disk', timers,
      connect: async () => {
        const [near, far] = streamPair()
        void far.write([bytes]).then(() => setImmediate(() => far.close()))
        return near
      },
    })
    await expect(timers.until(opened)).rejects.toEqual(code(expected))
    expect(timers.count).toBe(0)
  })

  test('a server that does not answer', async () => {
    const { node, timers } = await scripted(async server => void await server.request())
    await expect(timers.until(node.read(0, [new Uint8Array(512)]))).rejects.toThrow(/has not answered for 5 s/)
    await timers.until(node.close())
    expect(timers.count).toBe(0)
  })

  test('a server that does not greet', async () => {
    const timers = new TestTimers()
    const opened = openNbdClient({ name: 'nbd://script/', exportName: 'disk', timers, timeout: 5000, connect: async () => streamPair()[0] })
    await expect(timers.until(opened)).rejects.toThrow(/has not finished its handshake in 5 s/)
  })

  test('a server that sends data for ever, bit by bit', async () => {
    const { node, timers } = await scripted(async (server) => {
      const { cookie } = await server.request()
      for (let at = 0; at < 65536; at++) {
        await server.data(cookie, 0, at, new Uint8Array(1))
        for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => { setImmediate(resolve) })
      }
    })
    await expect(timers.until(node.read(0, [new Uint8Array(65536)]))).rejects.toEqual(code('DISK_PEER_FAILED'))
  })
})

describe('an NBD client that loses its connection', () => {
  test('asks again over another', async () => {
    const { node, timers, connections } = await scripted(async (server) => {
      const { cookie, length } = await server.request()
      await server.data(cookie, server.connection < 3 ? 0 : 1, 0, DATA.subarray(0, server.connection < 3 ? 100 : length))
      if (server.connection < 3) server.stream.close()
    }, 3)
    const buffer = new Uint8Array(4096)
    await timers.until(node.read(0, [buffer]))
    expectContent(buffer, DATA)
    expect(connections.length).toBe(3)
  })

  test('gives up after the retries', async () => {
    const { node, timers, connections } = await scripted(async (server) => {
      await server.request()
      server.stream.close()
    }, 2)
    await expect(timers.until(node.read(0, [new Uint8Array(512)]))).rejects.toEqual(code('DISK_PEER_FAILED'))
    expect(connections.length).toBe(3)
    expect(timers.count).toBe(0)
  })

  test('takes a server for lost that is shutting down', async () => {
    const { node, timers, connections } = await scripted(async (server) => {
      const { cookie } = await server.request()
      if (server.connection === 1) await server.chunk(cookie, 1, 0x8001, new MessageWriter(6).u32(108).u16(0).bytes)
      else await server.chunk(cookie, 1, 0, new Uint8Array(0))
    }, 2)
    await timers.until(node.write(0, [DATA]))
    expect(connections.length).toBe(2)
  })

  test('takes the disk up again after a time without a server', async () => {
    const memory = new MemoryNode({ size: SIZE })
    let isThere = true
    let current: ByteStream | null = null
    const loopback = new Loopback({ name: 'disk', node: memory })
    const node = await loopback.open('disk', {
      retries: 3,
      connect: async () => {
        if (!isThere) throw storageError('DISK_PEER_FAILED', 'nobody listens there')
        current = loopback.connect()
        return current
      },
    })
    await node.write(0, [DATA])
    isThere = false
    ;(current as ByteStream | null)?.close()
    await expect(loopback.timers.until(node.read(0, [new Uint8Array(512)]))).rejects.toEqual(code('DISK_PEER_FAILED'))
    isThere = true
    expectContent(await loopback.timers.until(readAll(node, 0, 4096)), DATA)
    await node.close()
  })

  test('does not take another disk for its own', async () => {
    const exports = { name: 'disk', node: new MemoryNode({ size: SIZE }) }
    const loopbacks = [new Loopback(exports), new Loopback({ name: 'disk', node: new MemoryNode({ size: SIZE * 2 }) })]
    const streams: ByteStream[] = []
    const node = await loopbacks[0].open('disk', {
      connect: async () => {
        streams.push(loopbacks[Math.min(1, streams.length)].connect())
        return streams[streams.length - 1]
      },
    })
    streams[0].close()
    await expect(loopbacks[0].timers.until(node.read(0, [new Uint8Array(512)]))).rejects.toThrow(/is another disk/)
  })

  test('leaves the buffers alone once it has given up', async () => {
    let release = () => {}
    const { node, timers } = await scripted(async (server) => {
      const { cookie } = await server.request()
      const message = new MessageWriter(20 + 8).u32(STRUCTURED_REPLY_MAGIC).u16(1).u16(1).u64(cookie).u32(8 + 4096).u64(0)
      await server.stream.write([message.bytes, new Uint8Array(100).fill(1)])
      await new Promise<void>((resolve) => { release = resolve })
      await server.stream.write([new Uint8Array(3996).fill(1)])
    })
    const buffer = new Uint8Array(4096)
    await expect(timers.until(node.read(0, [buffer]))).rejects.toEqual(code('DISK_PEER_FAILED'))
    buffer.fill(7)
    release()
    await new Promise((resolve) => { setTimeout(resolve, 5) })
    expect(buffer.every(value => value === 7)).toBe(true)
  })
})
