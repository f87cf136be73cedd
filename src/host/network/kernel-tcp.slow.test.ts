/** The TCP of Linux's kernel as a guest's, in a namespace behind a TAP, against ours: whole files over good and bad links, and ends. */
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { connect, createServer as createTcpServer } from 'node:net'
import type { AddressInfo, Server } from 'node:net'
import { networkInterfaces, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Random } from '../../base/testing/random.ts'
import { Gateway } from '../../network/gateway/gateway.ts'
import { tcpFactory } from '../../network/tcp/tcp.ts'
import { HostSockets } from './sockets.ts'
import { RealClock } from './testing/real-clock.ts'
import { TapGuest, tapObstacle } from './testing/tap-guest.ts'
import { CALM, WeatherEnd } from './testing/weather.ts'

const ROUGH = { loss: 0.02, reordering: 0.05, duplication: 0.02, delay: 2 }
const outside = Object.values(networkInterfaces()).flat().find(each => each?.family === 'IPv4' && !each.internal)?.address
const obstacle = outside === undefined ? 'needs an address of the host\'s beside its loopback' : tapObstacle(['curl', 'sha256sum', 'tc'])
const [MEBIBYTE, SIZE] = [1 << 20, 3 << 20]

const sha = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

async function listening(server: Server): Promise<number> {
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

/** A port that nobody listens on. */
async function shutPort(): Promise<number> {
  const server = createTcpServer().listen(0, outside)
  const port = await listening(server)
  server.close()
  return port
}

describe.skipIf(obstacle !== undefined)(`the kernel's TCP as a guest's${obstacle === undefined ? '' : ` (${obstacle})`}`, () => {
  const folder = mkdtempSync(join(tmpdir(), 'tenon-tcp-'))
  const guest = new TapGuest()
  const toGuest = new WeatherEnd(guest, 1)
  const file = new Random(1).bytes(SIZE)
  const web = createServer((request, response) => {
    if (request.method === 'GET') response.end(file.subarray(0, Number(request.url?.slice(1))))
    const hash = createHash('sha256')
    if (request.method !== 'PUT') return
    request.on('data', bytes => hash.update(bytes as Buffer)).on('end', () => response.end(hash.digest('hex')))
  })
  let gateway: Gateway
  let fromGuest: WeatherEnd
  let url: string

  beforeAll(async () => {
    writeFileSync(join(folder, 'file'), file)
    url = `http://${outside}:${await listening(web.listen(0, outside))}`
    await guest.start()
    gateway = new Gateway({
      configuration: { kind: 'nat', mac: '02:00:00:00:00:01', ipv4: '10.77.6.1/24',
        reservations: [{ mac: '02:00:00:00:00:99', address: '10.77.6.2' }] },
      clock: new RealClock(), entropy: { fill: bytes => { bytes.set(randomBytes(bytes.length)) } },
      sockets: new HostSockets((_address, _length, done) => done('unavailable')),
      transport: tcpFactory({ random: () => randomBytes(4).readUInt32LE() }),
    })
    fromGuest = new WeatherEnd(gateway.connect(toGuest), 2)
    guest.connect(fromGuest)
    const commands = [`addr add 10.77.6.2/24 dev ${guest.tap}`, 'route add default via 10.77.6.1']
    for (const command of commands) await guest.run('ip', ...command.split(' '))
  }, 120_000)

  /** What arrives of so many bytes, on either side. */
  async function roundTrip(size: number): Promise<string[]> {
    const fetched = await guest.run('sh', '-c', `curl -s -m 100 ${url}/${size} | sha256sum`)
    return [fetched.slice(0, 64), await guest.run('sh', '-c', `head -c ${size} ${folder}/file | curl -s -m 100 -T - ${url}/`)]
  }

  const twice = (size: number): string[] => [sha(file.subarray(0, size)), sha(file.subarray(0, size))]

  afterAll(() => {
    gateway.close()
    guest.stop()
    web.close()
    rmSync(folder, { recursive: true })
  })

  it.each([['a clean', CALM, SIZE], ['a bad', ROUGH, MEBIBYTE]])('fetches and puts over %s link', async (_name, weather, size) => {
    toGuest.weather = fromGuest.weather = weather
    expect(await roundTrip(size)).toEqual(twice(size))
  }, 120_000)

  it('fetches and puts in small packets', async () => {
    toGuest.weather = fromGuest.weather = CALM
    await guest.run('ip', 'link', 'set', guest.tap, 'mtu', '600')
    expect(await roundTrip(MEBIBYTE)).toEqual(twice(MEBIBYTE))
    await guest.run('ip', 'link', 'set', guest.tap, 'mtu', '1500')
  }, 120_000)

  // What the guest sends is dropped by a queue that is short, or by netem, where the kernel has it; the other way, by the weather.
  it.for([
    { name: 'a short queue', discipline: 'tbf rate 40mbit burst 5kb limit 15kb' },
    { name: 'netem', discipline: 'netem delay 5ms 2ms loss 1% reorder 5% duplicate 1%' },
  ])('fetches and puts through the kernel\'s queueing: $name', { timeout: 120_000 }, async ({ discipline }, { skip }) => {
    const refusal = await guest.run('tc', ...`qdisc add dev ${guest.tap} root ${discipline}`.split(' '))
    if (refusal !== '') skip(`this kernel has none: ${refusal.trim()}`)
    expect(await roundTrip(MEBIBYTE)).toEqual(twice(MEBIBYTE))
    expect(await guest.run('tc', '-s', 'qdisc', 'show', 'dev', guest.tap)).toMatch(/dropped [1-9]/)
    await guest.run('tc', 'qdisc', 'del', 'dev', guest.tap, 'root')
  })

  it('fetches many times over many connections', async () => {
    toGuest.weather = fromGuest.weather = CALM
    const urls = Array.from({ length: 200 }, () => `${url}/1000`)
    const curl = 'curl -s -m 100 -Z --parallel-max 40 -H "Connection: close"'
    const fetched = await guest.run('sh', '-c', `${curl} ${urls.join(' ')} 2>/dev/null | wc -c`)
    expect(fetched.trim()).toBe('200000')
  }, 120_000)

  it('hears at once of what cannot be had', async () => {
    const start = performance.now()
    expect(await guest.run('curl', '-sS', '-m', '20', `http://${outside}:${await shutPort()}/`)).toMatch(/refused|Couldn't connect/)
    expect(performance.now() - start).toBeLessThan(20_000)
  }, 120_000)

  it('closes one direction at a time', async () => {
    const late = createTcpServer({ allowHalfOpen: true }, socket => {
      let length = 0
      socket.on('data', piece => { length += piece.length }).on('end', () => socket.end(`${length} bytes`))
    }).listen(0, outside)
    const port = await listening(late)
    expect(await guest.run('sh', '-c', `head -c 300000 ${folder}/file | socat -t 10 - TCP:${outside}:${port}`)).toBe('300000 bytes')
    late.close()
  }, 120_000)

  it('serves what the host publishes, and refuses the rest', async () => {
    const port = await shutPort()
    const publication = await gateway.publish({ protocol: 'tcp', address: '127.0.0.1', port, guest: '10.77.6.2', guestPort: 8080 })
    await expect(exchange(port, file.subarray(0, 10))).rejects.toMatchObject({ code: expect.stringMatching(/ECONNRESET|EPIPE/) })
    guest.launch('socat', 'TCP-LISTEN:8080,fork,reuseaddr', 'EXEC:cat')
    const bytes = file.subarray(0, MEBIBYTE)
    await expect.poll(() => exchange(port, bytes).then(sha, () => ''), { timeout: 20_000 }).toBe(sha(bytes))
    publication.close()
  }, 120_000)
})

/** Sends, half-closes, and gives what comes back. */
function exchange(port: number, bytes: Uint8Array): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const pieces: Buffer[] = []
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true }, () => socket.end(bytes))
    socket.on('data', piece => pieces.push(piece)).on('end', () => resolve(Buffer.concat(pieces))).on('error', reject)
  })
}
