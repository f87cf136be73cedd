/** The network of `tenon run`, by the built command. The image is that of the user's cache, fetched if it is not there. */
import { spawn, spawnSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { imageUnavailable } from '../images.ts'

const TENON = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))
const LONG = 600_000

const unavailable = await imageUnavailable()
const hasReader = spawnSync('tcpdump', ['--version']).status === 0
if (!hasReader) process.stderr.write('skipped: captures are not read by tcpdump, which is not installed\n')
const folder = mkdtempSync(join(tmpdir(), 'tenon-network-'))
afterAll(() => rmSync(folder, { recursive: true }))
beforeAll(() => {
  if (!existsSync(TENON)) throw new Error('there is no build in dist/: npm run build')
})

/** Sends bytes to a port, ends, and gives what came back; empty while nobody is there. */
function ask(port: number, bytes: Uint8Array): Promise<string> {
  return new Promise(resolve => {
    let answer = ''
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true }, () => socket.end(bytes))
    socket.on('data', chunk => { answer += chunk.toString() }).on('error', () => {}).on('close', () => resolve(answer))
    socket.on('end', () => socket.destroy())
  })
}

describe.skipIf(unavailable)('the network of tenon run', () => {
  test('gives an address, reaches the gateway, and leads a published port to the guest', async () => {
    const port = 20_000 + process.pid % 20_000
    const capture = join(folder, 'a.pcap')
    // An IPv6 address is there when the guest has heard the router, and nobody else who has it.
    const pings = 'ping -c 2 10.0.2.1; for n in 1 2 3 4 5 6 7 8 9; do ping -6 -c 1 fd74:656e:6f6e:2::1 2>&1 && break; sleep 1; done'
    // The DHCP client is there yet, and asks for the same address once more.
    const renewal = 'kill -USR1 $(cat /run/dhcp.eth0)'
    const script = `${renewal}; cat /etc/resolv.conf; ${pings}; ip -4 addr show dev eth0; nc -l -p 7 -e sha256sum`
    const options = ['--boot-timeout', '0', '--publish', `${port}:7`, '--pcap', capture]
    const child = spawn(process.execPath, [TENON, 'run', ...options, '--', 'sh', '-c', script])
    let [output, errors] = ['', '']
    child.stdout.on('data', (chunk: Buffer) => { output += chunk.toString() })
    child.stderr.on('data', (chunk: Buffer) => { errors += chunk.toString() })
    const ended = new Promise(resolve => { child.on('close', resolve) })
    const data = randomBytes(1_000_000)
    let answer = ''
    while (answer === '' && child.exitCode === null) {
      await setTimeout(500)
      answer = await ask(port, data)
    }
    expect([await ended, errors]).toEqual([0, expect.not.stringContaining('tenon: error')])
    expect(answer).toBe(`${createHash('sha256').update(data).digest('hex')}  -\n`)
    expect(output).toMatch(/inet 10\.0\.2\.\d+\/24/)
    expect(output).toContain('nameserver 10.0.2.1')
    expect(output).toMatch(/2 packets received[^]*1 packets received/)
    if (hasReader) {
      const { stdout } = spawnSync('tcpdump', ['-r', capture, '-n', '-vv'], { encoding: 'utf8', maxBuffer: 1 << 28 })
      expect(stdout).toMatch(/Client-IP 10\.0\.2\.\d+[^]*BOOTP\/DHCP, Reply[^]*: ACK/)
      expect(stdout).not.toMatch(/bad cksum|incorrect|truncated|malformed/)
    }
  }, LONG)

  test('a port that is taken is refused, and nothing starts', () => {
    const port = 40_000 + process.pid % 20_000
    const result = spawnSync(process.execPath, [TENON, 'run', '-p', `${port}:1`, '-p', `${port}:2`, '--', 'true'], { encoding: 'utf8' })
    expect([result.status, result.stderr]).toEqual([125, expect.stringContaining('PORT_IN_USE')])
  }, LONG)
})
