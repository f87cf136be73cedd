/** The gateway against a real guest's network: Linux's TCP/IP in a namespace, with BusyBox's DHCP client, dig, ping, curl and tcpdump. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { networkInterfaces, tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Clock, Timer } from '../../machine/clock.ts'
import { Gateway } from '../../network/gateway/gateway.ts'
import { tcpFactory } from '../../network/tcp/tcp.ts'
import { ping } from './ping.ts'
import { HostSockets } from './sockets.ts'
import { TapGuest, tapObstacle } from './testing/tap-guest.ts'

const addresses = Object.values(networkInterfaces()).flat().filter(each => each !== undefined && !each.internal)
const outside = addresses.find(each => each!.family === 'IPv4')?.address
const outside6 = addresses.find(each => each!.family === 'IPv6' && !each!.address.startsWith('fe80:'))?.address
const obstacle = outside === undefined ? 'needs an address of the host\'s beside its loopback'
  : tapObstacle(['busybox', 'dig', 'ping', 'curl', 'tcpdump'])

class RealClock implements Clock {
  now(): number { return performance.now() * 1e6 }

  timer(onExpire: () => void): Timer {
    let handle: NodeJS.Timeout | undefined
    const timer = {
      deadline: Infinity,
      arm: (deadline: number) => {
        timer.disarm()
        timer.deadline = deadline
        handle = setTimeout(() => {
          timer.deadline = Infinity
          onExpire()
        }, Math.max(0, deadline - this.now()) / 1e6)
      },
      disarm: () => {
        clearTimeout(handle)
        timer.deadline = Infinity
      },
    }
    return timer
  }
}

/** A program that sends datagrams, each when the one before has come back, and prints the lengths of those that did. */
const DATAGRAMS = `
  const [port, address, lengths] = process.argv.slice(1)
  const socket = require('node:dgram').createSocket(address.includes(':') ? 'udp6' : 'udp4')
  const left = lengths.split(',').map(Number)
  const back = []
  const next = () => left.length === 0 ? finish() : socket.send(Buffer.alloc(left.shift(), 1), port, address)
  const finish = () => { console.log(back.join(' ')); process.exit() }
  socket.on('message', bytes => { back.push(bytes.length); next() })
  setTimeout(finish, 20000)
  next()`

/** A name server that knows one address for all names. */
async function startNameServer() {
  const socket = createSocket('udp4')
  socket.on('message', (query, peer) => {
    const nameEnd = query.indexOf(0, 12) + 5
    const answer = Buffer.concat([query.subarray(0, nameEnd), Buffer.from('c00c00010001000000640004c0000250', 'hex')])
    answer.writeUInt16BE(0x8180, 2)
    answer.writeUInt16BE(1, 6)
    answer.writeUInt32BE(0, 8)
    socket.send(answer, peer.port, peer.address)
  })
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  return socket
}

describe.skipIf(obstacle !== undefined)(`the gateway with Linux as its guest${obstacle === undefined ? '' : ` (${obstacle})`}`, () => {
  const folder = mkdtempSync(join(tmpdir(), 'tenon-gateway-'))
  const guest = new TapGuest()
  const echoServer = createSocket('udp4')
  const echoServer6 = createSocket('udp6')
  const webServer = createServer((request, response) => { response.end('x'.repeat(Number(request.url!.slice(1)))) })
  /** What only the host itself can reach, but for the guests that may. */
  const ownServer = createServer((_request, response) => { response.end('the host\'s own') })
  let nameServer: Awaited<ReturnType<typeof startNameServer>>
  let gateway: Gateway
  let address = ''

  beforeAll(async () => {
    await guest.start()
    nameServer = await startNameServer()
    ownServer.listen(0, '127.0.0.1')
    await once(ownServer, 'listening')
    for (const server of [echoServer, echoServer6]) {
      server.on('message', (bytes, peer) => { server.send(bytes, peer.port, peer.address) })
    }
    echoServer.bind(0, outside)
    if (outside6 !== undefined) echoServer6.bind(0, outside6)
    webServer.listen(0, outside)
    await Promise.all([once(echoServer, 'listening'), once(webServer, 'listening')])
    const sockets = new HostSockets(ping)
    sockets.resolvers = () => [`127.0.0.1:${nameServer.address().port}`]
    gateway = new Gateway({
      configuration: { kind: 'nat', mac: '02:00:00:00:00:01', ipv4: '10.77.5.1/24', ipv6: 'fd00:77:5::1/64',
        hostPorts: [String((ownServer.address() as AddressInfo).port)] },
      clock: new RealClock(), entropy: { fill: (bytes) => { bytes.set(randomBytes(bytes.length)) } }, sockets,
      transport: tcpFactory({ random: () => randomBytes(4).readUInt32LE() }),
    })
    guest.connect(gateway.connect(guest))
    guest.launch('tcpdump', '-i', guest.tap, '-s', '0', '-U', '-w', join(folder, 'capture.pcap'))
  }, 60_000)

  afterAll(() => {
    gateway.close()
    guest.stop()
    nameServer.close()
    echoServer.close()
    echoServer6.close()
    webServer.close()
    ownServer.close()
    rmSync(folder, { recursive: true })
  })

  it('gives it an address by DHCP, and a prefix and a route by router advertisements', async () => {
    const script = join(folder, 'udhcpc')
    writeFileSync(script, `#!/bin/sh
[ "$1" = bound ] || exit 0
ip addr add $ip/$mask dev $interface && ip link set mtu $mtu dev $interface && ip route add default via $router
echo "dns $dns domain $domain lease $lease"\n`)
    chmodSync(script, 0o755)
    const output = await guest.run('busybox', 'udhcpc', '-i', guest.tap, '-n', '-q', '-f', '-x', 'hostname:web', '-s', script)
    expect(output).toContain('dns 10.77.5.1 domain internal lease 3600')
    const [lease] = gateway.report().leases
    expect(lease.name).toBe('web')
    address = lease.address
    const addresses = () => guest.run('ip', '-6', 'addr')
    await expect.poll(addresses, { timeout: 15_000 }).toMatch(/inet6 fd00:77:5:\S+ scope global dynamic(?!.*tentative)/)
    expect(await guest.run('ip', '-6', 'route')).toMatch(/default via fe80::ff:fe00:1 .*proto ra/)
  }, 60_000)

  it('answers pings, whole and in fragments, and says what cannot be reached', async () => {
    for (const [to, size] of [['10.77.5.1', 56], ['10.77.5.1', 8000], ['fd00:77:5::1', 56], ['fd00:77:5::1', 5000]] as const) {
      expect(await guest.run('ping', '-c', '1', '-W', '5', '-s', String(size), to), `${to} ${size}`).toContain('1 received, 0% packet loss')
    }
    expect(await guest.run('ping', '-c', '1', '-W', '8', outside!)).toContain('1 received')
    expect(await guest.run('ping', '-c', '1', '-W', '5', '169.254.169.254')).toContain('Packet filtered')
    expect(await guest.run('ping', '-c', '1', '-W', '5', '-t', '1', outside!)).toContain('Time to live exceeded')
  }, 60_000)

  it('resolves names, over UDP and TCP, both families', async () => {
    const dig = async (server: string, ...question: string[]) =>
      (await guest.run('dig', '+time=5', '+tries=1', '+short', `@${server}`, ...question)).trim()
    expect(await dig('10.77.5.1', 'example.org', 'A')).toBe('192.0.2.80')
    expect(await dig('fd00:77:5::1', 'example.org', 'A')).toBe('192.0.2.80')
    expect(await dig('10.77.5.1', '+tcp', 'web.internal', 'A')).toBe(address)
    expect(await dig('fd00:77:5::1', '+tcp', 'web', 'AAAA')).toMatch(/^fd00:77:5:/)
    expect(await dig('10.77.5.1', '-x', address)).toBe('web.internal.')
    expect(await guest.run('dig', '+time=5', '@10.77.5.1', 'nobody.internal')).toContain('NXDOMAIN')
  }, 60_000)

  it('carries UDP to the outside, of any length, and errors back', async () => {
    const { port } = echoServer.address()
    const lengths = [1, 1472, 1473, 5000, 60_000]
    expect((await guest.run(process.execPath, '-e', DATAGRAMS, String(port), outside!, lengths.join())).trim()).toBe(lengths.join(' '))
    if (outside6 !== undefined) {
      const port6 = String(echoServer6.address().port)
      expect((await guest.run(process.execPath, '-e', DATAGRAMS, port6, outside6, lengths.join())).trim()).toBe(lengths.join(' '))
    }
    const refused = async (to: string) => guest.run('sh', '-c', `(echo x; sleep 1; echo x) | socat -t 1 - UDP:${to}`)
    expect(await refused(`${outside}:1`)).toContain('Connection refused')
    expect(await refused('[fd00:77:5::1]:1')).toContain('Connection refused')
  }, 60_000)

  it('carries TCP out and in', async () => {
    const url = `http://${outside}:${(webServer.address() as AddressInfo).port}/3000000`
    const fetched = await guest.run('curl', '-sS', '-m', '20', '-o', '/dev/null', '-w', '%{http_code} %{size_download}', url)
    expect(fetched).toBe('200 3000000')
    expect(await guest.run('curl', '-sS', '-m', '10', `http://${outside}:1/`)).toContain('Couldn\'t connect')
    expect(await guest.run('curl', '-sS', '-m', '10', 'http://10.77.5.1/')).toContain('Couldn\'t connect')
    const own = `http://10.77.5.1:${(ownServer.address() as AddressInfo).port}/`
    expect(await guest.run('curl', '-sS', '-m', '10', own)).toBe('the host\'s own')
    writeFileSync(join(folder, 'page'), 'the guest\'s page')
    guest.launch('busybox', 'httpd', '-f', '-p', '80', '-h', folder)
    const port = await freePort()
    const publication = await gateway.publish({ protocol: 'tcp', address: '127.0.0.1', port, guest: 'web', guestPort: 80 })
    const page = async () => fetch(`http://127.0.0.1:${port}/page`).then(each => each.text()).catch(() => '')
    await expect.poll(page, { timeout: 15_000 }).toBe('the guest\'s page')
    publication.close()
    expect(await page()).toBe('')
  }, 60_000)

  it('has sent nothing that tcpdump finds fault with', async () => {
    const text = await guest.run('tcpdump', '-n', '-v', '-r', join(folder, 'capture.pcap'), 'ether', 'src', '02:00:00:00:00:01')
    const packets = text.split(/\n(?=\d\d:\d\d:)/)
    expect(packets.length).toBeGreaterThan(100)
    expect(packets.filter(packet => /\(incorrect|\bbad \w|\bwrong |\[\||invalid/.test(packet))).toEqual([])
    expect(gateway.report().drops).toMatchObject({ malformed: 0, checksum: 0 })
  }, 60_000)

  it('has sent nothing that Wireshark finds malformed or badly summed', async ({ skip }) => {
    if (spawnSync('tshark', ['--version']).status !== 0) skip('needs the program tshark')
    const capture = join(folder, 'capture.pcap')
    const checks = ['ip', 'tcp', 'udp'].flatMap(name => ['-o', `${name}.check_checksum:TRUE`])
    const bad = ['ip', 'tcp', 'udp', 'icmp', 'icmpv6'].map(name => `${name}.checksum.status == "Bad"`)
    const from = (filter: string) =>
      guest.run('tshark', '-n', '-r', capture, ...checks, '-Y', `eth.src == 02:00:00:00:00:01 && (${filter})`)
    expect(lines(await from(`_ws.malformed || _ws.unreassembled || ${bad.join(' || ')}`))).toEqual([])
    // It warns of nothing else either, but of connections that were refused.
    expect(lines(await from('_ws.expert.severity >= 0x600000 && !icmp && !icmpv6 && !tcp.flags.reset == 1'))).toEqual([])
    expect(lines(await from('tcp || udp || dhcp || dns || icmpv6')).length).toBeGreaterThan(100)
  }, 60_000)
})

/** The lines that tshark prints, without what it says of itself. */
function lines(output: string): string[] { return output.split('\n').filter(line => line !== '' && !line.startsWith('Running as')) }

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  return port
}
