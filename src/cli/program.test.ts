import { resolve } from 'node:path'
import { afterEach, expect, test, vi } from 'vitest'
import { parseCommandLine } from './program.ts'
import type { RunRequest } from './run-request.ts'

const parse = (...argv: string[]): unknown => parseCommandLine(argv, '1.2.3').request
const text = (...argv: string[]): string => (parse(...argv) as { text: string }).text
const usage = expect.objectContaining({ code: 'USAGE' })
const shell: RunRequest = {
  name: undefined, detach: false, image: 'busybox', command: undefined, memoryBytes: 512 * 1024 ** 2, cpu: 'x86-64-v3', engine: 'auto', disks: [], shares: [], lockstep: false, stats: false, kernel: undefined, initrd: undefined, append: undefined,
  tty: false, environment: {}, mirror: undefined, bootTimeoutMs: 300_000, verbose: false,
  network: { cards: [{ network: 'nat' }], publish: [], pcap: undefined, allow: undefined },
}
const NO_NETWORK = { ...shell.network, cards: [] }

afterEach(() => vi.unstubAllEnvs())

test('without arguments there is a shell', () => {
  expect(parse()).toEqual(shell)
  expect(parse('run')).toEqual(shell)
  expect(parse('--verbose')).toEqual({ ...shell, verbose: true })
})

test('what follows -- is the command, whatever it looks like', () => {
  expect(parse('run', '--', 'uname', '-rm')).toEqual({ ...shell, command: ['uname', '-rm'] })
  expect(parse('run', 'busybox', '--', 'run', '--', '--help')).toEqual({ ...shell, command: ['run', '--', '--help'] })
})

test('options are read', () => {
  expect(parse('run', '-m', '1G', '-t', '-e', 'A=1', '-e', 'B=2', '-v', '--boot-timeout', '5', '--mirror', 'http://m/', '--append', 'x', '--', 'a')).toEqual({
    ...shell, memoryBytes: 1024 ** 3, tty: true, environment: { A: '1', B: '2' }, verbose: true, bootTimeoutMs: 5000, mirror: 'http://m/', append: 'x', command: ['a'],
  })
  expect(parse('run', '--cpu', 'x86-64-v2')).toEqual({ ...shell, cpu: 'x86-64-v2' })
  expect(parse('run', '--kernel', 'k', '--initrd=i', '--append=console=ttyS0')).toEqual({ ...shell, kernel: 'k', initrd: 'i', append: 'console=ttyS0' })
})

test('folders to share are read, and must have a place in the guest', () => {
  expect(parse('run', '--share', '/src:/mnt/src', '--share', '/data:/data,readonly')).toEqual({
    ...shell, shares: [{ path: resolve('/src'), mountPoint: '/mnt/src' }, { path: resolve('/data'), mountPoint: '/data', readOnly: true }],
  })
  for (const text of ['/src', '/src:mnt', '/src:/mnt,writable']) expect(() => parse('run', '--share', text)).toThrow(usage)
  expect(() => parse('run', '--lockstep', '--share', '/src:/mnt')).toThrow(usage)
})

test('a vsock has a path', () => {
  expect(parse('run', '--vsock', '/run/v')).toEqual({ ...shell, vsock: { path: resolve('/run/v'), cid: 3 } })
  expect(parse('run', '--vsock', '/run/v,cid=9')).toEqual({ ...shell, vsock: { path: resolve('/run/v'), cid: 9 } })
  for (const text of ['', '/run/v,cid=2', '/run/v,port=9']) expect(() => parse('run', '--vsock', text)).toThrow(usage)
  expect(() => parse('run', '--lockstep', '--vsock', '/run/v')).toThrow(usage)
})

test('the interpreter has time to check the translator, if there is one', () => {
  expect(parse('run', '--lockstep')).toEqual({ ...shell, lockstep: true, bootTimeoutMs: 0, network: NO_NETWORK })
  expect(parse('run', '--lockstep', '--boot-timeout', '5')).toEqual({ ...shell, lockstep: true, bootTimeoutMs: 5000, network: NO_NETWORK })
  expect(() => parse('run', '--lockstep', '--engine', 'interpret')).toThrow(usage)
})

test('networks are chosen', () => {
  const network = (...argv: string[]): unknown => (parse('run', ...argv) as RunRequest).network
  expect(network('--net', 'none')).toEqual(NO_NETWORK)
  expect(network('--net', 'nat,mac=52:54:00:AA:bb:cc,ip=10.0.2.9,vlan=20,rate=1.5mbit', '--net', 'isolated')).toEqual({
    ...shell.network, cards: [{ network: 'nat', mac: '52:54:00:aa:bb:cc', address: '10.0.2.9', vlan: 20, rate: 1_500_000 }, { network: 'isolated' }],
  })
  expect(network('-p', '8080:80', '--publish', '[::]:53:5353/udp', '--pcap', 'f', '--net-allow', 'a:1', '--net-allow', 'b:2')).toEqual({
    ...shell.network, pcap: 'f', allow: ['a:1', 'b:2'],
    publish: [{ protocol: 'tcp', address: '127.0.0.1', port: 8080, guestPort: 80 }, { protocol: 'udp', address: '::', port: 53, guestPort: 5353 }],
  })
})

test.each([
  ['--net', ''], ['--net', 'nat,mac=5'], ['--net', 'nat,vlan=4095'], ['--net', 'nat,rate=5'], ['--net', 'nat,speed=5'], ['--net', 'A b'],
  ['--publish', '80'], ['--publish', '0:80'], ['--publish', '80:99999'], ['--publish', '80:80/icmp'], ['--lockstep', '--net', 'nat'],
  ['--net', 'none', '--net', 'nat'],
])('%s %s makes no network', (...argv) => {
  expect(() => parse('run', ...argv)).toThrow(usage)
})

test.each([
  ['--net', 'none', '--publish', '80:80'], ['--net', 'none', '--pcap', 'f'], ['--net', 'isolated', '--net-allow', 'a:1'], ['--net', 'isolated', '-p', '80:80'],
])('%s %s %s %s contradict each other', (...argv) => {
  expect(() => parse('run', ...argv)).toThrow(expect.objectContaining({ code: 'NETWORK_CONFIGURATION_INVALID' }))
})

test('the mirror may come from the environment', () => {
  vi.stubEnv('TENON_MIRROR', 'http://near/')
  expect(parse('pull')).toEqual({ image: 'busybox', mirror: 'http://near/' })
})

test('commands in guests, and copies, are read', () => {
  expect(parse('exec', 'web', '-e', 'A=1', '-u', 'anna', '-w', '/srv', '--wait', '5', '--', 'ls', '-l')).toEqual({
    name: 'web', argv: ['ls', '-l'], environment: { A: '1' }, user: 'anna', folder: '/srv', waitMs: 5000,
  })
  expect(parse('cp', 'site', 'web:/var/www')).toEqual({
    source: { guest: undefined, path: 'site' }, target: { guest: 'web', path: '/var/www' }, waitMs: 120_000,
  })
  expect(parse('cp', 'web:/a:b', './web:c')).toMatchObject({ source: { guest: 'web', path: '/a:b' }, target: { guest: undefined, path: './web:c' } })
  for (const wrong of [['exec', 'web'], ['exec', 'web', '--'], ['exec', '--', 'x'], ['cp', 'a', 'b'], ['cp', 'web:/a', 'db:/b'], ['cp', 'web:', 'a'], ['cp', 'a']]) {
    expect(() => parse(...wrong)).toThrow(usage)
  }
})

test.each([
  [['run', '--bogus']], [['--bogus']], [['run', 'a', 'b']], [['nonsense']], [['run', '-m', 'lots', '--', 'x']], [['run', '--cpu', 'i386', '--', 'x']], [['run', '--memory']], [['run', '--']],
  [['run', '--initrd', 'i']], [['run', '--kernel', 'k', '--', 'x']], [['run', '-t']], [['pull', 'x']], [['pull', '--', 'x']], [['run', '-e', 'A', '--', 'x']], [['inspect', 'code', '--', 'x']], [['run', 'debian:12', '--', 'x']], [['run', '--lockstep', 'debian:12']],
  [['run', '--mirror', 'nowhere', '--', 'x']],
])('%j is misuse', argv => {
  expect(() => parse(...argv)).toThrow(usage)
})

test('named guests have commands', () => {
  expect(parse('run', '--name', 'web', '-d', 'debian:12')).toEqual({ ...shell, name: 'web', detach: true, image: 'debian:12' })
  expect(parse('start', '-a', 'web')).toEqual({ name: 'web', attach: true, afresh: false })
  expect(parse('resume', '--fresh', 'web')).toEqual({ name: 'web', attach: false, afresh: true })
  expect(parse('suspend', 'web', 'db')).toEqual(['web', 'db'])
  expect(parse('stop', '--timeout', '5', 'web', 'db')).toEqual({ names: ['web', 'db'], force: false, timeoutMs: 5000 })
  expect(parse('stop', 'web')).toEqual({ names: ['web'], force: false, timeoutMs: 60_000 })
  expect(parse('rm', '--force', 'web')).toEqual({ names: ['web'], force: true })
  expect(parse('ls', '--json')).toEqual({ json: true })
  expect(parse('console', 'web')).toEqual({ name: 'web' })
  expect(parse('logs', '-f', 'web')).toEqual({ name: 'web', follow: true })
  expect(parse('inspect', 'web')).toEqual({ name: 'web' })
})

test.each([
  [['run', '--name', 'Web', 'debian:12']], [['run', '-d']], [['run', '--name', 'a', '--', 'x']], [['run', '--name', 'a', '--stats', 'debian:12']],
  [['run', '--name', 'a', '--boot-timeout', '5', 'debian:12']], [['run', '--name', 'a', '--lockstep']], [['start']], [['stop']], [['rm']],
  [['start', 'a', 'b']], [['stop', '--timeout', 'long', 'a']], [['ls', 'a']], [['console', 'a', '--', 'x']], [['inspect', 'web', '--hex', '90']],
])('%j is misuse', argv => {
  expect(() => parse(...argv)).toThrow(usage)
})

test('help explains the commands, the options and the statuses', () => {
  for (const word of ['run', 'pull', 'Examples:', 'Exit status:', '125', 'TENON_CACHE', 'HTTPS_PROXY', 'Ctrl-A x']) expect(text('--help')).toContain(word)
  for (const option of ['--memory', '--kernel', '--initrd', '--append', '--mirror', '--verbose', '--tty', '--env', '--boot-timeout', '512M']) {
    expect(text('run', '--help')).toContain(option)
  }
  expect(text('help')).toBe(text('-h'))
  expect(text('--version')).toBe('1.2.3\n')
})
