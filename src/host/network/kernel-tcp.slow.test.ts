import { createHash } from 'node:crypto'
import { createServer } from 'node:http'
import { createServer as createTcpServer, connect as connectTcp } from 'node:net'
import type { AddressInfo, Server } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Random } from '../../base/testing/random.ts'
import type { Listener } from '../../network/sockets.ts'
import { HostSockets } from './sockets.ts'
import { KernelGuest } from './testing/kernel-guest.ts'
import { PlainGateway } from './testing/plain-gateway.ts'

const obstacle = KernelGuest.obstacle
const CALM = { loss: 0, reordering: 0, duplication: 0, delay: 0 }
const ROUGH = { loss: 0.02, reordering: 0.05, duplication: 0.02, delay: 2 }
/** Addresses, as the guest sees the world. */
const HOST = '192.0.2.1'
const NOBODY = '192.0.2.66'

const sha = (bytes: Uint8Array | string): string => createHash('sha256').update(bytes as Uint8Array).digest('hex')

/** TCP of the kernel, as a guest has it, against ours. */
describe.skipIf(obstacle !== undefined)(`the kernel's TCP${obstacle === undefined ? '' : `: ${obstacle}`}`, () => {
  const sockets = new HostSockets((_address, _length, done) => done('unavailable'))
  const guest = new KernelGuest()
  const file = new Random(1).bytes(12 << 20)
  let gateway: PlainGateway
  let web: Server
  let port: number

  beforeAll(async () => {
    gateway = new PlainGateway(frame => guest.send(frame), (address, target, events) =>
      address === HOST ? sockets.connectTcp('127.0.0.1', target, events) : 'host')
    guest.onFrame = frame => gateway.receive(frame)
    web = createServer((request, response) => {
      if (request.method === 'GET') response.end(file.subarray(0, Number(request.url?.slice(1))))
      const hash = createHash('sha256')
      if (request.method === 'PUT') request.on('data', bytes => hash.update(bytes as Buffer)).on('end', () => response.end(hash.digest('hex')))
    })
    await new Promise<void>(resolve => { web.listen(0, '127.0.0.1', resolve) })
    port = (web.address() as AddressInfo).port
    await guest.start()
  })
  afterAll(() => {
    gateway.tcp.close()
    web.close()
    guest.stop()
  })

  it.each([['a clean', CALM, 12 << 20], ['a bad', ROUGH, 2 << 20]])('fetches and puts over %s link', async (_name, weather, size) => {
    gateway.weather = weather
    const fetched = await guest.run('curl', '-s', '-m', '50', `http://${HOST}:${port}/${size}`)
    expect(sha(Buffer.from(fetched, 'latin1'))).toBe(sha(file.subarray(0, size)))
    const child = guest.spawn('curl', '-s', '-m', '50', '-T', '-', `http://${HOST}:${port}/`)
    child.stdin?.end(file.subarray(0, size))
    let answer = ''
    for await (const piece of child.stdout ?? []) answer += piece
    expect(answer).toBe(sha(file.subarray(0, size)))
  }, 120_000)

  it('fetches many times over many connections', async () => {
    gateway.weather = CALM
    const urls = Array.from({ length: 200 }, () => `http://${HOST}:${port}/1000`)
    const fetched = await guest.run('curl', '-s', '-m', '50', '-Z', '--parallel-max', '40', '-H', 'Connection: close', ...urls)
    expect(fetched.length).toBe(200_000)
  }, 60_000)

  it('hears at once of what cannot be had', async () => {
    gateway.weather = CALM
    const closed = createTcpServer()
    await new Promise<void>(resolve => { closed.listen(0, '127.0.0.1', resolve) })
    const shut = (closed.address() as AddressInfo).port
    closed.close()
    await expect(guest.run('curl', '-sS', '-m', '5', `http://${HOST}:${shut}/`)).rejects.toMatchObject({ code: 7, stderr: expect.stringMatching(/refused|Couldn't connect/) })
    await expect(guest.run('curl', '-sS', '-m', '5', `http://${NOBODY}/`)).rejects.toMatchObject({ code: 7 })
    expect(gateway.unreachables).toContain('host')
  })

  it('closes one direction at a time', async () => {
    const late = createTcpServer({ allowHalfOpen: true }, socket => {
      const pieces: Buffer[] = []
      socket.on('data', piece => pieces.push(piece)).on('end', () => socket.end(`${Buffer.concat(pieces).length} bytes`))
    })
    await new Promise<void>(resolve => { late.listen(0, '127.0.0.1', resolve) })
    const child = guest.spawn('socat', '-t', '5', '-', `TCP:${HOST}:${(late.address() as AddressInfo).port}`)
    child.stdin?.end(file.subarray(0, 300_000))
    let answer = ''
    for await (const piece of child.stdout ?? []) answer += piece
    expect(answer).toBe('300000 bytes')
    late.close()
  }, 20_000)

  it('serves what the host publishes, and refuses the rest', async () => {
    const child = guest.spawn('socat', 'TCP-LISTEN:8080,reuseaddr', 'EXEC:cat')
    await new Promise(resolve => setTimeout(resolve, 300))
    const probe = createTcpServer()
    await new Promise<void>(resolve => { probe.listen(0, '127.0.0.1', resolve) })
    const published = (probe.address() as AddressInfo).port
    await new Promise(resolve => { probe.close(resolve) })
    let from = 50_000
    const listener: Listener = await sockets.listenTcp('127.0.0.1', published, { accepted: stream => gateway.tcp.accept(stream,
      { version: 4, address: Uint8Array.of(10, 99, 77, 1), port: from++ }, { version: 4, address: Uint8Array.of(10, 99, 77, 2), port: 8080 }) })
    const bytes = file.subarray(0, 1 << 20)
    expect(sha(await exchange(published, bytes))).toBe(sha(bytes))
    child.kill()
    await expect(exchange(published, bytes)).rejects.toMatchObject({ code: expect.stringMatching(/ECONNRESET|EPIPE/) })
    listener.close()
  }, 20_000)
})

/** Sends, half-closes, and gives what comes back. */
function exchange(port: number, bytes: Uint8Array): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const pieces: Buffer[] = []
    const socket = connectTcp(port, '127.0.0.1', () => socket.end(bytes))
    socket.on('data', piece => pieces.push(piece)).on('end', () => resolve(Buffer.concat(pieces))).on('error', reject)
  })
}
