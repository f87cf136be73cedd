import { describe, expect, test } from 'vitest'
import type { BlockNode } from '../block-node.ts'
import { storageError } from '../errors.ts'
import { MemoryNode } from '../nodes/memory.ts'
import { readAll } from '../testing/disk-model.ts'
import { ClientOptions } from './client-options.ts'
import { Command, CommandFlag, NbdError, Option, OptionReply } from './protocol.ts'
import { NbdServer, type NbdServerOptions } from './server.ts'
import { goFor, query, RawClient } from './testing/raw-client.ts'
import { TestTimers } from './testing/streams.ts'
import { MessageWriter } from './wire.ts'

const SIZE = 1 << 20

function serve(node: BlockNode = new MemoryNode({ size: SIZE }), options: Partial<NbdServerOptions> = {}): { server: NbdServer, timers: TestTimers } {
  const timers = new TestTimers()
  const server = new NbdServer({ timers, ...options })
  server.add({ name: 'disk', node })
  server.add({ name: 'still', node, readOnly: true })
  return { server, timers }
}

describe('an NBD server in its handshake', () => {
  test('answers what it does not know, and what makes no sense', async () => {
    const client = new RawClient(serve().server)
    const options = await ClientOptions.begin(client.stream, client.reader)
    const refusal = async (option: number, data: Uint8Array) => (await options.ask(option, data, 9))?.type
    expect(await refusal(Option.STARTTLS, new Uint8Array(0))).toBe(OptionReply.ERR_UNSUP)
    expect(await refusal(4711, new Uint8Array(100))).toBe(OptionReply.ERR_UNSUP)
    expect(await refusal(Option.LIST, new Uint8Array(1))).toBe(OptionReply.ERR_INVALID)
    expect(await refusal(Option.GO, new Uint8Array(3))).toBe(OptionReply.ERR_INVALID)
    expect(await refusal(Option.GO, new MessageWriter(6).u32(0xffffffff).u16(0).bytes)).toBe(OptionReply.ERR_INVALID)
    expect(await refusal(Option.INFO, goFor('none'))).toBe(OptionReply.ERR_UNKNOWN)
    expect(await refusal(Option.SET_META_CONTEXT, query('disk', 'base:allocation'))).toBe(OptionReply.ERR_INVALID)
    expect(await refusal(Option.STRUCTURED_REPLY, new Uint8Array(2))).toBe(OptionReply.ERR_INVALID)
    expect(await refusal(Option.LIST, new Uint8Array(70_000))).toBe(OptionReply.ERR_TOO_BIG)
    expect(await refusal(Option.INFO, goFor('disk'))).toBe(undefined)
    await options.send(Option.ABORT, new Uint8Array(0))
    expect(await client.served).toMatchObject({ error: null })
  })

  test('lets the client choose contexts', async () => {
    const client = new RawClient(serve().server)
    const options = await ClientOptions.begin(client.stream, client.reader)
    await options.ask(Option.STRUCTURED_REPLY, new Uint8Array(0))
    const contexts = async (option: number, data: Uint8Array) => {
      let count = 0
      expect(await options.ask(option, data, 9, () => { count++ })).toBe(null)
      return count
    }
    expect(await contexts(Option.LIST_META_CONTEXT, query('disk'))).toBe(1)
    expect(await contexts(Option.LIST_META_CONTEXT, query('disk', 'base:'))).toBe(1)
    expect(await contexts(Option.LIST_META_CONTEXT, query('disk', 'x-other:'))).toBe(0)
    expect(await contexts(Option.SET_META_CONTEXT, query('disk'))).toBe(0)
    expect(await contexts(Option.SET_META_CONTEXT, query('disk', 'x-other:a', 'base:allocation'))).toBe(1)
    client.stream.close()
    expect(await client.served).toMatchObject({ error: null })
  })

  test('ends it with who breaks the protocol, takes too long, or asks for ever', async () => {
    const { server, timers } = serve()
    const garbage = new RawClient(server)
    await garbage.stream.write([new Uint8Array(100).fill(0xaa)])
    expect((await garbage.served).error).toMatchObject({ code: 'DISK_PEER_FAILED' })
    const huge = new RawClient(server)
    await huge.stream.write([new MessageWriter(20).u32(3).magic([0x49484156, 0x454f5054]).u32(3).u32(0xffffffff).bytes])
    expect((await huge.served).error).toMatchObject({ code: 'DISK_PEER_FAILED' })
    const chatty = new RawClient(server)
    const options = await ClientOptions.begin(chatty.stream, chatty.reader)
    const asking = (async () => { for (;;) await options.ask(4711, new Uint8Array(0)) })()
    await expect(asking).rejects.toMatchObject({ code: 'DISK_PEER_FAILED' })
    expect((await chatty.served).error?.message).toMatch(/1000 options/)
    const idle = new RawClient(server)
    timers.advance(10_001)
    await idle.served
    expect([server.clientCount, timers.count]).toEqual([0, 0])
  })

  test('turns away more clients than it may have', async () => {
    const { server } = serve(undefined, { maximumClients: 1 })
    const first = await new RawClient(server).enter()
    expect((await new RawClient(server).served).error).toMatchObject({ code: 'DISK_PEER_FAILED' })
    expect(await first.request(Command.FLUSH, 0, 0, 0)).toBe(0)
    await server.close()
  })
})

describe('an NBD server', () => {
  test('refuses what is not right, and goes on', async () => {
    const client = await new RawClient(serve().server).enter()
    expect(await client.request(Command.READ, 0, SIZE, 512)).toBe(NbdError.EINVAL)
    expect(await client.request(Command.READ, 0, 2 ** 53, 512)).toBe(NbdError.EINVAL)
    expect(await client.request(Command.READ, 0, 0, 0xffffffff)).toBe(NbdError.EOVERFLOW)
    expect(await client.request(Command.WRITE, 0, SIZE - 1, 2, new Uint8Array(2))).toBe(NbdError.ENOSPC)
    expect(await client.request(Command.WRITE, 0x80, 0, 2, new Uint8Array(2))).toBe(NbdError.EINVAL)
    expect(await client.request(Command.TRIM, 0, SIZE - 1, 512)).toBe(NbdError.ENOSPC)
    expect(await client.request(Command.BLOCK_STATUS, 0, 0, 512)).toBe(NbdError.EINVAL)
    expect(await client.request(99, 0, 0, 512)).toBe(NbdError.EINVAL)
    expect(await client.request(Command.WRITE, CommandFlag.FUA, 100, 3, new Uint8Array([1, 2, 3]))).toBe(0)
    expect(await client.request(Command.READ, 0, 99, 5)).toBe(0)
    expect([...await client.reader.take(5)]).toEqual([0, 1, 2, 3, 0])
    await client.send(Command.DISC, 0, 0, 0)
    expect(await client.served).toMatchObject({ error: null })
  })

  test('writes nothing through an export that is read-only', async () => {
    const { server } = serve()
    const client = new RawClient(server)
    const options = await ClientOptions.begin(client.stream, client.reader)
    await options.ask(Option.GO, goFor('still'), 9)
    expect(await client.request(Command.WRITE, 0, 0, 2, new Uint8Array(2))).toBe(NbdError.EPERM)
    expect(await client.request(Command.TRIM, 0, 0, 512)).toBe(NbdError.EPERM)
    expect(await client.request(Command.WRITE_ZEROES, 0, 0, 512)).toBe(NbdError.EPERM)
    expect(await client.request(Command.FLUSH, 0, 0, 0)).toBe(0)
    await server.close()
  })

  test('flushes for FUA only after the write', async () => {
    const node = new MemoryNode({ size: SIZE })
    const events: string[] = []
    node.write = async () => { events.push('write') }
    Object.assign(node, { writeZeroes: async (...[, , mayUnmap]: Parameters<BlockNode['writeZeroes']>) => { events.push(`zero ${mayUnmap}`) } })
    node.flush = async () => { events.push('flush') }
    const client = await new RawClient(serve(node).server).enter()
    await client.request(Command.WRITE, CommandFlag.FUA, 0, 1, new Uint8Array(1))
    await client.request(Command.WRITE, 0, 0, 1, new Uint8Array(1))
    await client.request(Command.WRITE_ZEROES, CommandFlag.FUA | CommandFlag.NO_HOLE, 0, 1)
    await client.request(Command.WRITE_ZEROES, 0, 0, 1)
    expect(events).toEqual(['write', 'flush', 'write', 'zero false', 'flush', 'zero true'])
    client.stream.close()
  })

  test('gives away no names of files', async () => {
    const node = new MemoryNode({ size: SIZE })
    node.read = async () => { throw storageError('DISK_READ_FAILED', '/home/somebody/secret.img') }
    const client = await new RawClient(serve(node).server).enter(true)
    const { type, payload } = await client.structured(Command.READ, 0, 0, 512)
    expect([type, ...payload]).toEqual([0x8001, 0, 0, 0, NbdError.EIO, 0, 0])
    client.stream.close()
  })

  test('tells holes from data, and joins what is the same', async () => {
    const node = new MemoryNode({ size: SIZE })
    await node.write(65536, [new Uint8Array(2 * 65536).fill(1)])
    const client = await new RawClient(serve(node).server).enter(true)
    const whole = await client.structured(Command.BLOCK_STATUS, 0, 0, SIZE)
    const numbers = Array.from({ length: whole.payload.length / 4 }, (_, index) => new DataView(whole.payload.buffer, whole.payload.byteOffset).getUint32(index * 4))
    expect(numbers).toEqual([1, 65536, 3, 2 * 65536, 0, SIZE - 3 * 65536, 3])
    expect((await client.structured(Command.BLOCK_STATUS, CommandFlag.REQ_ONE, 0, SIZE)).payload.length).toBe(12)
    expect((await client.structured(Command.READ, 0, 0, 65536)).type).toBe(2)
    expect((await client.structured(Command.READ, CommandFlag.DF, 0, 65536)).type).toBe(1)
    client.stream.close()
  })

  test('looks behind a hole', async () => {
    const backing = new MemoryNode({ size: 65536 })
    await backing.write(0, [new Uint8Array(65536).fill(1)])
    const node = Object.assign(new MemoryNode({ size: SIZE }), { children: { backing } })
    const client = await new RawClient(serve(node).server).enter(true)
    expect([...(await client.structured(Command.BLOCK_STATUS, 0, 0, SIZE)).payload]).toEqual([0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 15, 0, 0, 0, 0, 0, 3])
    client.stream.close()
  })

  test('holds no more than 32 MiB for a client that does not listen', async () => {
    const node = new MemoryNode({ size: 64 << 20 })
    let reading = 0
    const read = node.read.bind(node)
    node.read = async (offset, into) => {
      reading += into[0].length
      await read(offset, into)
    }
    const client = await new RawClient(serve(node).server).enter()
    for (let count = 0; count < 12; count++) await client.send(Command.READ, 0, 0, 8 << 20)
    await new Promise((resolve) => { setTimeout(resolve, 20) })
    // The connection has taken one of them.
    expect(reading).toBe((32 + 8) << 20)
    client.stream.close()
    await client.served
  })

  test('ends exports while clients work, and waits for what is under way', async () => {
    const node = new MemoryNode({ size: SIZE })
    let finish = () => {}
    const write = node.write.bind(node)
    node.write = async (offset, from) => {
      await new Promise<void>((resolve) => { finish = resolve })
      await write(offset, from)
    }
    const { server } = serve(node)
    const client = await new RawClient(server).enter()
    await client.send(Command.WRITE, 0, 0, 1, new Uint8Array([9]))
    await new Promise((resolve) => { setTimeout(resolve, 5) })
    const removed = server.remove('disk')
    const winner = await Promise.race([removed.then(() => 'removed'), new Promise((resolve) => { setTimeout(resolve, 5, 'still there') })])
    expect(winner).toBe('still there')
    finish()
    await removed
    expect((await readAll(node, 0, 1))[0]).toBe(9)
    expect(() => server.add({ name: 'still', node })).toThrow(/already/)
  })
})
