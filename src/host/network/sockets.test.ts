import { createSocket } from 'node:dgram'
import { createServer } from 'node:net'
import type { AddressInfo, Server, Socket } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { Random } from '../../base/testing/random.ts'
import type { HostStream, SocketFailure, StreamEvents } from '../../network/sockets.ts'
import { HostSockets } from './sockets.ts'
import { socketFailure } from './socket-failures.ts'

const sockets = new HostSockets((_address, _length, done) => done('unavailable'))
const servers: { close(): void }[] = []
afterEach(() => { for (const server of servers.splice(0)) server.close() })

/** Keeps what happens, and lets tests wait for it. */
class Recorder implements StreamEvents {
  readonly log: string[] = []
  readonly pieces: Buffer[] = []
  bytes = 0
  accepts = true
  failure: SocketFailure | undefined
  onWritable: () => void = () => { }

  connected(): void { this.log.push('connected') }
  data(bytes: Uint8Array): boolean {
    this.pieces.push(Buffer.from(bytes))
    this.bytes += bytes.length
    return this.accepts
  }
  ended(): void { this.log.push('ended') }
  writable(): void { this.onWritable() }
  closed(failure?: SocketFailure): void {
    this.failure = failure
    this.log.push('closed')
  }
  async until(condition: () => boolean): Promise<void> {
    const deadline = Date.now() + 5000
    while (!condition() && Date.now() < deadline) await new Promise(resolve => setTimeout(resolve, 2))
    if (!condition()) throw new Error(`not in time: ${this.log.join(', ')}`)
  }
}

async function serve(handler: (socket: Socket) => void, address = '127.0.0.1'): Promise<number> {
  const server: Server = createServer({ allowHalfOpen: true }, socket => {
    socket.on('error', () => { })
    handler(socket)
  })
  servers.push(server)
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, address, resolve)
  })
  return (server.address() as AddressInfo).port
}

async function freePort(): Promise<number> {
  const port = await serve(() => { })
  servers.pop()?.close()
  return port
}

/** Sends all of it, as fast as it is taken. */
function sendAll(stream: HostStream, events: Recorder, bytes: Uint8Array): Promise<number> {
  let at = 0
  let refusals = 0
  return new Promise(resolve => {
    events.onWritable = () => {
      const taken = stream.write(bytes.subarray(at))
      at += taken
      if (at < bytes.length) refusals++
      else resolve(refusals)
    }
    events.onWritable()
  })
}

describe('TCP streams of the host', () => {
  it('carries bytes both ways, and holds back whoever is too fast', async () => {
    const port = await serve(socket => socket.pipe(socket))
    const events = new Recorder()
    const stream = sockets.connectTcp('127.0.0.1', port, events)
    expect(stream.write(new Uint8Array(1)), 'before it is connected').toBe(0)
    await events.until(() => events.log.includes('connected'))
    const bytes = new Random(1).bytes(8 << 20)
    events.accepts = false
    const sent = sendAll(stream, events, bytes)
    await new Promise(resolve => setTimeout(resolve, 50))
    expect(events.bytes).toBeLessThanOrEqual(4096) // the first read, and then no more
    events.accepts = true
    stream.resume()
    expect(await sent).toBeGreaterThan(0)
    stream.end()
    await events.until(() => events.log.includes('closed'))
    expect(Buffer.concat(events.pieces).equals(bytes)).toBe(true)
    expect(Math.max(...events.pieces.map(piece => piece.length))).toBeLessThanOrEqual(65536)
    expect([events.log, events.failure]).toEqual([['connected', 'ended', 'closed'], undefined])
  })

  it('closes one direction at a time', async () => {
    const port = await serve(socket => {
      socket.end('bye')
      socket.on('data', bytes => { if (bytes.toString() === 'late') socket.destroy() })
    })
    const events = new Recorder()
    const stream = sockets.connectTcp('127.0.0.1', port, events)
    await events.until(() => events.log.includes('ended'))
    expect(Buffer.concat(events.pieces).toString()).toBe('bye')
    expect(stream.write(Buffer.from('late'))).toBe(4)
    stream.end()
    await events.until(() => events.log.includes('closed'))
    expect(events.failure).toBeUndefined()
  })

  it('says what went wrong', async () => {
    const refused = new Recorder()
    sockets.connectTcp('127.0.0.1', await freePort(), refused)
    await refused.until(() => refused.log.includes('closed'))
    expect(refused.failure).toBe('refused')
    const reset = new Recorder()
    sockets.connectTcp('127.0.0.1', await serve(socket => socket.resetAndDestroy()), reset)
    await reset.until(() => reset.log.includes('closed'))
    expect(reset.failure).toBe('reset')
    const codes = ['EHOSTUNREACH', 'ENETUNREACH', 'ETIMEDOUT', 'EPERM', 'EMFILE', 'EWHATEVER']
    expect(codes.map(code => socketFailure({ code })))
      .toEqual(['unreachable-host', 'unreachable-net', 'timed-out', 'denied', 'exhausted', 'failed'])
  })

  it('aborts with RST, connected or not, and nothing is heard of it', async () => {
    const heard: string[] = []
    const port = await serve(socket => socket.on('error', error => heard.push((error as NodeJS.ErrnoException).code ?? '')).resume())
    const events = new Recorder()
    const stream = sockets.connectTcp('127.0.0.1', port, events)
    await events.until(() => events.log.includes('connected'))
    stream.abort()
    stream.abort()
    await events.until(() => heard.length > 0)
    sockets.connectTcp('127.0.0.1', port, events).abort()
    await new Promise(resolve => setTimeout(resolve, 20))
    expect([heard, events.log]).toEqual([['ECONNRESET'], ['connected']])
  })

  it('publishes ports, and says why it cannot', async () => {
    const port = await freePort()
    const events = new Recorder()
    const streams: HostStream[] = []
    const listener = await sockets.listenTcp('127.0.0.1', port, { accepted: (stream, address) => {
      events.log.push(address)
      streams.push(stream)
      return streams.length > 1 ? null : events
    } })
    servers.push(listener)
    await expect(sockets.listenTcp('127.0.0.1', port, { accepted: () => null })).rejects.toMatchObject({ code: 'PORT_IN_USE' })
    await expect(sockets.listenTcp('192.0.2.1', port, { accepted: () => null })).rejects.toMatchObject({ code: 'PORT_UNAVAILABLE' })
    const client = new Recorder()
    const stream = sockets.connectTcp('127.0.0.1', port, client)
    await client.until(() => client.log.includes('connected'))
    stream.write(Buffer.from('hello'))
    await events.until(() => events.bytes === 5)
    streams[0].write(Buffer.from('hi'))
    streams[0].end()
    stream.end()
    await client.until(() => client.log.includes('closed'))
    expect([events.log[0], Buffer.concat(client.pieces).toString()]).toEqual(['127.0.0.1', 'hi'])
    const unwanted = new Recorder()
    sockets.connectTcp('127.0.0.1', port, unwanted)
    await unwanted.until(() => unwanted.log.includes('closed'))
    expect(unwanted.failure).toBe('reset')
  })

  it('speaks IPv6', async context => {
    const port = await serve(socket => socket.end('six'), '::1').catch(() => 0)
    if (port === 0) context.skip('this computer has no IPv6')
    const events = new Recorder()
    sockets.connectTcp('::1', port, events)
    await events.until(() => events.log.includes('ended'))
    expect(Buffer.concat(events.pieces).toString()).toBe('six')
  })
})

describe('UDP sockets of the host', () => {
  it('sends and receives, and hears of a port that is shut', async () => {
    const server = createSocket('udp4')
    servers.push(server)
    server.on('message', (bytes, peer) => server.send(`re: ${bytes.toString()}`, peer.port, peer.address))
    await new Promise<void>(resolve => { server.bind(0, '127.0.0.1', resolve) })
    const heard: string[] = []
    const events = {
      message: (bytes: Uint8Array) => heard.push(Buffer.from(bytes).toString()),
      failed: (failure: string) => heard.push(failure),
    }
    const socket = sockets.connectUdp('127.0.0.1', server.address().port, events)
    socket.send(Buffer.from('early'))
    const wait = new Recorder()
    await wait.until(() => heard.includes('re: early'))
    socket.send(Buffer.from('late'))
    await wait.until(() => heard.includes('re: late'))
    socket.close()
    socket.close()
    const shut = sockets.connectUdp('127.0.0.1', await freePort(), events)
    shut.send(Buffer.from('anybody?'))
    await wait.until(() => heard.includes('refused'))
    shut.close()
    shut.send(Buffer.from('after'))
    expect(heard.filter(entry => entry.startsWith('re'))).toEqual(['re: early', 're: late', ...heard.filter(entry => entry === 'refused')])
  })

  it('publishes ports', async () => {
    const port = await freePort()
    const heard: string[] = []
    const listener = await sockets.listenUdp('127.0.0.1', port, { message: (bytes, address, from) => {
      heard.push(Buffer.from(bytes).toString())
      listener.send(Buffer.from('answer'), address, from)
    } })
    servers.push(listener)
    await expect(sockets.listenUdp('127.0.0.1', port, { message: () => { } })).rejects.toMatchObject({ code: 'PORT_IN_USE' })
    const client = sockets.connectUdp('127.0.0.1', port, { message: bytes => heard.push(Buffer.from(bytes).toString()), failed: () => { } })
    client.send(Buffer.from('question'))
    await new Recorder().until(() => heard.length === 2)
    expect(heard).toEqual(['question', 'answer'])
    client.close()
  })

  it('knows resolvers, as text', () => {
    expect(sockets.resolvers()).toEqual(sockets.resolvers())
    expect(sockets.resolvers().every(resolver => /^[[\]0-9a-f.:%a-z]+$/.test(resolver))).toBe(true)
  })
})
